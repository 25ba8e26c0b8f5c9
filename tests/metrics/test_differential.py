"""The metrics against scikit-learn and against definitions written down a second time."""

from __future__ import annotations

from typing import Any

import ibis
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, brier_score_loss

from tests.metrics.rows import (
    adversarial,
    expected_bins,
    expected_ece,
    pairs,
    table,
)
from workbench.metrics import evaluate
from workbench.metrics._pairs import cells
from workbench.metrics.ece import estimate

RULES = ("numpy", "right", "verified", "guo", "torchmetrics", "equal_mass", "ntile")


def value(rows: Any, call: str) -> float:
    (row,) = evaluate(rows, [call], ())
    return float(row["value"])


@pytest.mark.parametrize("bins", [5, 10, 15, 100])
def test_ece_is_the_definition_at_adversarial_values(bins: int) -> None:
    p = adversarial(bins, seed=bins)
    y = np.random.default_rng(bins).random(len(p)) < p
    calls = [f"ece(bins={bins}, bin_rule={rule!r})" for rule in RULES]
    for rule, row in zip(RULES, evaluate(pairs(p, y), calls, ()), strict=True):
        assert row["value"] == pytest.approx(expected_ece(p, y, bins, rule), abs=1e-12), rule
        assert row["n"] == len(p)


@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 20).map(lambda k: k / 20) | st.floats(0, 1), st.booleans()),
        min_size=1,
        max_size=60,
    ),
    st.integers(1, 30),
)
def test_ece_is_the_definition_on_any_rows(rows: list[tuple[float, bool]], bins: int) -> None:
    p, y = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    calls = [f"ece(bins={bins}, bin_rule={rule!r})" for rule in RULES]
    for rule, row in zip(RULES, evaluate(pairs(p, y), calls, ()), strict=True):
        if np.isnan(expected_bins(p, bins, rule)).all():
            assert row["reason"] == "not_applicable"
        else:
            assert row["value"] == pytest.approx(expected_ece(p, y, bins, rule), abs=1e-12), rule


def test_an_outcome_between_0_and_1_counts_as_it_is() -> None:
    """It shares one number with the bin: 1 less one unit in the last place is not the next bin."""
    p = adversarial(10)
    rng = np.random.default_rng(5)
    y = rng.choice([0.0, 0.25, 0.5, 0.999, np.nextafter(1, 0), 1.0, 5e-324], len(p))
    rows = pairs(p, y)
    for rule in RULES:
        (found,) = evaluate(rows, [f"ece(bin_rule={rule!r})"])
        assert found["value"] == pytest.approx(expected_ece(p, y, 10, rule), rel=1e-12)


@pytest.mark.parametrize("digits", [1, 2, 3, 16])
@pytest.mark.parametrize("n", [1, 2, 9, 97, 1000])
def test_equal_mass_has_the_edges_of_numpy_quantile(n: int, digits: int) -> None:
    rng = np.random.default_rng(n + digits)
    rows = [
        {
            "calibration_p": float(p),
            "calibration_y": float(rng.random() < p),
            "label": "1",
            "model_version": version,
            "country": "de",
        }
        for version in (None, "v1", "v2", "v3")
        for p in np.round(rng.random(n), digits)
    ]
    for bins in (2, 15):
        for rule in ("equal_mass", "ntile"):
            call = f"ece(bins={bins}, bin_rule={rule!r})"
            for row in evaluate(table(rows), [call], ["country", "model_version"]):
                part = [r for r in rows if r["model_version"] == row["by"]["model_version"]]
                p = [r["calibration_p"] for r in part]
                y = [r["calibration_y"] for r in part]
                assert row["value"] == pytest.approx(expected_ece(p, y, bins, rule), abs=1e-12)


def test_brier_score_and_accuracy_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    p = np.round(rng.random(500), 2)
    y = (rng.random(500) < p).astype(int)
    assert value(pairs(p, y), "brier_score") == pytest.approx(brier_score_loss(y, p), abs=1e-12)
    guess = (p >= 0.5).astype(int)
    rows = table([{"correct": bool(a == b), "label": "1"} for a, b in zip(y, guess, strict=True)])
    assert value(rows, "accuracy") == pytest.approx(accuracy_score(y, guess), abs=1e-12)


def test_counts_and_rates_by_hand() -> None:
    rows = [
        {"selected": True, "reward": 1.0, "country": "de"},
        {"selected": False, "label": "1", "country": "de"},
        {"selected": True, "country": "de"},
        {"country": "de"},
        {"selected": True, "reward": 0.25, "label": "0"},
    ]
    found = evaluate(table(rows), ["selection_rate", "label_coverage", "reward_mean"], ["country"])
    got = [(r["by"]["country"], r["value"], r["n"], r["n_labelled"]) for r in found]
    assert got == [
        ("de", pytest.approx(2 / 3), 3, 2),
        (None, 1.0, 1, 1),
        ("de", 0.5, 4, 2),
        (None, 1.0, 1, 1),
        ("de", 1.0, 1, 2),
        (None, 0.25, 1, 1),
    ]


def test_the_interval_of_zero_one_rewards_is_wilson_of_one_row_less() -> None:
    rows = table([{"reward": float(i < 30)} for i in range(100)])
    (row,) = evaluate(rows, ["reward_mean"], ())
    z, n, m = 1.959963984540054, 99, 0.3
    centre = (m + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(m * (1 - m) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    assert row["low"] == pytest.approx(centre - half, abs=1e-12)
    assert row["high"] == pytest.approx(centre + half, abs=1e-12)


def test_the_interval_of_graded_rewards_is_about_that_of_the_mean() -> None:
    rng = np.random.default_rng(4)
    rewards = np.round(rng.beta(2, 3, 2000), 3)
    (row,) = evaluate(table([{"reward": float(r)} for r in rewards]), ["reward_mean"], ())
    error = 1.96 * rewards.std(ddof=1) / np.sqrt(len(rewards))
    assert (row["high"] - row["low"]) / 2 == pytest.approx(error, rel=0.01)


@pytest.mark.parametrize(("shift", "least"), [(0.0, 0.94), (0.1, 0.85)])
def test_the_interval_of_ece_covers_the_true_one(shift: float, least: float) -> None:
    """A plain percentile bootstrap covers the error of a calibrated model almost never."""
    rng = np.random.default_rng(5)
    grid = (np.arange(100_000) + 0.5) / 100_000
    where = expected_bins(grid, 10, "numpy")
    true = sum(
        abs((grid - np.clip(grid - shift, 0, 1))[where == b].sum()) for b in range(10)
    ) / len(grid)
    covered = []
    for _ in range(100):
        p = rng.random(300)
        y = (rng.random(300) < np.clip(p - shift, 0, 1)).astype(float)
        cells = expected_bins(p, 10, "numpy") * 2 + y
        keys, place, counts = np.unique(cells, return_inverse=True, return_counts=True)
        sums = np.bincount(place, weights=p)
        found = estimate(
            {
                "bin": keys // 2,
                "y": keys % 2,
                "rows": counts,
                "n": counts,
                "ww": counts,
                "sp": sums,
                "spp": sums,
            }
        )
        assert found.low is not None
        assert found.high is not None
        covered.append(found.low <= true <= found.high)
    assert np.mean(covered) >= least


def test_the_interval_is_the_same_each_time() -> None:
    rng = np.random.default_rng(6)
    p = rng.random(200)
    rows = pairs(p, rng.random(200) < p)
    assert evaluate(rows, ["ece"], ()) == evaluate(rows, ["ece"], ())


@pytest.mark.parametrize("rule", RULES)
def test_the_state_of_ece_compiles_for_spark_sql(rule: str) -> None:
    rows = ibis.table(
        {
            "calibration_p": "float64",
            "calibration_y": "float64",
            "group_0": "string",
            "weight": "float64",
        },
        name="rows",
    )
    state = cells(rows, ("group_0",), bins=10, bin_rule=rule)
    assert state.columns == ("group_0", "bin", "y", "rows", "n", "ww", "sp")
    assert ibis.to_sql(state, dialect="databricks")
