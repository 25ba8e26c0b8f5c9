"""Who gives feedback: the response rate by what was known before anybody answered.

What it shows
-------------
Of the inferences with each value of each column, how many got any feedback: by model version,
device, channel, cohort, position, bin of the probability, and hour of the day.

How to read it
--------------
Where the rate differs between values, those who answer are not like those who do not, and a mean
over labelled rows leans towards the former. Two columns may show one and the same difference.

What to do
----------
Ask the silent, or weight the others: ``workbench fit propensity``, then ``workbench metrics
--weighted``. Struct columns of contexts are in ``workbench metrics --skew``, or go into `per`.

Definition
----------
`response_rate` is the share of inferences with an accepted, attributed event of any kind that was
not withdrawn; Wilson interval. A value that is missing is NULL. Columns without any value are left
out.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from workbench import response
from workbench.macros._arguments import KEEP, PER, in_utc, kept
from workbench.macros._macro import Given, declare

COLUMNS = ("model_version", "device", "channel", "cohort", "position", "prob_bin")


def expr(inferences: ir.Table, given: Given) -> ir.Table:
    """One row for each group, column and value."""
    rows = kept(inferences, given)
    values = {name: rows[name].cast("string") for name in COLUMNS}
    values[response.HOUR] = in_utc(rows.ts).hour().cast("string")
    entries = ibis.array(
        [
            ibis.struct({"column_name": ibis.literal(name), "value": value})
            for name, value in values.items()
        ]
    )
    entry = rows.select(per=given.of("per", rows), **response.heard(rows), entry=entries.unnest())
    entry = entry.mutate(column_name=entry.entry["column_name"], value=entry.entry["value"])
    rates = response.rate(entry, ["per", "column_name", "value"])
    known = rates.value.count().over(ibis.window(group_by=["per", "column_name"]))
    found = rates.mutate(known=known)
    return found.filter(found.known > 0).drop("known").order_by(["per", "column_name", "value"])


macro = declare(expr=expr, arguments={"per": PER, "keep": KEEP})
