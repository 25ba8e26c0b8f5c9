"""Mean squared distance between the predicted probability and what happened (Brier score).

The binary score over the calibration pair, in [0, 1], as scikit-learn's ``brier_score_loss``. The
interval is the Wilson interval at the effective sample size (`formulas.mean_interval`).
"""

from __future__ import annotations

from workbench.formulas import probability
from workbench.metrics._metric import simple_metric

metric = simple_metric(
    expr=lambda rows: (probability(rows.calibration_p) - probability(rows.calibration_y)) ** 2,
    needs=("calibration_p", "calibration_y"),
    better="lower",
)
