"""Share of predictions that are the positive class.

What it shows
-------------
How often the model decides for the positive class, whatever the truth.

How to read it
--------------
A difference between groups is a difference in treatment, which the groups' own rates of the truth
may explain or not.

What to do
----------
Compare it with the rate of positive labels of the same groups, and with the error rates.

Definition
----------
Over all inferences with a prediction, labelled or not: what was predicted is known without any
feedback, and the rate among those who gave feedback is another one. Wilson interval.
"""

from __future__ import annotations

from workbench.metrics._metric import simple_metric

metric = simple_metric(
    family="groups",
    expr=lambda rows: rows.selected,
    needs=("selected",),
    better="none",
    over="all",
    interval="wilson",
)
