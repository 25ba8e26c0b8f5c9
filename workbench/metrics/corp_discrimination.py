"""Part of the Brier score that the model earns by ranking, were it recalibrated (DSC of CORP).

What it shows
-------------
How much better than the overall rate the model's order of the rows could predict, without any
choice of bins.

How to read it
--------------
Higher is better; at most ``brier_uncertainty``. Like ``roc_auc`` it only depends on the order of
the probabilities, but it is on the scale of the Brier score, so it can be set against
``corp_miscalibration``.

What to do
----------
Where miscalibration is larger, recalibrating is worth most; where this is low, a better model is.

Definition
----------
Brier score of the overall rate minus the Brier score of the isotonic regression of y on p
(Dimitriadis, Gneiting and Jordan 2021). Fit and interval are as those of `corp_miscalibration`; the
interval starts at 0 where an order without any relation to the outcome would often show as much.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.metrics._corp import Curve, corp, discrimination
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._pairs import scores


def _rate(curve: Curve) -> np.ndarray[Any, Any]:
    return np.full(len(curve.n), curve.sy.sum() / curve.n.sum())


def estimate(state: State, /, **_params: Any) -> Estimate:
    """Discrimination and its interval out of the scores of one group."""
    return corp(state, discrimination, by_chance=_rate)


metric = state_metric(
    family="calibration",
    state=scores,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="higher",
)
