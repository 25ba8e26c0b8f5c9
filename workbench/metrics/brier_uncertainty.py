"""Brier score of always predicting how often the outcome happens.

What it shows
-------------
How hard the outcome is to predict for someone who knows nothing but its rate.

How to read it
--------------
0.25 where both outcomes are equally frequent, 0 where there is only one. A model whose Brier score
is above it does worse than that one number.

What to do
----------
Use it as the yardstick: compare groups of different outcome rates by ``brier_score`` divided by it,
not by the Brier score itself.

Definition
----------
``r (1 - r)`` of the overall rate r of the outcome (Murphy 1973); the same for all bins, and in the
decomposition of ``corp_miscalibration`` too. The interval is the image of the Wilson interval of r,
so it is one-sided where that holds 0.5.
"""

from __future__ import annotations

from typing import Any

from workbench.metrics._intervals import wilson_of
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._pairs import effective_size, sums


def estimate(state: State, /, **_params: Any) -> Estimate:
    """Uncertainty and its interval out of the sums of one group."""
    size = effective_size(state)
    rate = float(state["sy"].sum()) / float(state["n"].sum())
    ends = [*wilson_of(rate, size), rate]
    images = [max(0.0, r * (1 - r)) for r in ends]
    high = 0.25 if ends[0] <= 0.5 <= ends[1] else max(images)
    return Estimate(value=images[2], low=min(images), high=high, n=int(state["rows"].sum()))


metric = state_metric(
    family="calibration",
    state=sums,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="none",
    interval="wilson",
)
