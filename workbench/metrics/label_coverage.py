"""Share of inferences that have a label or a reward.

What it shows
-------------
How much of the traffic is heard at all.

How to read it
--------------
What is measured on a small share may not hold for the rest; a group of low coverage is missing
from every other number.

What to do
----------
Find the groups that are silent, and ask them, or weight the others.

Definition
----------
Over all inferences, labelled or not, with a Wilson interval.
"""

from __future__ import annotations

from workbench.metrics._metric import simple_metric

metric = simple_metric(
    family="coverage",
    expr=lambda rows: rows.labelled,
    needs=("label", "reward"),
    better="higher",
    over="all",
    interval="wilson",
)
