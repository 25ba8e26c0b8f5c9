"""Furthest that cumulative differences of outcome and probability get from 0 (ECCE-MAD).

What it shows
-------------
The largest sum of errors in one direction, from the lowest probability up to any point: a measure
of miscalibration without bins.

How to read it
--------------
0 is perfect; 0.05 means that some stretch of probabilities promised 5 outcomes per 100 rows (of
all) too many or too few. With ``scaled`` it is in standard errors: above about 2.5 is more than
chance.

What to do
----------
See in the reliability diagram which stretch it is. It needs no choice of bins, so it settles cases
where ``ece`` changes with them.

Definition
----------
Largest absolute value of ``C(t) = sum of (y - p) over the rows with p <= t, divided by all rows``
(Arrieta-Ibarra, Gujral, Tannen, Tygert and Xu 2022; the statistic of Kolmogorov and Smirnov). Rows
of one p are taken together, so their order does not matter. ``scaled`` divides by ``sqrt(sum of p
(1 - p)) / n``, as the statistic of MAPIE; not applicable then where every p is 0 or 1. The interval
is that of the mean over the stretch that was found; it starts at 0 where a perfectly calibrated
model would often show as much.
"""

from __future__ import annotations

from typing import Any

from workbench.metrics._ecce import ECCE_PARAMS, ecce
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._pairs import scores

#: The 0.975 quantile of the largest absolute value of a standard Brownian motion on [0, 1].
USUAL = 2.4977054744


def estimate(state: State, /, *, scaled: bool, **_params: Any) -> Estimate:
    """ECCE-MAD and its interval out of the scores of one group."""
    return ecce(state, both_sides=False, usual=USUAL, scaled=scaled)


metric = state_metric(
    family="calibration",
    state=scores,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="lower",
    interval="normal",
    params=ECCE_PARAMS,
)
