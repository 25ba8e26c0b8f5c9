"""Share of labelled predictions that are right.

Only labels of kind label say whether a prediction is right (column `correct`). Where there are
none, the share is not applicable rather than 0. Wilson interval.
"""

from __future__ import annotations

from workbench.metrics._metric import simple_metric

metric = simple_metric(
    expr=lambda rows: rows.correct, needs=("correct",), better="higher", interval="wilson"
)
