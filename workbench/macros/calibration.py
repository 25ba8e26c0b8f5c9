"""Reliability table: predicted probability and observed rate in each bin of probability.

What it shows
-------------
For the answers that said about 70 %, how often it was so: the table behind a reliability diagram.

How to read it
--------------
A `gap` above 0 is overconfidence, below 0 the opposite. Where `low` and `high` enclose
`mean_predicted`, the rows of the bin do not contradict it.

What to do
----------
Look for the bins with a large `share` and a large `gap`; open their rows, and compare groups with
`per` before anything is recalibrated.

Definition
----------
Calibration pairs (`calibration_p`, `calibration_y`) by the equal-width bins of
`formulas.bin_index`. `gap` is `mean_predicted - observed`; `low` and `high` are the Wilson interval
of `observed`. ``sum(share * abs(gap))`` of a group is its ECE. Rows that the rule ``guo`` leaves
out have the bin NULL and no gap.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from workbench.formulas import wilson
from workbench.macros._arguments import BIN_RULE, BINS, KEEP, PER, bins, kept
from workbench.macros._macro import Given, declare
from workbench.metrics import pairs


def expr(inferences: ir.Table, given: Given) -> ir.Table:
    """Sums by group and bin, and what is computed of them."""
    rows = kept(inferences, given)
    rows = rows.mutate(per=given.of("per", rows), weight=ibis.literal(1.0))
    paired = pairs(rows, ("per",))
    binned = paired.mutate(bin=bins(paired.p, given).cast("int32"))
    sums = binned.aggregate(
        by=["per", "bin"],
        n=binned.count(),
        mean_predicted=binned.p.mean(),
        observed=binned.y.mean(),
        positives=binned.y.sum(),
    )
    group = sums.n.sum().over(ibis.window(group_by="per")).cast("float64")
    low, high = wilson(sums.positives, sums.n)
    return sums.select(
        "per",
        "bin",
        "n",
        share=sums.n / group,
        mean_predicted=sums.mean_predicted,
        observed=sums.observed,
        low=low,
        high=high,
        gap=sums.bin.notnull().ifelse(sums.mean_predicted - sums.observed, ibis.null("float64")),
    ).order_by(["per", "bin"])


macro = declare(expr=expr, arguments={"per": PER, "keep": KEEP, "bins": BINS, "bin_rule": BIN_RULE})
