"""Share of the negatives that the model left alone (specificity).

What it shows
-------------
Of the answers that turned out negative, how many the model had predicted to be.

How to read it
--------------
It is 1 - `false_positive_rate`. Where negatives are the rule it is close to 1 for any model.

What to do
----------
Read it beside `true_positive_rate`: a threshold trades one against the other.

Definition
----------
``TN / (FP + TN)``: mean of ``not selected`` over the rows whose label is negative. Undefined
without a negative (``no_negatives``). Wilson interval.
"""

from __future__ import annotations

from workbench.metrics._decisions import NEEDS, decided, no, share
from workbench.metrics._metric import simple_metric

metric = simple_metric(
    family="groups",
    expr=lambda rows: share(no(rows.selected), among=no(rows.positive)),
    needs=NEEDS,
    better="higher",
    interval="wilson",
    base=decided,
    undefined="no_negatives",
)
