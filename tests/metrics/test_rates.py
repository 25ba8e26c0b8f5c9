"""Rates of a binary decision against the table of confusions of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from tests.metrics.rows import table
from workbench.metrics import evaluate

RATES = (
    "true_positive_rate", "false_negative_rate", "false_positive_rate", "true_negative_rate",
    "positive_predictive_value", "negative_predictive_value", "base_rate",
)  # fmt: skip


def values(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in evaluate(table(rows), RATES, ())}


def test_every_rate_is_a_ratio_of_the_table_of_confusions() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.random(500) < 0.3, rng.random(500) < 0.4
    rows = [
        {"positive": bool(y), "selected": bool(d), "label": str(int(y))}
        for y, d in zip(truth, predicted, strict=True)
    ]
    # Half known: they belong to no cell of the table.
    rows += [{"selected": True}, {"positive": True, "label": "1"}, {"selected": False}]
    tn, fp, fn, tp = (int(n) for n in confusion_matrix(truth, predicted).ravel())
    expected = {
        "true_positive_rate": (tp, tp + fn),
        "false_negative_rate": (fn, tp + fn),
        "false_positive_rate": (fp, fp + tn),
        "true_negative_rate": (tn, fp + tn),
        "positive_predictive_value": (tp, tp + fp),
        "negative_predictive_value": (tn, tn + fn),
        "base_rate": (tp + fn + 1, 501),
    }
    for name, row in values(rows).items():
        k, n = expected[name]
        assert (row["value"], row["n"]) == (pytest.approx(k / n, abs=1e-15), n)
        assert row["low"] < row["value"] < row["high"]
        assert row["n_labelled"] == 501


@pytest.mark.parametrize(
    ("positive", "selected", "reasons"),
    [
        (True, True, {"no_negatives": 3}),
        (True, False, {"no_negatives": 2, "no_positives": 1}),
        (False, True, {"no_positives": 2, "no_negatives": 1}),
        (False, False, {"no_positives": 3}),
    ],
)
def test_a_rate_of_what_is_absent_is_undefined_and_not_0(
    positive: bool, selected: bool, reasons: dict[str, int]
) -> None:
    row = {"positive": positive, "selected": selected, "label": str(int(positive))}
    found = [r["reason"] for r in values([row] * 5).values() if r["value"] is None]
    assert {reason: found.count(reason) for reason in found} == reasons
