"""Share of the negative predictions that were right.

What it shows
-------------
How far one can rely on the model when it says that an answer is not positive.

How to read it
--------------
It depends on how many positives there are: where they are rare it is close to 1 for any model.

What to do
----------
Where it is low, open the rows that the model gave up wrongly; they are the ones that a lower
threshold would have caught.

Definition
----------
``TN / (TN + FN)``: share of negative labels among the rows that were predicted negative. Undefined
where nothing labelled was predicted negative (``no_negatives``). Wilson interval.
"""

from __future__ import annotations

from workbench.metrics._decisions import NEEDS, decided, no, share
from workbench.metrics._metric import simple_metric

metric = simple_metric(
    family="groups",
    expr=lambda rows: share(no(rows.positive), among=no(rows.selected)),
    needs=NEEDS,
    better="higher",
    interval="wilson",
    base=decided,
    undefined="no_negatives",
)
