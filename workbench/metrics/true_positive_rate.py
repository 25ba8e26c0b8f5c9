"""Share of the positives that the model found (recall, sensitivity).

What it shows
-------------
Of the answers that turned out positive, how many the model had predicted to be.

How to read it
--------------
1 is perfect, and so is what a model gets that predicts the positive class always: read it with
`false_positive_rate`. A difference between groups is the one that "equal opportunity" is about.

What to do
----------
Open the positives that were missed in the group with the lowest rate. If their scores are just
below the threshold, move it; if they are low, the model lacks something that it should know.

Definition
----------
``TP / (TP + FN)``: mean of ``selected`` over the rows whose label is positive. Without a positive
it is undefined (``no_positives``), where fairlearn returns 0. Wilson interval.
"""

from __future__ import annotations

from workbench.metrics._decisions import NEEDS, decided, share
from workbench.metrics._metric import simple_metric

metric = simple_metric(
    family="groups",
    expr=lambda rows: share(rows.selected, among=rows.positive),
    needs=NEEDS,
    better="higher",
    interval="wilson",
    base=decided,
    undefined="no_positives",
)
