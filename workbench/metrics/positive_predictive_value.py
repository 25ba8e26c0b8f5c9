"""Share of the positive predictions that were right (precision).

What it shows
-------------
How far one can rely on the model when it says that an answer is positive.

How to read it
--------------
It depends on how many positives there are: of two groups with equal error rates the one with fewer
positives has the lower value. "Predictive parity" compares groups by it.

What to do
----------
Where it is low, raise the threshold or look at the false alarms of that group. Compare `base_rate`
first: it may explain the difference.

Definition
----------
``TP / (TP + FP)``: share of positive labels among the rows that were predicted positive. Undefined
where nothing labelled was predicted positive (``no_positives``). Wilson interval.
"""

from __future__ import annotations

from workbench.metrics._decisions import NEEDS, decided, share
from workbench.metrics._metric import simple_metric

metric = simple_metric(
    family="groups",
    expr=lambda rows: share(rows.positive, among=rows.selected),
    needs=NEEDS,
    better="higher",
    interval="wilson",
    base=decided,
    undefined="no_positives",
)
