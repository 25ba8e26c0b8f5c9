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
netcal). Equal values are never split, so rounded probabilities give fewer bins.

The interval is a bootstrap over the cells (bin, outcome), each row standing for the mean
probability of its cell (`cell_bootstrap`): it covers the error of the observed rates and of the bin
sizes, but not the scatter of probabilities within a bin. It starts at 0 where a perfectly
calibrated model would often show as much on as few rows (`calibrated_noise`); the bootstrap alone
would call such a model miscalibrated every other time. It is NULL where all rows are in one cell.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.metrics._bootstrap import calibrated_noise, cell_bootstrap
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._pairs import BIN_PARAMS, by_bin, cells, effective_size


def estimate(state: State, /, **_params: Any) -> Estimate:
    """ECE and its interval out of the cells of one group."""
    n, sp = state["n"].astype(np.float64), state["sp"].astype(np.float64)
    gap = sp / n - state["y"].astype(np.float64)
    total, rows = n.sum(), int(state["rows"].sum())
    binned, indicator = by_bin(state)
    if not binned.any():
        return Estimate(reason="not_applicable")

    def ece(counts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.asarray(np.abs((counts * gap) @ indicator).sum(axis=-1) / total)

    value = float(ece(n))
    size = effective_size(state)
    low, high = cell_bootstrap(n, value, ece, size=size)
    if low is not None:
        inside = n @ indicator
        share = size / total
        if value <= calibrated_noise(inside * share, (sp @ indicator) / inside, size):
            low = 0.0
    return Estimate(value=value, low=low, high=high, n=rows)


metric = state_metric(
    family="calibration",
    state=cells,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="lower",
    params=BIN_PARAMS,
)
