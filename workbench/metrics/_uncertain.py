"""The score of uncertainty and the error of each row, and what is common to the metrics of both."""

from __future__ import annotations

import ibis.expr.types as ir

from workbench.formulas import finite
from workbench.metrics._metric import Param
from workbench.metrics._pairs import sizes

#: Columns that say how unsure a model was, and whether large (1) or small (-1) values mean so.
SCORES = {
    "least_confidence": 1.0,
    "margin": 1.0,
    "entropy": 1.0,
    "mutual_information": 1.0,
    "vote_entropy": 1.0,
    "disagreement": 1.0,
    "sum_logprob": -1.0,
    "mean_logprob": -1.0,
    "min_logprob": -1.0,
    "perplexity": 1.0,
    "density": -1.0,
}

#: The columns that every metric over `errors` needs.
NEEDS = ("correct", *SCORES)

SCORE = Param(
    default="least_confidence",
    about="Which column says how unsure the model was.",
    choices=tuple(SCORES),
)


def errors(table: ir.Table, by: tuple[str, ...], score: str) -> ir.Table:
    """Sums over the rows of each different score of each group, in rising order.

    Parameters
    ----------
    table, by
        As a state function gets them.
    score
        One of `SCORES`. It is turned so that large means unsure; rows without it, or without
        ``correct``, are left out.

    Returns
    -------
    ir.Table
        `by`, ``score``, ``rows``, ``n`` (sum of weights), ``ww`` (sum of their squares), ``sy`` and
        ``wwy`` (the same two over the rows where the model was wrong).
    """
    rows = table.select(
        *by,
        "weight",
        score=SCORES[score] * finite(table[score]),
        wrong=1.0 - table.correct.cast("float64"),
    )
    rows = rows.filter(rows.score.notnull() & rows.wrong.notnull())
    w = rows.weight
    return rows.aggregate(
        by=[*by, "score"],
        **sizes(table, rows),
        sy=(w * rows.wrong).sum(),
        wwy=(w * w * rows.wrong).sum(),
    ).order_by([*by, "score"])
