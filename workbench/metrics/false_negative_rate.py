"""Share of the positives that the model missed (miss rate).

What it shows
-------------
Of the answers that turned out positive, how many the model had predicted not to be.

How to read it
--------------
It is 1 - `true_positive_rate`, but a ratio of two groups is another one: 1 % against 2 % missed is
twice as many, although 99 % against 98 % found looks the same.

What to do
----------
Use it where a miss is what costs. Export the missed rows of the worst group as a training slice.

Definition
----------
``FN / (TP + FN)``: mean of ``not selected`` over the rows whose label is positive. Undefined
without a positive (``no_positives``). Wilson interval.
"""

from __future__ import annotations

from workbench.metrics._decisions import NEEDS, decided, no, share
from workbench.metrics._metric import simple_metric

metric = simple_metric(
    family="groups",
    expr=lambda rows: share(no(rows.selected), among=rows.positive),
    needs=NEEDS,
    better="lower",
    interval="wilson",
    base=decided,
    undefined="no_positives",
)
