"""How far each rater can be believed, as the weight of their vote on labels.

What it shows
-------------
For every rater how often they say what is true of an inference, as far as several raters of the
same inferences let one tell, and the weight that follows from it.

How to read it
--------------
The accuracy is against a consensus that the rater has a part in, so it is kind to raters of whom
nearly all inferences have few others. A weight of 0 belongs to a rater who is no better than
chance: that vote does not count. A rater about whom nothing is known has the weight of the average.
Where raters share a mistake, the consensus has it too.

What to do
----------
Set ``policy = "rater_weighted"`` under ``[labels]`` in workbench.toml, build, and see with
``workbench metrics --policies`` how many labels it changes. Look at raters of weight 0 with
``workbench metrics --raters`` before you let the weights decide.

Definition
----------
Votes are each rater's last word under each deciding signal: the class, else 1 or 0 by the reward.
Over the inferences with votes of at least two raters, the model of Dawid and Skene (1979) gives the
probability of each class, and the accuracy of a rater is the mean probability of what they said. It
is drawn towards the accuracy of all by ``prior`` votes:
``a = (right + prior * all) / (n + prior)``, with ``all = (right + 1) / (n + 2)`` over all votes.
The weight is ``a`` itself, or its log-odds ``ln((K - 1) a / (1 - a))`` over K classes, never below
0, which is the best weight of a vote where raters err independently (Nitzan and Paroush 1982).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from workbench import dawid_skene
from workbench.artefacts._kind import Fitted, Rows, artefact_kind
from workbench.errors import DataError
from workbench.guide import Param


def fit(rows: Rows, params: Mapping[str, Any]) -> Fitted:
    """Accuracy and weight of every rater who judged what others judged too."""
    if rows.votes is None:
        raise DataError("There are no votes to fit raters on.", "Map feedback in workbench.toml.")
    votes = rows.votes.semi_join(rows.table, "request_id")
    several = votes.group_by("request_id").agg(__raters=votes.rater_id.nunique())
    several = several.filter(several["__raters"] > 1)
    shared = votes.semi_join(several, "request_id").select("request_id", "rater_id", "side")
    table = rows.execute(shared)
    if not table.num_rows:
        raise DataError(
            "No inference has votes of two raters, so nothing tells how reliable they are.",
            "Let some inferences be judged by several raters, with a rater_id each.",
        )
    item, items = dawid_skene.numbered(table["request_id"])
    rater, raters = dawid_skene.numbered(table["rater_id"])
    said, classes = dawid_skene.numbered(table["side"])
    found = dawid_skene.consensus(item, rater, said, len(classes))
    n, right = dawid_skene.hits(found, item, rater, said)
    everyone = (right.sum() + 1.0) / (n.sum() + 2.0)
    prior = params["prior"]
    accuracy = (right + prior * everyone) / (n + prior)
    weight = {
        name: _weight(float(a), len(classes), params["weight"])
        for name, a in zip(raters, accuracy, strict=True)
    }
    listed = [
        {
            "rater_id": name,
            "n": int(n[j]),
            "accuracy": float(right[j] / n[j]),
            "weight": weight[name],
        }
        for j, name in enumerate(raters)
    ]
    return Fitted(
        state={
            **params,
            "classes": classes,
            "weights": weight,
            "other": _weight(float(everyone), len(classes), params["weight"]),
        },
        n=len(items),
        figures={
            "raters": sorted(listed, key=lambda row: (row["weight"], row["rater_id"])),
            "rounds": found.rounds,
            "converged": found.converged,
            "ties": int(np.sum(found.classes() < 0)),
        },
    )


def _weight(accuracy: float, classes: int, kind: str) -> float:
    if kind == "accuracy":
        return accuracy
    odds = max(classes - 1, 1) * accuracy / (1.0 - accuracy)
    return max(0.0, math.log(odds))


artefact = artefact_kind(
    columns=(),
    fit=fit,
    needs=(),
    weighs_votes=True,
    params={
        "weight": Param(
            default="log_odds",
            about="What the weight of a vote is.",
            choices=("log_odds", "accuracy"),
        ),
        "prior": Param(
            default=10,
            about="Votes of average accuracy that every rater is given beside their own.",
            minimum=1,
            maximum=1_000_000,
        ),
    },
)
