"""Performance that probabilities promise, by chunk, before a label is known (CBPE).

It takes the relation of inputs to outcomes to be that of the reference. Where that relation has
changed (concept drift), the promise stays as it was and only labels show the loss.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.engine import BATCH_ROWS
from workbench.scratch import Scratch

Array = np.ndarray[Any, Any]

MEASURES = ("accuracy", "precision", "recall", "roc_auc")

#: The columns that `expected` reads, as SQL over the inferences.
NEEDS = {
    "cbpe_p": "CASE WHEN score BETWEEN 0 AND 1 THEN score END",
    "cbpe_selected": "selected",
    "cbpe_y": "CASE WHEN score IS NOT NULL THEN calibration_y END",
}


def expected(rows: Scratch, *, calibrate: bool = True) -> dict[str, dict[int, dict[str, Any]]]:
    """Expected measures by chunk, each beside the measured one where there are labels.

    Parameters
    ----------
    rows
        Rows with ``chunk``, ``reference`` and the columns of `NEEDS`.
    calibrate
        Fit an isotonic regression of the outcome on the score of the labelled reference, and read
        all scores through it.

    Returns
    -------
    dict
        By measure of `MEASURES` and chunk: ``value``, ``n`` (rows in it), ``measured`` (NULL
        without labels) and ``n_labelled``.

    Notes
    -----
    With q the calibrated probability and s the decision: accuracy is the mean of q where s, else
    of 1 - q; precision is the sum of q over s by the count of s; recall the sum of q over s by the
    sum of q; the area under the ROC curve is that of rows which are positive with weight q and
    negative with weight 1 - q, ordered by the score.
    """
    xs, ys = _calibration(rows) if calibrate else (np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    result: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in MEASURES}
    for chunk, row in sorted(_sums(rows, xs, ys).items()):
        n, k = int(row["n"]), int(row["n_y"])
        promised, seen = _measures(row, n, ""), _measures(row, k, "_y")
        for name in MEASURES:
            result[name][chunk] = {
                "value": promised[name], "n": n,
                "measured": seen[name], "n_labelled": k,
            }  # fmt: skip
    return result


def _sums(rows: Scratch, xs: Array, ys: Array) -> dict[int, dict[str, float]]:
    """What `_measures` takes of each chunk; the scores come in order, a batch at a time.

    A window in the engine takes twice as long as all of this.
    """
    reader = rows.connection.execute(
        "SELECT chunk, cbpe_p AS p, cbpe_selected AS s, count(*) AS n, count(cbpe_y) AS k, "
        f"coalesce(sum(cbpe_y), 0) AS y FROM {rows.name} "
        "WHERE cbpe_p IS NOT NULL AND cbpe_selected IS NOT NULL GROUP BY ALL ORDER BY chunk, p"
    ).to_arrow_reader(BATCH_ROWS)
    found: dict[int, dict[str, float]] = {}
    rest: dict[str, Array] = {}
    for batch in reader:
        read = {
            name: batch.column(name).to_numpy(zero_copy_only=False) for name in batch.schema.names
        }
        held = {name: np.concatenate([rest[name], read[name]]) if rest else read[name]
                for name in read}  # fmt: skip
        # The last score may go on in the next batch.
        end = int(_starts(held)[-1])
        _add(found, {name: column[:end] for name, column in held.items()}, xs, ys)
        rest = {name: column[end:] for name, column in held.items()}
    if rest:
        _add(found, rest, xs, ys)
    return found


def _starts(held: dict[str, Array]) -> Array:
    """Where another score or chunk begins."""
    chunk, p = held["chunk"], held["p"]
    other = (chunk[1:] != chunk[:-1]) | (p[1:] != p[:-1])
    return np.concatenate([[0], np.flatnonzero(other) + 1])


def _add(found: dict[int, dict[str, float]], held: dict[str, Array], xs: Array, ys: Array) -> None:
    """Add the next scores, in order and whole, to the sums of their chunks."""
    for chunk in np.unique(held["chunk"]):
        mine = {name: column[held["chunk"] == chunk] for name, column in held.items()}
        s, n, k, y = (mine[name].astype(np.float64) for name in ("s", "n", "k", "y"))
        # Out of the range of the steps, it is the nearest one.
        q = np.interp(mine["p"], xs, ys)
        starts = _starts(mine)
        sums = found.setdefault(int(chunk), dict.fromkeys(_SUMS, 0.0))
        for ending, m, positive in (("", n, n * q), ("_y", k, y)):
            # Of equal scores, half are ahead of the other half.
            others = np.add.reduceat(m - positive, starts)
            ahead = sums[f"below{ending}"] + np.cumsum(others) - others / 2
            sums[f"pairs{ending}"] += float(np.add.reduceat(positive, starts) @ ahead)
            sums[f"below{ending}"] += others.sum()
            sums[f"n{ending}"] += m.sum()
            sums[f"good{ending}"] += np.where(s == 1.0, positive, m - positive).sum()
            sums[f"pos{ending}"] += positive.sum()
            sums[f"sel{ending}"] += float(s @ m)
            sums[f"tp{ending}"] += float(s @ positive)


_SUMS = tuple(
    f"{name}{ending}"
    for name in ("n", "good", "pos", "sel", "tp", "pairs", "below")
    for ending in ("", "_y")
)


def _calibration(rows: Scratch) -> tuple[Array, Array]:
    """Steps of the isotonic regression; the identity where the reference has no labels."""
    from sklearn.isotonic import IsotonicRegression

    table = rows.run(
        f"SELECT cbpe_p AS p, count(*) AS n, avg(cbpe_y) AS y FROM {rows.name} "
        "WHERE reference AND cbpe_p IS NOT NULL AND cbpe_y IS NOT NULL GROUP BY p ORDER BY p"
    )
    p, n, y = (table.column(name).to_numpy() for name in ("p", "n", "y"))
    if not len(p):
        return np.array([0.0, 1.0]), np.array([0.0, 1.0])
    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(
        p, y, sample_weight=n.astype(np.float64)
    )
    return fitted.X_thresholds_, fitted.y_thresholds_


def _measures(row: dict[str, Any], n: int, ending: str) -> dict[str, float | None]:
    good, pos, sel, tp, pairs = (
        float(row[name + ending] or 0.0) for name in ("good", "pos", "sel", "tp", "pairs")
    )
    return {
        "accuracy": good / n if n else None,
        "precision": tp / sel if sel else None,
        "recall": tp / pos if pos else None,
        "roc_auc": pairs / (pos * (n - pos)) if 0 < pos < n else None,
    }
