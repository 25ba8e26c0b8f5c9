"""Mean surprise at what happened, given the predicted probability (log loss, cross-entropy).

What it shows
-------------
How much probability the model gave to what happened, on a scale where being sure and wrong costs
far more than being unsure.

How to read it
--------------
0 is perfect, 0.693 is always saying 50 %. A few rows that were predicted with certainty and went
the other way can make up most of it: beside a normal ``brier_score``, a large log loss means just
that.

What to do
----------
Open the rows with the largest loss. If they are wrong labels, mend those; if the model is too sure,
recalibrate it or bound its probabilities.

Definition
----------
Mean of ``-(y ln p + (1 - y) ln(1 - p))`` in nats over the calibration pairs. A probability nearer
than 2.22e-16 to 0 or 1 counts as that far away, as in scikit-learn's ``log_loss``: a row that was
certain and wrong costs 36.04, not infinity, so where there are such rows the value depends on this
bound. The interval is that of the mean, +- 1.96 standard errors; with very few large losses it is
too narrow at its upper end.
"""

from __future__ import annotations

from workbench import formulas
from workbench.metrics._metric import simple_metric

metric = simple_metric(
    family="calibration",
    expr=lambda rows: formulas.log_loss(rows.calibration_p, rows.calibration_y),
    needs=("calibration_p", "calibration_y"),
    better="lower",
    interval="normal",
)
