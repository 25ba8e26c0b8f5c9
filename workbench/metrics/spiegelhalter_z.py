"""How many standard errors the Brier score is from what a perfectly calibrated model would have.

What it shows
-------------
One test of calibration for all rows, without bins: whether the probabilities could be right.

How to read it
--------------
Within -2 and 2 the rows do not contradict perfect calibration. Above, probabilities are too extreme
(the model is too sure); below, not extreme enough. It grows with the number of rows: with very
many, a deviation without any importance is far outside, so read it beside ``ece``.

What to do
----------
Where it is outside, look at the reliability diagram. Errors in opposite directions can cancel, so a
small value alone does not prove calibration.

Definition
----------
``sum((y - p)(1 - 2p)) / sqrt(sum((1 - 2p)^2 p (1 - p)))`` (Spiegelhalter 1986). Not applicable
where every p is 0, 0.5 or 1, for then it is 0 / 0. The interval is +- 1.96 standard errors of the
sum, as observed; 0 outside of it rejects calibration about as the value itself does.
"""

from __future__ import annotations

import math
from typing import Any

from workbench.formulas import Z95
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._pairs import effective_size, sums


def estimate(state: State, /, **_params: Any) -> Estimate:
    """Z and its interval out of the sums of one group."""
    n, rows = float(state["n"].sum()), int(state["rows"].sum())
    z, zz, v = (float(state[name].sum()) for name in ("z", "zz", "v"))
    if v <= 0.0:
        return Estimate(reason="not_applicable")
    value = z / math.sqrt(v)
    size = effective_size(state)
    if size < 2.0:
        return Estimate(value=value, n=rows)
    spread = max(0.0, zz / n - (z / n) ** 2) * size / (size - 1.0)
    half = Z95 * n * math.sqrt(spread / size) / math.sqrt(v)
    return Estimate(value=value, low=value - half, high=value + half, n=rows)


metric = state_metric(
    family="calibration",
    state=sums,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="none",
    interval="normal",
)
