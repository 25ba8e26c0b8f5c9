"""Share of the positive predictions that the scores promise to be right.

What it shows
-------------
How far a positive prediction can be relied on, before a label is known.

How to read it
--------------
Beside `positive_predictive_value`, which is measured. Scores that are too high promise too much,
and a change in what follows from a score (concept drift) does not show in it.

What to do
----------
Where it falls, the model is asked about harder answers than before: find out which, with
``workbench metrics --drift``.

Definition
----------
Mean of the score over the rows that were predicted positive, labelled or not. Undefined where none
was (``no_positives``). The interval is that of the mean over rows.
"""

from __future__ import annotations

import ibis

from workbench.metrics._expected import NEEDS, promised
from workbench.metrics._metric import simple_metric

metric = simple_metric(
    family="drift",
    expr=lambda rows: rows.selected.cast("boolean").ifelse(promised(rows), ibis.null("float64")),
    needs=NEEDS,
    better="higher",
    over="all",
    base=lambda rows: promised(rows).notnull(),
    undefined="no_positives",
)
