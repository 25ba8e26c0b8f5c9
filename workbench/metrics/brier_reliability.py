"""Part of the Brier score that recalibration could take away.

What it shows
-------------
The squared distance of predicted probability from observed rate, averaged over the rows: what the
model loses because its probabilities do not mean what they say.

How to read it
--------------
0 is perfect. As a share of ``brier_score`` it says how much better the same model could do with
other numbers for the same ranking. Chance alone adds about the number of bins, divided by four
times the number of rows.

What to do
----------
Where it is a large part of the Brier score, recalibrate: nothing else is as cheap.

Definition
----------
``sum over bins of n / N * (mean of p - mean of y)^2`` (Murphy 1973). With `brier_resolution`,
`brier_uncertainty` and, because probabilities differ within a bin, `brier_within_bin_variance` and
`brier_within_bin_covariance` (Stephenson et al. 2008): reliability - resolution + uncertainty +
variance - covariance = Brier score. Rows that the rule ``guo`` leaves out are a bin of their own,
so that the parts add up. Bins and interval are as those of ``ece``.
"""

from __future__ import annotations

from typing import Any

from workbench.metrics._bins import estimate_bins, mean_probability
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._pairs import BIN_PARAMS, cells
from workbench.metrics.l2_calibration_error import plug_in


def estimate(state: State, /, **_params: Any) -> Estimate:
    """Reliability and its interval out of the cells of one group."""
    return estimate_bins(state, plug_in, by_chance=mean_probability, everything=True)


metric = state_metric(
    family="calibration",
    state=cells,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="lower",
    params=BIN_PARAMS,
)
