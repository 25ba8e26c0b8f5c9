"""Performance that probabilities promise, by chunk, before a label is known (CBPE).

It takes the relation of inputs to outcomes to be that of the reference. Where that relation has
changed (concept drift), the promise stays as it was and only labels show the loss.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.scratch import Scratch

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
    rows.connection.execute(
        "CREATE OR REPLACE TEMP TABLE calibration AS SELECT *, "
        "coalesce(lead(x) OVER (ORDER BY x), x) AS x1, "
        "coalesce(lead(y) OVER (ORDER BY x), y) AS y1 "
        "FROM (SELECT unnest($1::DOUBLE[]) AS x, unnest($2::DOUBLE[]) AS y)",
        [xs.tolist(), ys.tolist()],
    )
    # One row for each score and decision; below the first step, the score of the first step.
    found = rows.run(
        f"""
        WITH held AS (
          SELECT *, greatest(p, {float(xs[0])!r}::DOUBLE) AS place,
            CASE WHEN s THEN y ELSE k - y END AS hits
          FROM (
            SELECT chunk, cbpe_p AS p, cbpe_selected AS s, count(*) AS n, count(cbpe_y) AS k,
              sum(cbpe_y) AS y
            FROM {rows.name} WHERE cbpe_p IS NOT NULL AND cbpe_selected IS NOT NULL GROUP BY ALL
          )
        ), read AS (
          SELECT held.*, CASE WHEN x1 > x
            THEN c.y + (c.y1 - c.y) * ((least(place, x1) - x) / (x1 - x)) ELSE c.y END AS q
          FROM held ASOF JOIN calibration c ON held.place >= c.x
        ), curve AS (
          SELECT *, sum(n * (1 - q)) OVER w AS upto, sum(n * (1 - q)) OVER e AS here,
            sum(k - y) OVER w AS upto_y, sum(k - y) OVER e AS here_y
          FROM read WINDOW w AS (PARTITION BY chunk ORDER BY p RANGE UNBOUNDED PRECEDING),
            e AS (PARTITION BY chunk, p)
        )
        SELECT chunk, sum(n)::BIGINT AS n, sum(k)::BIGINT AS k,
          sum(n * CASE WHEN s THEN q ELSE 1 - q END) AS good, sum(n * q) AS pos,
          sum(n) FILTER (s) AS sel, sum(n * q) FILTER (s) AS tp,
          sum(n * q * (upto - here / 2)) AS pairs,
          sum(hits) AS good_y, sum(y) AS pos_y, sum(k) FILTER (s) AS sel_y,
          sum(y) FILTER (s) AS tp_y, sum(y * (upto_y - here_y / 2)) AS pairs_y
        FROM curve GROUP BY chunk ORDER BY chunk
        """
    ).to_pylist()
    result: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in MEASURES}
    for row in found:
        promised = _measures(row, row["n"], "")
        seen = _measures(row, row["k"], "_y")
        for name in MEASURES:
            result[name][row["chunk"]] = {
                "value": promised[name], "n": row["n"],
                "measured": seen[name], "n_labelled": row["k"],
            }  # fmt: skip
    return result


def _calibration(rows: Scratch) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
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
