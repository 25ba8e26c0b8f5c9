"""Every metric that is a mean over rows, for each group: value, interval, n and reason.

What it shows
-------------
Selection rate, error rates, accuracy, reward and all other simple metrics, one row per group and
metric: the same numbers as ``workbench metrics --by``, for queries that go on from there.

How to read it
--------------
Two groups differ where their intervals are apart. A value is NULL where it is undefined, and
`reason` says why; it is never 0 instead.

What to do
----------
Take the metrics you want with ``WHERE metric IN (...)``, put them side by side with ``PIVOT``, and
join the worst group back to its rows.

Definition
----------
The formula and the interval of each metric are those of its page in the list of metrics; weights do
not enter. Metrics that read wide columns are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ibis
import ibis.expr.types as ir

from workbench import contract
from workbench.macros._arguments import KEEP, PER, kept
from workbench.macros._macro import Given, declare
from workbench.metrics import SIZE, Metric, labelled, metrics, simple_sums, simple_values


def expr(inferences: ir.Table, given: Given) -> ir.Table:
    """One scan for all metrics, then one row for each of them."""
    wide = set(contract.WIDE_COLUMNS)
    known = [m for m in metrics if m.expr is not None and not wide & set(m.needs)]
    present = {i: m for i, m in enumerate(known) if set(m.needs) <= set(inferences.columns)}
    rows = kept(inferences, given)
    rows = rows.mutate(per=given.of("per", rows), labelled=labelled(rows))
    needed = sorted({name for m in present.values() for name in m.needs})
    values = simple_values(
        simple_sums(rows.select("per", "labelled", *needed), ("per",), present), ("per",), present
    )
    found = values.filter(values.metric >= 0)
    told = found.select(
        "per",
        metric=_of(found, known, lambda m: m.name),
        value=found.value,
        low=found.low,
        high=found.high,
        n=found.n,
        n_labelled=found.n_labelled,
        reason=_reason(found, known),
    )
    absent = [m.name for i, m in enumerate(known) if i not in present]
    if absent:
        told = told.union(_absent(values.filter(values.metric == SIZE), absent))
    return told.order_by(["per", "metric"])


def _of(found: ir.Table, known: list[Metric], what: Callable[[Metric], Any]) -> ir.Value:
    """Something that is known of each metric, by its number."""
    return ibis.array([what(metric) for metric in known])[found.metric]


def _reason(found: ir.Table, known: list[Metric]) -> ir.StringValue:
    about = _of(found, known, lambda m: m.over == "labelled").ifelse(found.n_labelled, found.n_rows)
    return ibis.cases(
        (found.n > 0, ibis.null("string")),
        (found.base > 0, _of(found, known, lambda m: m.undefined)),
        (about > 0, "not_applicable"),
        else_="empty",
    )


def _absent(groups: ir.Table, names: list[str]) -> ir.Table:
    """Rows of metrics that need a column which the build does not have."""
    double = ibis.null("float64")
    return groups.select(
        "per",
        metric=ibis.array(names).unnest(),
        value=double,
        low=double,
        high=double,
        n=ibis.literal(0, "int64"),
        n_labelled=groups.n_labelled,
        reason=ibis.literal("missing_column"),
    )


macro = declare(expr=expr, arguments={"per": PER, "keep": KEEP})
