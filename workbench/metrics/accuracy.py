"""Share of labelled predictions that are right.

What it shows
-------------
How often the prediction is the label that people gave, over the answers that somebody labelled.

How to read it
--------------
Beside the coverage of labels: 95 % over the 3 % that were labelled says little. Where one class is
rare, always predicting the other one scores high as well.

What to do
----------
Compare groups and versions with their intervals, and open the rows behind the worst one.

Definition
----------
Mean of ``correct``: label = prediction, for labels of kind label only. Where there are none, the
share is not applicable rather than 0. Wilson interval.
"""

from __future__ import annotations

from workbench.metrics._metric import simple_metric

metric = simple_metric(
    family="quality",
    expr=lambda rows: rows.correct,
    needs=("correct",),
    better="higher",
    interval="wilson",
)
