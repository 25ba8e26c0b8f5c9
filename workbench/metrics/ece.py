"""Mean distance of predicted probability from observed rate (expected calibration error).

What it shows
-------------
How far the model's probabilities are from what happened, averaged over bins of probability: 0.05
means that where it says 70 %, 65 % or 75 % is typical.

How to read it
--------------
0 is perfect. A small sample shows some error by chance alone: where the interval starts at 0,
chance is enough to explain it. It depends on the bins, so compare numbers of one setting only.

What to do
----------
Open the reliability diagram to see where and in which direction it is off. Where it is off for
everyone, recalibrate; where for one group only, look at that group first.

Definition
----------
``sum over bins of abs(sum of p - sum of y) / n`` over the calibration pairs (Naeini et al. 2015).
Published versions differ in the bin that a value on an edge belongs to, so the rule is a parameter:
the equal-width rules of `formulas.bin_index`, and ``equal_mass``, whose inner edges are the
quantiles ``numpy.quantile(p, j / bins)`` of each group, with the numpy rule at the edges (as
netcal), or ``ntile``, which is closed on the right and whose inner edges lie half-way between the
rows ``numpy.array_split`` would part (verified_calibration). Equal values are never split, so
rounded probabilities give fewer bins.

The interval is a bootstrap over the cells (bin, outcome), each row standing for the mean
probability of its cell (`cell_bootstrap`): it covers the error of the observed rates and of the bin
sizes, but not the scatter of probabilities within a bin. It starts at 0 where a perfectly
calibrated model would often show as much on as few rows; the bootstrap alone would call such a
model miscalibrated every other time. It is NULL where all rows are in one cell.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.metrics._bins import Bins, estimate_bins, mean_probability
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._pairs import BIN_PARAMS, cells


def ece(bins: Bins) -> np.ndarray[Any, Any]:
    """Expected calibration error of bins."""
    return np.asarray(np.abs(bins.sp - bins.sy).sum(axis=-1) / bins.total)


def estimate(state: State, /, **_params: Any) -> Estimate:
    """ECE and its interval out of the cells of one group."""
    return estimate_bins(state, ece, by_chance=mean_probability)


metric = state_metric(
    family="calibration",
    state=cells,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="lower",
    params=BIN_PARAMS,
)
