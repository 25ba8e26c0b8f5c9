"""Part of the Brier score that the best rising recalibration takes away (MCB of CORP).

What it shows
-------------
What the model loses because its probabilities do not mean what they say, without any choice of
bins.

How to read it
--------------
0 is perfect. ``brier_score`` = this - ``corp_discrimination`` + ``brier_uncertainty``, exactly. A
little of it is chance, as the best curve also follows the noise: an interval that starts at 0 says
that this may be all.

What to do
----------
It is what isotonic recalibration on these very rows would gain. Where it is large beside the Brier
score, recalibrate, and measure the gain on later rows.

Definition
----------
Brier score minus the Brier score of the isotonic regression of y on p, rows of one p taken together
(Dimitriadis, Gneiting and Jordan 2021), by pooling adjacent violators. The
interval is the bootstrap of ``ece`` over up to 500 steps of neighbouring probabilities and their
outcomes, the curve fitted anew in each resample.
"""

from __future__ import annotations

from typing import Any

from workbench.metrics._corp import corp, miscalibration
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._pairs import scores


def estimate(state: State, /, **_params: Any) -> Estimate:
    """Miscalibration and its interval out of the scores of one group."""
    return corp(state, miscalibration, by_chance=lambda curve: curve.p)


metric = state_metric(
    family="calibration",
    state=scores,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="lower",
)
