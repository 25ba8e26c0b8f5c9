"""Probability that the model was less sure of a wrong answer than of a right one.

What it shows
-------------
Whether the model knows when it is wrong: take one wrong and one right answer, and see how often it
was less sure of the wrong one.

How to read it
--------------
1 means that doubt finds every error first, 0.5 that doubt says nothing, below 0.5 that the model is
surest where it is wrong. It is about the order of the answers only: a model can be right about
which ones are doubtful and still far too sure of all of them.

What to do
----------
Compare the scores of uncertainty, and send what the best one doubts to a person or to a larger
model. Where none is far above 0.5, sample at random for labelling instead.

Definition
----------
Area under the ROC curve of the score for ``correct`` being false: pairs of a wrong and a right
answer in which the wrong one has the larger score, ties counting half, as scikit-learn's
``roc_auc_score`` (Hendrycks and Gimpel 2017). Scores of which small means unsure (log-probabilities
and density) are turned. NULL where all answers are right, or all wrong. The interval is that of
`roc_auc`.
"""

from __future__ import annotations

from typing import Any

import ibis.expr.types as ir

from workbench.metrics._auc import auc
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._uncertain import NEEDS, SCORE, errors


def state(table: ir.Table, by: tuple[str, ...], /, *, score: str) -> ir.Table:
    """Sums by score."""
    return errors(table, by, score)


def estimate(sums: State, /, **_params: Any) -> Estimate:
    """AUROC and its interval out of the scores of one group."""
    return auc(sums)


metric = state_metric(
    family="uncertainty",
    state=state,
    estimate=estimate,
    needs=NEEDS,
    better="higher",
    interval="wilson",
    params={"score": SCORE},
)
