"""How far the probability is from what happened, bin by bin, as a column of every inference.

What it shows
-------------
By how much scores like this one were too high (above 0) or too low (below 0) where the outcome is
known: 0.2 at a score of 0.9 means that about 70 % of such cases came true.

How to read it
--------------
It belongs to the bin of the score, not to the single case. Look at the interval of the bin in the
figures: one that contains 0 may be chance, and a bin of few rows has a wide one.

What to do
----------
Send what has a large gap to a person, or sample it for labelling; where it is large in many bins,
recalibrate.

Definition
----------
Mean of ``p - y`` over the calibration pairs of each bin of ``p`` (rules of `formulas.bin_index`),
with the normal interval of that mean. A bin without a pair has NULL. The column is about all
inferences with a score, with a label or without.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis
import ibis.expr.types as ir

from workbench import formulas
from workbench.artefacts._kind import Fitted, Rows, artefact_kind
from workbench.artefacts._lookup import exact, piecewise
from workbench.artefacts._pairs import known
from workbench.errors import DataError
from workbench.guide import Param


def fit(rows: Rows, params: Mapping[str, Any]) -> Fitted:
    """Mean gap, its interval and the number of pairs of each bin that has any."""
    table = rows.table.mutate(
        bin=formulas.bin_index(rows.table.calibration_p, params["bins"], params["bin_rule"]),
        gap=rows.table.calibration_p - rows.table.calibration_y,
    )
    sums = (
        table.filter(table.bin.notnull())
        .group_by("bin")
        .agg(n=lambda t: t.count(), gap=lambda t: t.gap.mean(), spread=lambda t: t.gap.var())
    )
    low, high = formulas.normal_interval(sums.gap, sums.spread, sums.n)
    bins = rows.execute(sums.select("bin", "n", "gap", low=low, high=high).order_by("bin"))
    found = bins.to_pylist()
    if not found:
        raise DataError("No score is in a bin.", "Choose another --param bin_rule.")
    return Fitted(
        state={**params, "gaps": {str(row["bin"]): row["gap"] for row in found}},
        n=sum(row["n"] for row in found),
        figures={"bins": found},
    )


def apply(rows: ir.Table, state: Mapping[str, Any]) -> dict[str, ir.Value]:
    """The gap of the bin of each score."""
    score = formulas.probability(rows.calibration_p)
    bin_of = formulas.bin_index(score, state["bins"], state["bin_rule"])
    gaps = {int(number): gap for number, gap in state["gaps"].items()}
    last = max(gaps)

    def of_bin(number: int) -> ir.Value:
        return exact(gaps[number]) if number in gaps else ibis.null("float64")

    found = piecewise(bin_of, range(1, last + 1), of_bin)
    inside = bin_of.notnull() & (bin_of <= last)
    return {"calibration_gap": inside.ifelse(found, ibis.null("float64"))}


artefact = artefact_kind(
    columns=("calibration_gap",),
    fit=fit,
    needs=("calibration_p", "calibration_y"),
    reads=("calibration_p",),
    apply=apply,
    about=known,
    params={
        "bins": Param(default=10, about="Number of bins.", minimum=1, maximum=1000),
        "bin_rule": Param(
            default="numpy",
            about="Where a value on the edge of a bin belongs.",
            choices=formulas.BIN_RULES,
        ),
    },
)
