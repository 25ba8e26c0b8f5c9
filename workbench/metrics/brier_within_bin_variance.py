"""Part of the Brier score that comes from different probabilities within one bin.

What it shows
-------------
How much the probabilities vary inside the bins, which the other parts of the Brier score do not
see.

How to read it
--------------
Small beside ``brier_reliability`` it can be ignored. Where it is not, the bins are too wide for
these probabilities, and reliability and resolution describe them badly.

What to do
----------
Raise the number of bins until it no longer matters, or use ``corp_miscalibration``, which has none.

Definition
----------
``sum over bins of n / N * population variance of p`` (Stephenson, Coelho and Jolliffe 2008); see
`brier_reliability` for the whole sum. The interval is the bootstrap of ``ece``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.metrics._bins import Bins, estimate_bins, per
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._pairs import BIN_PARAMS, cells


def within_variance(bins: Bins) -> np.ndarray[Any, Any]:
    """Variance of p within bins."""
    squares = bins.spp - np.nan_to_num(per(bins.sp**2, bins.n))
    return np.asarray(np.maximum(squares, 0.0).sum(axis=-1) / bins.total)


def estimate(state: State, /, **_params: Any) -> Estimate:
    """Variance and its interval out of the cells of one group."""
    return estimate_bins(state, within_variance, everything=True)


metric = state_metric(
    family="calibration",
    state=cells,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="none",
    params=BIN_PARAMS,
)
