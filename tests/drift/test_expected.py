"""Performance without labels against scikit-learn, and what it cannot see."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_auc_score

from workbench.drift import _expected
from workbench.drift._expected import MEASURES, expected
from workbench.scratch import Scratch

Found = dict[str, dict[int, dict[str, Any]]]


def found_in(
    chunk: Any, p: Any, selected: Any, y: Any, *, reference: int = 1, calibrate: bool = True
) -> Found:
    with duckdb.connect() as connection:
        table = pa.table(
            {
                "chunk": pa.array(chunk, pa.int64()),
                "reference": pa.array([c < reference for c in chunk]),
                "cbpe_p": pa.array(p, pa.float64()),
                "cbpe_selected": pa.array(selected, pa.bool_()),
                "cbpe_y": pa.array(y, pa.float64()),
            }
        )
        connection.register("given", table)
        connection.execute("CREATE TEMP TABLE scratch AS FROM given")
        return expected(Scratch(connection), calibrate=calibrate)


def draws(seed: int, n: int = 1500) -> tuple[Any, Any, Any, Any]:
    """Overconfident scores, many of them equal; the third chunk has some beyond the reference."""
    rng = np.random.default_rng(seed)
    chunk = np.repeat([0, 1, 2], n // 3)
    p = np.round(rng.beta(1.2, 1.2, n), 2)
    p = np.where(chunk == 2, p, np.clip(p, 0.05, 0.95))
    y = (rng.random(n) < 0.3 + 0.4 * p).astype(float)
    return chunk, p, p >= 0.5, y


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("calibrate", [True, False])
def test_is_what_scikit_learn_makes_of_it(seed: int, calibrate: bool) -> None:
    chunk, p, s, y = draws(seed)
    found = found_in(chunk, p, s, y, calibrate=calibrate)
    inside = chunk == 0
    model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(p[inside], y[inside])
    for number in (0, 1, 2):
        at = chunk == number
        q = model.predict(p[at]) if calibrate else p[at]
        truth = np.repeat([1, 0], at.sum())
        promised = {
            "accuracy": np.where(s[at], q, 1 - q).mean(),
            "precision": q[s[at]].mean(),
            "recall": q[s[at]].sum() / q.sum(),
            "roc_auc": roc_auc_score(truth, np.tile(p[at], 2), sample_weight=np.r_[q, 1 - q]),
        }
        measured = {
            "accuracy": (s[at] == y[at]).mean(),
            "precision": y[at][s[at]].mean(),
            "recall": s[at][y[at] == 1].mean(),
            "roc_auc": roc_auc_score(y[at], p[at]),
        }
        for name in MEASURES:
            row = found[name][number]
            assert row["value"] == pytest.approx(promised[name], rel=1e-9)
            assert row["measured"] == pytest.approx(measured[name], rel=1e-12)
            assert (row["n"], row["n_labelled"]) == (500, 500)


def test_it_sees_harder_questions_and_not_that_answers_went_wrong() -> None:
    rng = np.random.default_rng(7)
    chunk = np.repeat([0, 1, 2], 2000)
    p = np.where(chunk == 1, rng.beta(5, 5, 6000), rng.beta(0.5, 0.5, 6000))
    # In the third chunk the scores are as in the reference, and the outcomes are the other ones.
    y = (rng.random(6000) < np.where(chunk == 2, 1 - p, p)).astype(float)
    accuracy = found_in(chunk, p, p >= 0.5, y)["accuracy"]
    assert accuracy[1]["value"] == pytest.approx(accuracy[1]["measured"], abs=0.03)
    assert accuracy[1]["value"] < accuracy[0]["value"] - 0.1
    assert accuracy[2]["value"] == pytest.approx(accuracy[0]["value"], abs=0.03)
    assert accuracy[2]["measured"] < 0.3


def test_without_labels_the_promise_is_there_and_the_measure_is_not() -> None:
    found = found_in([0, 0, 1, 1], [0.2, 0.9, 0.4, 0.6], [False, True, False, True], [None] * 4)
    assert found["accuracy"][1]["value"] == pytest.approx(0.6)
    assert all(found[name][1]["measured"] is None for name in MEASURES)
    assert all(found[name][1]["n_labelled"] == 0 for name in MEASURES)
    nothing = found_in([0, 1], [None, 0.3], [None, None], [None, None])
    assert all(nothing[name] == {} for name in MEASURES)


def test_rows_without_a_score_or_a_decision_are_not_counted() -> None:
    chunk, p, s, y = draws(4)
    before = found_in(chunk, p, s, y)
    after = found_in(
        [*chunk, 0, 1, 2], [*p, None, 0.4, None], [*s, True, None, None], [*y, 1.0, 1.0, 0.0]
    )
    for name in MEASURES:
        for number in (0, 1, 2):
            assert after[name][number]["n"] == before[name][number]["n"]
            assert after[name][number]["value"] == pytest.approx(before[name][number]["value"])


def test_equal_scores_count_as_such_across_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each score but the first has two decisions, so that the engine's batches end between them."""
    rng = np.random.default_rng(5)
    p = np.r_[0.0, np.repeat(np.arange(1, 5000) / 5000, 2)]
    s = np.r_[False, np.tile([False, True], 4999)]
    chunk = np.r_[np.zeros(4000, int), np.ones(len(p) - 4000, int)]
    y = (rng.random(len(p)) < p).astype(float)
    batches = []
    add = _expected._add

    def counting(found: Any, held: Any, *steps: Any) -> None:
        batches.append(len(held["p"]))
        add(found, held, *steps)

    monkeypatch.setattr(_expected, "_add", counting)
    whole = found_in(chunk, p, s, y)
    assert len(batches) == 2
    monkeypatch.setattr(_expected, "BATCH_ROWS", 1)
    parts = found_in(chunk, p, s, y)
    assert len(batches) > 5
    assert any(n % 2 for n in batches[2:-1])
    for name in MEASURES:
        for number in (0, 1):
            expected = {key: pytest.approx(v, rel=1e-12) for key, v in whole[name][number].items()}
            assert parts[name][number] == expected
    at = chunk == 1
    assert parts["roc_auc"][1]["measured"] == pytest.approx(roc_auc_score(y[at], p[at]), rel=1e-12)
