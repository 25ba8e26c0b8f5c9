"""Part of the Brier score that the model earns by telling rows of one bin apart.

What it shows
-------------
Whether, inside the bins, larger probabilities go with the outcome: knowledge that
``brier_resolution`` does not see.

How to read it
--------------
Positive is to the model's credit, negative means that within bins it ranks the wrong way round. It
shrinks with more bins.

What to do
----------
Where it is not small beside ``brier_resolution``, use more bins before judging the model by its
parts.

Definition
----------
``2 * sum over bins of n / N * population covariance of y and p`` (Stephenson, Coelho and Jolliffe
2008); see `brier_reliability` for the whole sum. The interval is normal, from the products of the
rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.metrics._bins import membership
from workbench.metrics._intervals import normal_of
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._pairs import BIN_PARAMS, effective_size, squared_cells


def estimate(state: State, /, **_params: Any) -> Estimate:
    """Covariance and its interval out of the cells of one group."""
    inside = membership(state, everything=True)
    n, sp, spp, y = (state[name].astype(np.float64) for name in ("n", "sp", "spp", "y"))
    size = n @ inside
    m, rate = inside @ ((sp @ inside) / size), inside @ (((n * y) @ inside) / size)
    total = float(n.sum())
    value = 2.0 * float(((sp - n * m) * (y - rate)).sum()) / total
    # All rows of a cell have one outcome, so the cell's sums are enough for the squares too.
    squares = 4.0 * float(((spp - 2 * m * sp + n * m**2) * (y - rate) ** 2).sum()) / total
    low, high = normal_of(value, squares - value * value, effective_size(state))
    return Estimate(value=value, low=low, high=high, n=int(state["rows"].sum()))


metric = state_metric(
    family="calibration",
    state=squared_cells,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="higher",
    interval="normal",
    params=BIN_PARAMS,
)
