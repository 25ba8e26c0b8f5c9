"""Share of all errors that are among the answers of which the model was least sure.

What it shows
-------------
How many of the errors a person would find who looks only at the part of the answers that the model
doubted most: 0.65 at a share of 0.1 means that a tenth of the work finds 65 % of the errors.

How to read it
--------------
Against the share itself, which is what a random choice finds, and against 1, or the share divided
by the error rate where errors are more than fit in. It counts labelled answers only: where those
are no random part of all, the share of all errors may be another.

What to do
----------
Choose the score that captures most at the share that can be reviewed, and make a slice of it.

Definition
----------
Errors (``correct`` is false) among the ``share * n`` largest scores, divided by all errors: the
cumulative gain, or recall at that share. A row on the border counts in part, and of several rows
with equal scores on it each counts in the same part, which is the mean over all orders of the ties.
Scores of which small means unsure are turned. NULL with reason `no_positives` where nothing was
wrong. The interval is the Wilson interval at the number of rows that the variance of 2000 bootstrap
replicates comes to, each with its own border; where they do not vary, at the number of errors.
"""

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np

from workbench.metrics._bootstrap import Array, resample
from workbench.metrics._intervals import wilson_of
from workbench.metrics._metric import Estimate, Param, State, state_metric
from workbench.metrics._pairs import effective_size
from workbench.metrics._uncertain import NEEDS, SCORE, errors

# The rows up to the border are resampled in so many steps, and those beyond in equal ones up to
# five times the share; what is further away does not come near the border.
_STEPS, _FAR = 10, 5


def state(table: ir.Table, by: tuple[str, ...], /, *, score: str, share: float) -> ir.Table:
    """Sums over the rows of each step of falling score: errors, and those before the border."""
    sums = errors(table, by, score)
    falling = ibis.window(
        group_by=list(by), order_by=ibis.desc("score"), preceding=None, following=0
    )
    group = ibis.window(group_by=list(by))
    placed = sums.mutate(before=sums.n.sum().over(falling) - sums.n, k=sums.n.sum().over(group))
    placed = placed.mutate(k=placed.k * ibis.literal(share, "float64"))
    # Weights add up with an error that depends on their order; steps must not.
    step = (placed.before / placed.k * _STEPS).round(9).floor()
    room = ((placed.k - placed.before) / placed.n).clip(0.0, 1.0)
    placed = placed.mutate(step=ibis.least(step, float(_STEPS * _FAR)), captured=placed.sy * room)
    found = placed.aggregate(
        by=[*by, "step"],
        rows=placed["rows"].sum(),
        n=placed.n.sum(),
        ww=placed.ww.sum(),
        sy=placed.sy.sum(),
        wwy=placed.wwy.sum(),
        captured=placed.captured.sum(),
    )
    return found.order_by([*by, "step"])


def estimate(sums: State, /, *, share: float, **_params: Any) -> Estimate:
    """Captured share of the errors of one group."""
    wrong = sums["sy"].astype(np.float64)
    right = sums["n"].astype(np.float64) - wrong
    total, rows = float(wrong.sum()), int(sums["rows"].sum())
    if total <= 0.0:
        return Estimate(reason="no_positives")
    value = min(1.0, float(sums["captured"].sum()) / total)
    k = share * float(wrong.sum() + right.sum())

    def captured(draws: Array) -> Array:
        errors_of, others = np.split(draws, 2, axis=-1)
        size = errors_of + others
        before = np.cumsum(size, axis=-1) - size
        room = np.clip((k - before) / np.where(size > 0, size, 1.0), 0.0, 1.0)
        found = errors_of.sum(axis=-1)
        return np.asarray((errors_of * room).sum(axis=-1) / np.where(found > 0, found, np.nan))

    drawn = captured(resample(np.concatenate([wrong, right]), effective_size(sums)))
    spread = float(np.nanvar(drawn))
    size = total * total / float(sums["wwy"].sum())
    if spread > 1e-12 and 0.0 < value < 1.0:
        size = value * (1.0 - value) / spread
    low, high = wilson_of(value, size)
    return Estimate(value=value, low=low, high=high, n=rows)


metric = state_metric(
    family="uncertainty",
    state=state,
    estimate=estimate,
    needs=NEEDS,
    better="higher",
    params={
        "share": Param(
            default=0.1,
            about="Share of the answers that are looked at, the least sure first.",
            minimum=0.001,
            maximum=1,
        ),
        "score": SCORE,
    },
)
