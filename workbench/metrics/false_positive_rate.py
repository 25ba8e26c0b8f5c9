"""Share of the negatives that the model took for positive (fall-out).

What it shows
-------------
Of the answers that turned out negative, how many the model had predicted to be positive.

How to read it
--------------
0 is perfect. Negatives are often many, so a small rate can still mean that most alarms are false:
read it with `positive_predictive_value`.

What to do
----------
Compare groups. Where one is far above the others, look at which of its features the model reads as
a sign of the positive class.

Definition
----------
``FP / (FP + TN)``: mean of ``selected`` over the rows whose label is negative. Without a negative
it is undefined (``no_negatives``), where fairlearn returns 0 and so shows a disparity that nobody
measured. Wilson interval.
"""

from __future__ import annotations

from workbench.metrics._decisions import NEEDS, decided, no, share
from workbench.metrics._metric import simple_metric

metric = simple_metric(
    family="groups",
    expr=lambda rows: share(rows.selected, among=no(rows.positive)),
    needs=NEEDS,
    better="lower",
    interval="wilson",
    base=decided,
    undefined="no_negatives",
)
