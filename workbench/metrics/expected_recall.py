"""Share of the positives that the scores promise to be found.

What it shows
-------------
How many of the answers that will turn out positive the model has predicted so, before a label is
known.

How to read it
--------------
Beside `true_positive_rate`, which is measured. It takes the scores at their word, so it misses
whatever they do not know, such as an outcome that no longer follows from the inputs as it did
(concept drift).

What to do
----------
Where it falls and `selection_rate` does too, the threshold is too high for the answers of today.

Definition
----------
``sum of p over the predicted positives / sum of p``, labelled or not. Undefined where the sum is 0
(``no_positives``). The interval is that of a ratio of sums by its first-order variance, cut at 0
and 1; NULL below two rows.
"""

from __future__ import annotations

import math
from typing import Any

import ibis.expr.types as ir
import numpy as np

from workbench.formulas import Z95
from workbench.metrics._expected import NEEDS, promised
from workbench.metrics._metric import Estimate, State, state_metric


def state(table: ir.Table, by: tuple[str, ...]) -> ir.Table:
    """Sums of the scores of each group by decision."""
    named = table.select(*by, "weight", selected=table.selected.cast("boolean"), p=promised(table))
    rows = named.filter(named.p.notnull())
    weighted = rows.weight * rows.p
    found = rows.aggregate(
        by=[*by, "selected"],
        rows=rows.count(),
        sp=weighted.sum(),
        squares=(weighted * weighted).sum(),
    )
    return found.order_by([*by, "selected"])


def estimate(state: State, /, **_params: Any) -> Estimate:
    """Expected recall of one group."""
    found = state["selected"].astype(bool)
    total, rows = float(state["sp"].sum()), int(state["rows"].sum())
    if total <= 0:
        return Estimate(reason="no_positives")
    value = min(float(state["sp"][found].sum()) / total, 1.0)
    if rows < 2:
        return Estimate(value=value, n=rows)
    away = np.where(found, 1.0 - value, value)
    half = Z95 * math.sqrt(float((away * away * state["squares"]).sum())) / total
    return Estimate(value=value, low=max(0.0, value - half), high=min(1.0, value + half), n=rows)


metric = state_metric(
    family="drift",
    state=state,
    estimate=estimate,
    needs=NEEDS,
    better="higher",
    over="all",
    interval="normal",
)
