"""A wrapped estimator answers as it did, and each sample is a row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LinearRegression, LogisticRegression

from tests.capture.landed import lines
from workbench import capture

X = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [2.0, 1.0], [0.0, 2.0]])
FRAME = pd.DataFrame(X, columns=["age", "cost"])


@pytest.fixture
def log(tmp_path: Path) -> Iterator[capture.Log]:
    with capture.open(tmp_path, flush_seconds=60) as opened:
        yield opened


def rows_of(log: capture.Log) -> list[dict[str, Any]]:
    assert log.close()
    found = log.counters()
    assert found.accepted == found.written
    return lines(log.folder)


@pytest.mark.parametrize("classes", [["no", "yes"], ["a", "b", "c"]], ids=len)
def test_probabilities_are_logged_with_the_features_by_name(log: capture.Log, classes: list[str]):
    model = LogisticRegression().fit(FRAME, np.resize(classes, len(X)))
    wrapped = capture.estimator(model, log, version="v7", model="risk")
    ids = [f"r{i}" for i in range(len(X))]
    frame = FRAME.copy()
    expected = model.predict_proba(FRAME)
    assert (wrapped.predict_proba(frame, request_ids=ids) == expected).all()
    frame["age"] = -1.0  # the caller may go on to use it
    rows = rows_of(log)
    assert [row["request_id"] for row in rows] == ids
    assert [[row["age"], row["feature_cost"]] for row in rows] == X.tolist()
    assert [row["probabilities"] for row in rows] == expected.tolist()
    assert [row["prediction"] for row in rows] == model.predict(FRAME).tolist()
    assert [row["confidence"] for row in rows] == expected.max(axis=1).tolist()
    scores = expected[:, 1].tolist() if len(classes) == 2 else [None] * len(X)
    assert [row.get("score") for row in rows] == scores
    assert {(row["model_version"], row["model"]) for row in rows} == {("v7", "risk")}
    assert len({row["ts"] for row in rows}) == 1
    assert all(row["latency_ms"] > 0 for row in rows)


@pytest.mark.parametrize("kind", [np.asarray, csr_matrix, np.ndarray.tolist])
def test_samples_of_any_kind_are_rows(log: capture.Log, kind: Any):
    model = LinearRegression().fit(X, X.sum(axis=1))
    wrapped = capture.estimator(model, log, version="v1")
    assert (wrapped.predict(kind(X)) == model.predict(kind(X))).all()
    assert (wrapped.predict(X=kind(X)) == model.predict(kind(X))).all()
    rows = rows_of(log)
    assert [[row["x0"], row["x1"]] for row in rows] == X.tolist() * 2
    assert [row["prediction"] for row in rows] == model.predict(X).tolist() * 2
    assert len({row["request_id"] for row in rows}) == 2 * len(X)
    assert not any("confidence" in row for row in rows)


def test_one_sample_in_a_request_is_that_request(log: capture.Log):
    wrapped = capture.estimator(LinearRegression().fit(FRAME, X[:, 0]), log, version="v1")
    with capture.context(request_id="r1", user_id="u1"):
        wrapped.predict(FRAME.head(1))
        wrapped.predict(FRAME)
    rows = rows_of(log)
    assert rows[0]["request_id"] == "r1"
    assert "r1" not in {row["request_id"] for row in rows[1:]}
    assert {row["user_id"] for row in rows} == {"u1"}


def test_all_else_is_the_models(log: capture.Log):
    model = LinearRegression().fit(FRAME, X[:, 0])
    wrapped = capture.estimator(model, log, version="v1")
    assert wrapped.coef_ is model.coef_
    assert wrapped.score(FRAME, X[:, 0]) == model.score(FRAME, X[:, 0])
    assert not hasattr(wrapped, "predict_proba")
    with pytest.raises(ValueError, match="feature"):
        wrapped.predict(FRAME[["age"]])
    assert rows_of(log) == []


def test_a_batch_that_cannot_be_taken_apart_is_counted_and_breaks_nothing(log: capture.Log):
    model = LinearRegression().fit(FRAME, X[:, 0])
    wrapped = capture.estimator(model, log, version="v1")
    wrapped.predict(FRAME, request_ids=["only", "two"])
    log.inference(request_id="next")
    assert log.close()
    found = log.counters()
    assert (found.accepted, found.dropped, found.written) == (7, 4, 3)
    assert log.last_error is not None
    assert [row["request_id"] for row in lines(log.folder)] == ["only", "two", "next"]
