"""Part of the Brier score that the model earns by telling rows apart.

What it shows
-------------
How far the observed rates of the bins are from the overall rate: what the model knows beyond how
often the outcome happens.

How to read it
--------------
Higher is better; at most ``brier_uncertainty``. 0 means that the probabilities say nothing about
the outcome, however well calibrated they are.

What to do
----------
Recalibration cannot raise it. Where it is low, the model needs better inputs or another model.

Definition
----------
``sum over bins of n / N * (mean of y - overall mean of y)^2`` (Murphy 1973); see
`brier_reliability` for the whole sum. The interval is the bootstrap of ``ece``, and starts at 0
where probabilities without any relation to the outcome would often show as much.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.metrics._bins import Bins, estimate_bins, overall_rate, per
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._pairs import BIN_PARAMS, cells


def resolution(bins: Bins) -> np.ndarray[Any, Any]:
    """Variance between the observed rates of bins."""
    overall = bins.sy.sum(axis=-1, keepdims=True) / bins.n.sum(axis=-1, keepdims=True)
    apart = np.nan_to_num(per(bins.sy, bins.n) - overall)
    return np.asarray((bins.n * apart**2).sum(axis=-1) / bins.total)


def estimate(state: State, /, **_params: Any) -> Estimate:
    """Resolution and its interval out of the cells of one group."""
    return estimate_bins(state, resolution, by_chance=overall_rate, everything=True)


metric = state_metric(
    family="calibration",
    state=cells,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="higher",
    params=BIN_PARAMS,
)
