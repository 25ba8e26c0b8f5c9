"""Share of positives among the labelled answers.

What it shows
-------------
How often the positive class is the truth, as far as feedback says so.

How to read it
--------------
It says nothing about the model. Groups that differ in it differ in `selection_rate` and
`positive_predictive_value` even where the model is equally good for both.

What to do
----------
Look at it before any difference between groups. If it is low where few people answer, find out who
answers: the rate is that of the labelled rows, not of all.

Definition
----------
Mean of ``positive`` over labelled rows: the label is the positive class, or 1 where labels come
from rewards. Wilson interval.
"""

from __future__ import annotations

from workbench.metrics._metric import simple_metric

metric = simple_metric(
    family="groups",
    expr=lambda rows: rows.positive,
    needs=("positive",),
    better="none",
    interval="wilson",
)
