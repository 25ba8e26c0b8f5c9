"""The value of another policy, against the formulas written a second time and against the truth."""

from __future__ import annotations

from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest

from workbench.errors import ConfigError
from workbench.metrics import evaluate, parse_call

Array = np.ndarray[Any, Any]
TARGET = "features.target_propensity"


def log(reward: Array, propensity: Array, target: Array, **more: Any) -> Any:
    n_choices = more.pop("n_choices", [None] * len(reward))
    columns = {"reward": reward, "propensity": propensity, TARGET: target, **more}
    return ibis.memtable(
        pa.table(
            {
                **{name: pa.array(values, from_pandas=False) for name, values in columns.items()},
                "n_choices": pa.array(n_choices, pa.int64()),
                "label": pa.array(["1"] * len(reward)),
            }
        )
    )


def measured(rows: Any, *names: str, params: str = "", **options: Any) -> list[dict[str, Any]]:
    calls = [f"{name}(target='{TARGET}'{params})" for name in names]
    return evaluate(rows, calls, **options)


def some(n: int, seed: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.random(n), rng.uniform(0.05, 1, n), rng.random(n)


def test_equals_the_formulas_of_open_bandit_pipeline() -> None:
    reward, propensity, target = some(3000, 1)
    weight = target / propensity
    ips, snips, clipped, size, largest = measured(
        log(reward, propensity, target),
        "ips_value", "snips_value", "clipped_ips_value", "effective_sample_size",
        "max_importance_weight",
    )  # fmt: skip
    # InverseProbabilityWeighting, with lambda_ as the cap, and SelfNormalized... of obp.ope.
    assert ips["value"] == pytest.approx((reward * weight).mean(), rel=1e-12)
    assert snips["value"] == pytest.approx((reward * weight / weight.mean()).mean(), rel=1e-12)
    assert clipped["value"] == pytest.approx((reward * np.minimum(weight, 10)).mean(), rel=1e-12)
    assert size["value"] == pytest.approx(weight.sum() ** 2 / (weight**2).sum(), rel=1e-12)
    assert largest["value"] == weight.max()
    assert {row["n"] for row in (ips, snips, clipped, size, largest)} == {3000}
    error = np.std(reward * weight, ddof=1) / np.sqrt(3000)
    assert ips["high"] - ips["value"] == pytest.approx(1.959963984540054 * error, rel=1e-9)
    influence = weight * (reward - snips["value"]) / weight.mean()
    error = np.sqrt((influence**2).sum() / (3000 - 1) / 3000)
    assert snips["value"] - snips["low"] == pytest.approx(1.959963984540054 * error, rel=1e-9)


def test_a_uniform_policy_takes_each_candidate_equally_often() -> None:
    reward, propensity, _ = some(500, 2)
    rows = log(reward, propensity, np.full(500, 0.25), n_choices=[4] * 500)
    by_number, by_column = evaluate(rows, ["ips_value", f"ips_value(target='{TARGET}')"])
    assert by_number["value"] == by_column["value"]
    assert by_number["value"] == pytest.approx((reward * 0.25 / propensity).mean(), rel=1e-12)


def test_decisions_without_a_weight_are_left_out_and_counted() -> None:
    reward, propensity, target = some(1000, 3)
    propensity[:10], target[10:20] = 0.0, np.nan
    propensity[20:30], reward[30:40] = np.nan, np.nan
    (row,) = measured(log(reward, propensity, target), "ips_value")
    kept = slice(40, None)
    assert row["n"] == 960
    assert row["n_labelled"] == 1000
    expected = (reward[kept] * target[kept] / propensity[kept]).mean()
    assert row["value"] == pytest.approx(expected, rel=1e-12)


def test_a_value_that_rests_on_few_decisions_is_refused() -> None:
    reward, propensity, target = some(1000, 4)
    propensity[0], target[0] = 1e-6, 1.0
    rows = log(reward, propensity, target)
    ips, snips, clipped, size = measured(
        rows, "ips_value", "snips_value", "clipped_ips_value", "effective_sample_size"
    )
    for refused in (ips, snips):
        assert (refused["value"], refused["low"], refused["n"]) == (None, None, 0)
        assert refused["reason"] == "few_effective"
    assert size["value"] < 2
    assert clipped["value"] is not None
    (asked,) = measured(rows, "ips_value", params=", min_effective=1")
    assert asked["value"] > 100 * reward[0]


def test_the_effective_size_counts_the_weights_of_rows_too() -> None:
    reward, *_ = some(150, 5)
    rows = log(reward, np.ones(150), np.ones(150), w=np.r_[np.full(149, 0.01), 100.0])
    (plain,) = measured(rows, "ips_value")
    assert plain["value"] == pytest.approx(reward.mean())
    (weighted,) = measured(rows, "ips_value", weight="w")
    assert weighted["reason"] == "few_effective"


def test_a_policy_that_takes_nothing_that_was_logged_has_no_value() -> None:
    reward, propensity, _ = some(200, 6)
    for row in measured(
        log(reward, propensity, np.zeros(200)), "ips_value", "snips_value", "effective_sample_size"
    ):
        assert (row["value"], row["reason"]) == (None, "not_applicable")


def test_rewards_that_are_all_0_do_not_say_how_sure_that_is() -> None:
    _, propensity, target = some(1000, 7)
    ips, snips = measured(log(np.zeros(1000), propensity, target), "ips_value", "snips_value")
    assert (ips["value"], ips["low"], ips["high"]) == (0.0, None, None)
    assert (snips["value"], snips["low"], snips["high"]) == (0.0, None, None)


def test_an_expression_that_the_table_lacks_is_a_reason() -> None:
    (row,) = evaluate(log(*some(200, 8)), ["ips_value(target='nowhere')"])
    assert row["reason"] == "missing_column"
    with pytest.raises(ConfigError, match="target of ips_value"):
        parse_call("ips_value(target=3)")


def test_the_intervals_cover_the_value_that_the_policy_would_have_had() -> None:
    """One table of many logs, a group each: contexts, five actions, both policies known."""
    rng = np.random.default_rng(20_260_303)
    draws, n, actions = 400, 500, 5
    context = rng.integers(0, 3, draws * n)
    logging = np.array([[0.4, 0.3, 0.1, 0.1, 0.1], [0.1, 0.1, 0.2, 0.3, 0.3], [0.2] * 5])
    target = np.array(
        [[0.1, 0.1, 0.2, 0.3, 0.3], [0.3, 0.3, 0.2, 0.1, 0.1], [0.6, 0.1, 0.1, 0.1, 0.1]]
    )
    chance = rng.uniform(0.2, 0.8, (3, actions))
    action = (logging[context].cumsum(axis=1) < rng.random((draws * n, 1))).sum(axis=1)
    reward = (rng.random(draws * n) < chance[context, action]).astype(float)
    rows = log(
        reward, logging[context, action], target[context, action], draw=np.repeat(range(draws), n)
    )
    truth = (target * chance).sum(axis=1).mean()
    found = measured(rows, "ips_value", "snips_value", by=["draw"])
    for name in ("ips_value", "snips_value"):
        of_name = [row for row in found if row["metric"].startswith(name + "(")]
        covered = np.mean([row["low"] <= truth <= row["high"] for row in of_name])
        assert len(of_name) == draws
        assert 0.92 <= covered <= 0.98, (name, covered)
        mean = np.mean([row["value"] for row in of_name])
        assert mean == pytest.approx(truth, abs=0.005)
