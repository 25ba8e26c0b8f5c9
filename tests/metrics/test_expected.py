"""What probabilities promise: against numpy, and against what then happened."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.metrics.rows import table
from workbench.metrics import evaluate

NAMES = ["expected_accuracy", "expected_precision", "expected_recall"]


def rows(p: Any, selected: Any) -> list[dict[str, Any]]:
    return [
        {"score": float(a), "calibration_p": float(a), "selected": bool(s)}
        for a, s in zip(p, selected, strict=True)
    ]


def values(given: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in evaluate(table(given), NAMES, ())}


def test_are_sums_of_probabilities() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(300)
    s = p >= 0.4
    found = values(rows(p, s))
    assert found["expected_accuracy"]["value"] == pytest.approx(np.where(s, p, 1 - p).mean())
    assert found["expected_precision"]["value"] == pytest.approx(p[s].mean())
    assert found["expected_precision"]["n"] == s.sum()
    assert found["expected_recall"]["value"] == pytest.approx(p[s].sum() / p.sum())
    assert all(row["n_labelled"] == 0 for row in found.values())


def test_a_confidence_is_that_of_the_prediction_and_has_no_positive_class() -> None:
    given = [{"calibration_p": 0.9, "selected": False}, {"calibration_p": 0.6, "selected": True}]
    found = values(given)
    assert found["expected_accuracy"]["value"] == pytest.approx(0.75)
    assert found["expected_precision"]["reason"] == "not_applicable"
    assert found["expected_recall"]["reason"] == "not_applicable"


def test_nothing_positive_is_undefined_and_not_0() -> None:
    found = values(rows([0.2, 0.3], [False, False]))
    assert found["expected_precision"]["reason"] == "no_positives"
    assert found["expected_recall"]["value"] == 0
    assert values(rows([0.0, 0.0], [True, False]))["expected_recall"]["reason"] == "no_positives"


def by_draw(draws: list[np.ndarray[Any, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Values of each of many samples, in one go."""
    given = [
        {**row, "model_version": f"{number:04}"}
        for number, p in enumerate(draws)
        for row in rows(p, p >= 0.5)
    ]
    found = evaluate(table(given), NAMES, ["model_version"])
    return {name: [row for row in found if row["metric"] == name] for name in NAMES}


def test_of_a_calibrated_model_they_are_what_happens() -> None:
    """Within chance: the mean error over many samples is far below that of one sample."""
    rng = np.random.default_rng(1)
    draws = [rng.beta(2, 2, 500) for _ in range(40)]
    measured = []
    for p in draws:
        y, s = rng.random(500) < p, p >= 0.5
        measured.append([(y == s).mean(), y[s].mean(), s[y].mean()])
    found = by_draw(draws)
    expected = np.array([[row["value"] for row in found[name]] for name in NAMES]).T
    assert np.abs((expected - measured).mean(axis=0)).max() < 0.01


def test_the_interval_of_expected_recall_covers() -> None:
    rng = np.random.default_rng(2)
    everything = rng.beta(2, 3, 200_000)
    truth = everything[everything >= 0.5].sum() / everything.sum()
    found = by_draw([rng.choice(everything, 150) for _ in range(300)])["expected_recall"]
    assert 0.92 <= np.mean([row["low"] <= truth <= row["high"] for row in found]) <= 0.98
