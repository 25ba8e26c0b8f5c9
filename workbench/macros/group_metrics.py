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

import ibis
import ibis.expr.types as ir

from workbench import contract
from workbench.macros._arguments import KEEP, PER, kept
from workbench.macros._macro import Given, declare
from workbench.metrics import Metric, labelled, metrics, simple_sums, simple_values


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
    entries = ibis.array([_entry(values, i, m, i in present) for i, m in enumerate(known)])
    entry = values.select("per", "n_labelled", entry=entries.unnest())
    fields = {name: entry.entry[name] for name in ("metric", "value", "low", "high", "n")}
    found = entry.select("per", **fields, n_labelled=entry.n_labelled, reason=entry.entry["reason"])
    return found.order_by(["per", "metric"])


def _entry(values: ir.Table, i: int, metric: Metric, present: bool) -> ir.StructValue:
    """What is said of one metric in a group."""
    double = ibis.null("float64")
    if not present:
        return ibis.struct(
            {"metric": ibis.literal(metric.name), "value": double, "low": double, "high": double,
             "n": ibis.literal(0, "int64"), "reason": ibis.literal("missing_column")}
        )  # fmt: skip
    n = values[f"n{i}"]
    about = values.n_labelled if metric.over == "labelled" else values.n_rows
    branches = [(n > 0, ibis.null("string"))]
    if metric.base:
        branches.append((values[f"base{i}"] > 0, ibis.literal(metric.undefined)))
    branches.append((about > 0, ibis.literal("not_applicable")))
    interval = metric.interval != "none"

    def there(column: str) -> ir.Value:
        return (n > 0).ifelse(values[column].cast("float64"), double)

    return ibis.struct(
        {
            "metric": ibis.literal(metric.name),
            "value": there(f"mean{i}"),
            "low": there(f"low{i}") if interval else double,
            "high": there(f"high{i}") if interval else double,
            "n": n,
            "reason": ibis.cases(*branches, else_=ibis.literal("empty")),
        }
    )


macro = declare(expr=expr, arguments={"per": PER, "keep": KEEP})
