"""How unsure the model was, and how often it was right, in each bin of probability.

What it shows
-------------
Mean least confidence, margin and entropy beside the share of right answers.

How to read it
--------------
A model that knows when it is wrong is right less often where it is unsure. Where `correct` is the
same in all bins, its uncertainty says nothing.

What to do
----------
Send the bins with the lowest `correct` to people first; where uncertainty says nothing, choose
rows to label by something else.

Definition
----------
Bins are those of `calibration_p` (NULL for rows without a probability); with ``bins := 1`` there is
one row for each group. `correct` is the mean of ``correct`` over the `n_judged` rows where that is
known, with its Wilson interval.
"""

from __future__ import annotations

import ibis.expr.types as ir

from workbench.formulas import finite, wilson
from workbench.macros._arguments import BINS, KEEP, PER, bins, kept
from workbench.macros._macro import Given, declare


def expr(inferences: ir.Table, given: Given) -> ir.Table:
    """Means by group and bin."""
    rows = kept(inferences, given)
    rows = rows.select(
        per=given.of("per", rows),
        bin=bins(rows.calibration_p, given).cast("int32"),
        least_confidence=finite(rows.least_confidence),
        margin=finite(rows.margin),
        entropy=finite(rows.entropy),
        correct=rows.correct.cast("int64"),
    )
    sums = rows.aggregate(
        by=["per", "bin"],
        n=rows.count(),
        least_confidence=rows.least_confidence.mean(),
        margin=rows.margin.mean(),
        entropy=rows.entropy.mean(),
        n_judged=rows.correct.count(),
        right=rows.correct.sum().cast("float64"),
        correct=rows.correct.mean(),
    )
    low, high = wilson(sums.right, sums.n_judged)
    return sums.mutate(low=low, high=high).drop("right").order_by(["per", "bin"])


macro = declare(expr=expr, arguments={"per": PER, "keep": KEEP, "bins": BINS})
