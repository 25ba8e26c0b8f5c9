"""Mean squared distance between the predicted probability and what happened (Brier score).

What it shows
-------------
How far probabilities are from outcomes, row by row: calibration and sharpness in one number.

How to read it
--------------
0 is perfect, 0.25 is always saying 50 %. A rare outcome scores low by itself: compare numbers of
one outcome rate only.

What to do
----------
Look at its parts: ``brier_reliability`` is what recalibration can mend, ``brier_resolution`` is
what the model knows.

Definition
----------
Mean of ``(p - y)^2`` over the calibration pairs, in [0, 1], as scikit-learn's ``brier_score_loss``
(Brier 1950). The interval is the Wilson interval at the effective sample size
(`formulas.mean_interval`).
"""

from __future__ import annotations

from workbench.formulas import probability
from workbench.metrics._metric import simple_metric

metric = simple_metric(
    family="calibration",
    expr=lambda rows: (probability(rows.calibration_p) - probability(rows.calibration_y)) ** 2,
    needs=("calibration_p", "calibration_y"),
    better="lower",
)
