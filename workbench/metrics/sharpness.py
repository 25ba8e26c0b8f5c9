"""Variance of the predicted probabilities.

What it shows
-------------
How far the probabilities are from all being the same: whether the model commits itself.

How to read it
--------------
0 is one probability for everything, 0.25 is nothing but 0 and 1, half of each. Of two models that
are equally well calibrated the sharper one is better; of one that is not calibrated it says nothing
good.

What to do
----------
Compare it between versions beside ``brier_reliability``: sharper and less reliable is
overconfidence, flatter and as reliable is a model that lost information.

Definition
----------
Population variance of p over all rows that have one, labelled or not (Gneiting, Balabdaoui and
Raftery 2007 on sharpness). The interval is normal, from the fourth moment; it is NULL where all
probabilities are equal.
"""

from __future__ import annotations

from typing import Any

import ibis.expr.types as ir

from workbench.formulas import probability
from workbench.metrics._intervals import normal_of
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._pairs import effective_size


def moments(table: ir.Table, by: tuple[str, ...], /) -> ir.Table:
    """Sums of the first four powers of ``p - 0.5`` of each group."""
    rows = table.select(*by, "weight", p=probability(table.calibration_p))
    rows = rows.filter(rows.p.notnull())
    # About 0.5, so that the powers stay small and little is lost where they are subtracted.
    w, x = rows.weight, rows.p - 0.5
    return rows.aggregate(
        by=list(by),
        rows=rows.count(),
        n=w.sum(),
        ww=(w * w).sum(),
        least=rows.p.min(),
        most=rows.p.max(),
        x1=(w * x).sum(),
        x2=(w * x * x).sum(),
        x3=(w * x * x * x).sum(),
        x4=(w * x * x * x * x).sum(),
    ).filter(lambda found: found["rows"] > 0)


def estimate(state: State, /, **_params: Any) -> Estimate:
    """Variance and its interval out of the moments of one group."""
    rows, n = int(state["rows"].sum()), float(state["n"].sum())
    if state["least"].min() == state["most"].max():
        return Estimate(value=0.0, n=rows)
    m1, m2, m3, m4 = (float(state[f"x{k}"].sum()) / n for k in (1, 2, 3, 4))
    value = max(0.0, m2 - m1 * m1)
    fourth = m4 - 4 * m1 * m3 + 6 * m1 * m1 * m2 - 3 * m1**4
    low, high = normal_of(value, fourth - value * value, effective_size(state), floor=0.0)
    return Estimate(value=value, low=low, high=high, n=rows)


metric = state_metric(
    family="calibration",
    state=moments,
    estimate=estimate,
    needs=("calibration_p",),
    better="none",
    over="all",
    interval="normal",
)
