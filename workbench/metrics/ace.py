"""Mean distance of predicted probability from observed rate where every bin counts the same.

What it shows
-------------
How far off the model is over the whole range of probabilities, whether many rows are there or few.

How to read it
--------------
Beside ``ece``, where a bin counts by its rows: an ACE well above the ECE means that the model is
off in regions that it seldom uses. Few rows make it noisy.

What to do
----------
If it is the seldom used probabilities that are off and decisions hang on them, collect labels there
and recalibrate.

Definition
----------
Mean over the bins that are not empty of ``abs(sum of p - sum of y) / n``: the average calibration
error of Neumann et al. (2018), as netcal. The adaptive calibration error of Nixon et al. (2019) has
the same initials and is another number: bins of equal mass, averaged over the classes too. Bins and
interval are as those of ``ece``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.metrics._bins import Bins, estimate_bins, mean_probability, per
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._pairs import BIN_PARAMS, cells


def ace(bins: Bins) -> np.ndarray[Any, Any]:
    """Average calibration error of bins."""
    filled = bins.n > 0
    return per(np.where(filled, np.abs(bins.gap), 0.0).sum(axis=-1), filled.sum(axis=-1))


def estimate(state: State, /, **_params: Any) -> Estimate:
    """ACE and its interval out of the cells of one group."""
    return estimate_bins(state, ace, by_chance=mean_probability)


metric = state_metric(
    family="calibration",
    state=cells,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="lower",
    params=BIN_PARAMS,
)
