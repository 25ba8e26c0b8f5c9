"""Range of the cumulative differences of outcome and probability (ECCE-R).

What it shows
-------------
How far the model is off over the stretch of probabilities where its errors add up most, wherever
that stretch begins and ends.

How to read it
--------------
As ``ecce_mad``, which only looks at stretches that begin at the lowest probability: this one is the
larger of the two, at most twice as large. Where they differ much, the error changes its direction.
With ``scaled``, above about 2.7 is more than chance.

What to do
----------
Prefer it to ``ecce_mad`` where a model is too low for some probabilities and too high for others:
the errors do not hide each other. Then find the stretch in the reliability diagram.

Definition
----------
Largest minus smallest value, 0 included, of the walk that `ecce_mad` defines (Arrieta-Ibarra,
Gujral, Tannen, Tygert and Xu 2022; the statistic of Kuiper). ``scaled`` and the interval are as
there; on a few hundred rows that holds the truth in 88 to 93 of 100 samples, as the largest and the
smallest value both follow the noise.
"""

from __future__ import annotations

from typing import Any

from workbench.metrics._ecce import ECCE_PARAMS, ecce
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._pairs import scores

#: The 0.975 quantile of the range of a standard Brownian motion on [0, 1].
USUAL = 2.7343640111


def estimate(state: State, /, *, scaled: bool, **_params: Any) -> Estimate:
    """ECCE-R and its interval out of the scores of one group."""
    return ecce(state, both_sides=True, usual=USUAL, scaled=scaled)


metric = state_metric(
    family="calibration",
    state=scores,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="lower",
    interval="normal",
    params=ECCE_PARAMS,
)
