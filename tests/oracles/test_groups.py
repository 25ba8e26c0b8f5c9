"""Rates of groups and their disparities against fairlearn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, precision_score

from tests.metrics.rows import table
from workbench.disparities import compare, wanted
from workbench.metrics import evaluate

fairlearn = pytest.importorskip(
    "fairlearn.metrics", reason="fairlearn is not installed: make oracles"
)

METRICS: dict[str, Callable[..., float]] = {
    "selection_rate": fairlearn.selection_rate,
    "true_positive_rate": fairlearn.true_positive_rate,
    "false_positive_rate": fairlearn.false_positive_rate,
    "true_negative_rate": fairlearn.true_negative_rate,
    "false_negative_rate": fairlearn.false_negative_rate,
    "positive_predictive_value": precision_score,
    "accuracy": accuracy_score,
    "base_rate": lambda y, _: float(np.mean(y)),
}


def sample(groups: int, n: int, seed: int) -> tuple[list[bool], list[bool], list[str]]:
    rng = np.random.default_rng(seed)
    of = rng.integers(groups, size=n)
    truth = rng.random(n) < 0.2 + 0.6 * of / groups
    predicted = np.where(rng.random(n) < 0.75, truth, rng.random(n) < 0.5)
    return truth.tolist(), predicted.tolist(), [f"g{g:02}" for g in of]


def rows(truth: list[bool], predicted: list[bool], groups: list[str]) -> Any:
    return table(
        [
            {"positive": y, "selected": d, "correct": y == d, "label": str(int(y)), "country": g}
            for y, d, g in zip(truth, predicted, groups, strict=True)
        ]
    )


@pytest.mark.parametrize(("groups", "seed"), [(5, 0), (40, 1)])
def test_eight_metrics_by_group_are_those_of_metric_frame(groups: int, seed: int) -> None:
    truth, predicted, of = sample(groups, 6000, seed)
    frame = fairlearn.MetricFrame(
        metrics=METRICS, y_true=truth, y_pred=predicted, sensitive_features=of
    )
    found = evaluate(rows(truth, predicted, of), list(METRICS), ["country"])
    assert len(found) == len(METRICS) * groups
    for row in found:
        assert row["value"] == frame.by_group.loc[row["by"]["country"], row["metric"]]
    difference, ratio = frame.difference(), frame.ratio()
    for row in compare(found, [(name, (name,)) for name in METRICS]):
        assert row["difference"] == difference[row["metric"]]
        assert row["ratio"] == ratio[row["metric"]]


@pytest.mark.parametrize(("groups", "seed"), [(2, 2), (5, 3), (40, 4)])
def test_named_disparities_are_those_of_fairlearn(groups: int, seed: int) -> None:
    truth, predicted, of = sample(groups, 5000, seed)
    names = ["demographic_parity", "equalized_odds", "equal_opportunity"]
    asked = wanted(names)
    calls = list(dict.fromkeys(call for _, parts in asked for call in parts))
    for row in compare(evaluate(rows(truth, predicted, of), calls, ["country"]), asked):
        for kind in ("difference", "ratio"):
            function = getattr(fairlearn, f"{row['disparity']}_{kind}")
            assert row[kind] == function(truth, predicted, sensitive_features=of)


def test_fairlearn_makes_a_disparity_of_an_undefined_rate_and_this_does_not() -> None:
    truth = [True] * 30 + [True, False] * 30 + [True, False] * 30
    predicted = [True] * 30 + [True, False, True, True] * 15 + [True, False, True, True] * 15
    of = ["a"] * 30 + ["b"] * 60 + ["c"] * 60
    there = fairlearn.MetricFrame(
        metrics=fairlearn.false_positive_rate,
        y_true=truth,
        y_pred=predicted,
        sensitive_features=of,
    )
    assert there.difference() == 0.5
    found = evaluate(rows(truth, predicted, of), ["false_positive_rate"], ["country"])
    [row] = compare(found, wanted(["false_positive_rate"]))
    assert row["difference"] == 0
    assert [(g["by"]["country"], g["reason"]) for g in row["groups"] if g["reason"]] == [
        ("a", "no_negatives")
    ]
