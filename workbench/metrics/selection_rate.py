"""Share of predictions that are the positive class.

Over all inferences with a prediction, labelled or not: what was predicted is known without any
feedback, and the rate among those who gave feedback is another one. Wilson interval.
"""

from __future__ import annotations

from workbench.metrics._metric import simple_metric

metric = simple_metric(
    expr=lambda rows: rows.selected,
    needs=("selected",),
    better="none",
    over="all",
    interval="wilson",
)
