"""Probability that a row with the outcome has a higher probability than one without (ROC AUC).

What it shows
-------------
Whether the model ranks: how often it puts the right one of two rows first. It does not depend on
what the probabilities mean, only on their order.

How to read it
--------------
1 is a perfect order, 0.5 is none, below 0.5 is the wrong way round. It hides calibration entirely,
and where the outcome is rare a high value can still mean many false alarms.

What to do
----------
Compare versions and groups. Recalibration leaves it as it is; only another model or other inputs
change it.

Definition
----------
``(pairs in the right order + half of the ties) / all pairs`` of a row with outcome 1 and one with
outcome 0, as scikit-learn's ``roc_auc_score``; NULL where there is one outcome only. The interval
is the Wilson interval at the effective number of rows that the variance of DeLong, DeLong and
Clarke-Pearson (1988) comes to, which is at most the number of rows of the rarer outcome where that
variance is 0.
"""

from __future__ import annotations

from typing import Any

from workbench.metrics._auc import auc
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._pairs import scores


def estimate(state: State, /, **_params: Any) -> Estimate:
    """AUC and its interval out of the scores of one group."""
    return auc(state)


metric = state_metric(
    family="calibration",
    state=scores,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="higher",
    interval="wilson",
)
