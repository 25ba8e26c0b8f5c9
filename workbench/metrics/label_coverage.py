"""Share of inferences that have a label or a reward.

Over all inferences, labelled or not, with a Wilson interval. It belongs beside every other metric:
what is measured on a small share of the traffic may not hold for the rest.
"""

from __future__ import annotations

from workbench.metrics._metric import simple_metric

metric = simple_metric(
    expr=lambda rows: rows.labelled,
    needs=("label", "reward"),
    better="higher",
    over="all",
    interval="wilson",
)
