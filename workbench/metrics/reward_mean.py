"""Mean reward of the inferences that have one, from 0 to 1.

What it shows
-------------
How pleased people were, on the one scale that the signals were brought to.

How to read it
--------------
Beside the coverage of labels and the kinds of signals: a new kind of feedback moves it without any
change of the model.

What to do
----------
Compare versions and groups with their intervals, and read the rows of the lowest rewards.

Definition
----------
The interval is the Wilson interval at the effective sample size (`formulas.mean_interval`); for
rewards of 0 and 1 only, that is the Wilson interval of n - 1 rows.
"""

from __future__ import annotations

from workbench.metrics._metric import simple_metric

metric = simple_metric(
    family="quality", expr=lambda rows: rows.reward, needs=("reward",), better="higher"
)
