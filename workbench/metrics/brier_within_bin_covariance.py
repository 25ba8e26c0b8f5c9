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
2008); see `brier_reliability` for the whole sum. The interval is the bootstrap of ``ece``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.metrics._bins import Bins, estimate_bins, per
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._pairs import BIN_PARAMS, cells


def within_covariance(bins: Bins) -> np.ndarray[Any, Any]:
    """Twice the covariance of outcome and probability within bins."""
    products = bins.spy - np.nan_to_num(per(bins.sp * bins.sy, bins.n))
    return np.asarray(2.0 * products.sum(axis=-1) / bins.total)


def estimate(state: State, /, **_params: Any) -> Estimate:
    """Covariance and its interval out of the cells of one group."""
    return estimate_bins(state, within_covariance, everything=True, signed=True)


metric = state_metric(
    family="calibration",
    state=cells,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="higher",
    params=BIN_PARAMS,
)
