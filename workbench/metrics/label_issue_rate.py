"""Share of labelled answers whose label the model's probabilities speak against.

What it shows
-------------
How many labels may be wrong: those where the model is confident of another class, as confident as
it usually is where that class is the label.

How to read it
--------------
It is a suspicion, not a count of mistakes: a model that is confidently wrong about a class makes
good labels look bad. Between groups it compares the labels only where the model is equally good.

What to do
----------
Let a person look at the suspected labels, those of the lowest self-confidence first, before a model
is trained on them.

Definition
----------
Rows that the confident joint counts as another class than their label (Northcutt et al. 2021), as
cleanlab's ``find_label_issues(filter_by="confident_learning")`` flags them, divided by all rows
with a label and class probabilities. Each group has its own thresholds. It needs the configured
``classes``. Wilson interval, with the thresholds taken as given.
"""

from __future__ import annotations

from typing import Any

import ibis.expr.types as ir

from workbench import label_quality
from workbench.metrics._intervals import wilson_of
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._pairs import effective_size


def issues(table: ir.Table, by: tuple[str, ...], /) -> ir.Table:
    """Sums over the rows of each group, and over those whose label is suspected."""
    rows = table.select(*by, "weight", "probabilities", "label_index")
    found = label_quality.counted(rows, by, "weight")
    w = found.weight
    sums = found.aggregate(
        by=list(by),
        rows=found.count(),
        n=w.sum(),
        ww=(w * w).sum(),
        issues=(w * found.label_issue.cast("float64")).sum(),
    )
    return sums.filter(sums["rows"] > 0)


def estimate(state: State, /, **_params: Any) -> Estimate:
    """Share of suspected labels of one group."""
    value = float(state["issues"][0]) / float(state["n"][0])
    low, high = wilson_of(value, effective_size(state))
    return Estimate(value=value, low=low, high=high, n=int(state["rows"][0]))


metric = state_metric(
    family="quality",
    state=issues,
    estimate=estimate,
    needs=("probabilities", "label_index"),
    better="lower",
    interval="wilson",
)
