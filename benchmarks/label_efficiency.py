"""What samplers save in labels, and what their weights are worth, on the digits of scikit-learn.

- `labels`: batches of 10 are labelled, a logistic regression is trained on all labels so far, and
  its margins decide on the next batch. Printed is the mean accuracy on digits that were held out,
  for rows that are drawn uniformly and for those of the greatest uncertainty, and the number of
  labels with which each sampler reaches what uniform draws reach with 160.
- `weights`: is it an eight? A model that sees all pixels scores the pool; a smaller one, which sees
  eight principal components, is trained on 200 rows drawn by the uncertainty of the first, on 200
  drawn in proportion to its probability, and on 200 drawn uniformly, with `sample_weight` and
  without. Printed is how far its mean probability is from the share of eights in the pool
  (calibration in the large), as the mean over the seeds and as the mean distance, and its expected
  calibration error.

All rows are drawn by the samplers of the workbench, out of an Arrow table of scores. Each part is
printed as one JSON line, the figure goes to ``--out``, and the exit code is 1 where margin sampling
needs more than 110 labels, or where the weights do not bring the calibration back.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
from plotly.subplots import make_subplots
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from workbench import engine
from workbench.metrics import evaluate, without_intervals
from workbench.samplers import draw, parse_sampler

FIRST, BATCH, MOST = 20, 10, 160
Array = np.ndarray[Any, Any]


def arrow(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    return connection.execute(sql).to_arrow_table()


def sample(
    connection: duckdb.DuckDBPyConnection, call: str, n: int, seed: int, **scores: Array
) -> tuple[Array, Array]:
    """Indices and weights of the rows that a sampler draws, but for those without a margin."""
    size = len(next(iter(scores.values())))
    columns = {name: pa.array(values) for name, values in scores.items()}
    ids = pa.array(map(str, range(size)), pa.string())
    with engine.registered(connection, "pool", pa.table({"request_id": ids, **columns})):
        plan, run = parse_sampler(call).plan(), partial(arrow, connection)
        source = "(FROM pool WHERE isfinite(margin))"
        found = run(draw(plan, source, "request_id", n, seed, run)).sort_by("request_id")
    weights = found["sample_weight"].to_numpy()
    return found["request_id"].cast(pa.int64()).to_numpy(), weights


def classifier() -> LogisticRegression:
    return LogisticRegression(max_iter=2_000)


# -- labels ----------------------------------------------------------------------------------------


def curve(
    connection: duckdb.DuckDBPyConnection, call: str, seed: int, x: Array, y: Array
) -> list[float]:
    """Accuracy on held-out digits after each batch."""
    pool, held, labels, truth = train_test_split(x, y, test_size=0.3, random_state=seed)
    labelled, _ = sample(connection, "uniform", FIRST, seed, margin=np.ones(len(pool)))
    accuracy = []
    while True:
        model = classifier().fit(pool[labelled], labels[labelled])
        accuracy.append(float(model.score(held, truth)))
        if len(labelled) == MOST:
            return accuracy
        top = np.sort(model.predict_proba(pool), axis=1)[:, -2:]
        margin = 1 - (top[:, 1] - top[:, 0])
        margin[labelled] = np.nan
        more, _ = sample(connection, call, BATCH, seed, margin=margin)
        labelled = np.concatenate([labelled, more])


def labels(connection: duckdb.DuckDBPyConnection, seeds: int) -> dict[str, Any]:
    x, y = load_digits(return_X_y=True)
    x = x / 16
    counts = list(range(FIRST, MOST + 1, BATCH))
    calls = ["uniform", "uncertainty(scheme='top')", "uncertainty(power=4.0)"]
    curves = {
        call: np.mean([curve(connection, call, seed, x, y) for seed in range(seeds)], axis=0)
        for call in calls
    }
    goal = float(curves["uniform"][-1])
    needed = {
        call: next((n for n, a in zip(counts, found, strict=True) if a >= goal), None)
        for call, found in curves.items()
    }
    return {
        "part": "labels",
        "seeds": seeds,
        "labels": counts,
        "accuracy": {call: [round(float(a), 4) for a in found] for call, found in curves.items()},
        "labels_to_reach": {"accuracy": round(goal, 4), **needed},
    }


# -- weights ---------------------------------------------------------------------------------------


def ece(connection: duckdb.DuckDBPyConnection, p: Array, y: Array) -> float:
    rows = pa.table({"calibration_p": p, "calibration_y": y, "label": y.astype(int).astype(str)})
    with engine.registered(connection, "pairs", rows), without_intervals():
        table = engine.backend(connection).sql("SELECT * FROM pairs")
        found = evaluate(table, ["ece"], execute=lambda sql: arrow(connection, sql))
    return float(found[0]["value"])


def weights(connection: duckdb.DuckDBPyConnection, seeds: int) -> dict[str, Any]:
    x, digit = load_digits(return_X_y=True)
    y = (digit == 8).astype(float)
    small = StandardScaler().fit_transform(PCA(8, random_state=0).fit_transform(x))
    calls = ["uniform", "uncertainty", "importance(score='p')"]
    gaps: dict[str, list[float]] = {}
    errors: dict[str, list[float]] = {}
    for seed in range(seeds):
        start, _ = sample(connection, "uniform", 200, 10_000 + seed, margin=np.ones(len(x)))
        p = classifier().fit(x[start] / 16, y[start]).predict_proba(x / 16)[:, 1]
        for call in calls:
            rows, weight = sample(connection, call, 200, seed, margin=1 - np.abs(2 * p - 1), p=p)
            for name, used in ((f"{call}, weighted", weight), (f"{call}, unweighted", None)):
                model = classifier().fit(
                    small[rows], y[rows], None if used is None else used / used.mean()
                )
                found = model.predict_proba(small)[:, 1]
                gaps.setdefault(name, []).append(float(found.mean() - y.mean()))
                errors.setdefault(name, []).append(ece(connection, found, y))
    return {
        "part": "weights",
        "seeds": seeds,
        "share_of_eights": round(float(y.mean()), 4),
        "in_the_large": {name: round(statistics.mean(gap), 4) for name, gap in gaps.items()},
        "distance": {name: round(statistics.mean(map(abs, gap)), 4) for name, gap in gaps.items()},
        "ece": {name: round(statistics.mean(error), 4) for name, error in errors.items()},
    }


# -- the run ---------------------------------------------------------------------------------------


def draw_figure(efficiency: dict[str, Any], calibration: dict[str, Any], path: Path) -> None:
    figure = make_subplots(
        1, 2, subplot_titles=("Accuracy by number of labels", "Calibration on the pool")
    )
    for call, accuracy in efficiency["accuracy"].items():
        figure.add_trace(go.Scatter(x=efficiency["labels"], y=accuracy, name=call), 1, 1)
    figure.add_hline(
        efficiency["labels_to_reach"]["accuracy"], line_dash="dot", line_width=1, row=1, col=1
    )
    for measure, label in (("ece", "ECE"), ("in_the_large", "mean probability - share")):
        values = calibration[measure]
        figure.add_trace(go.Bar(x=list(values), y=list(values.values()), name=label), 1, 2)
    figure.update_layout(template="plotly_white", title="Samplers on the digits of scikit-learn")
    figure.write_html(path, include_plotlyjs=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path, help="where the figure goes, as HTML")
    given = parser.parse_args()
    with engine.connect() as connection:
        efficiency = labels(connection, given.seeds)
        print(json.dumps(efficiency), flush=True)
        calibration = weights(connection, given.seeds)
        print(json.dumps(calibration), flush=True)
    if given.out:
        draw_figure(efficiency, calibration, given.out)
    needed = efficiency["labels_to_reach"]["uncertainty(scheme='top')"]
    holds = needed is not None and needed <= 110
    for call in ("uncertainty", "importance(score='p')"):
        for measure in ("distance", "ece"):
            found = calibration[measure]
            random, weighted = found["uniform, weighted"], found[f"{call}, weighted"]
            holds &= weighted <= 1.5 * random < found[f"{call}, unweighted"]
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
