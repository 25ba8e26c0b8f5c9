"""Differences and ratios of groups against second implementations, and whether intervals cover."""

from __future__ import annotations

import math
from typing import Any

import ibis
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from tests.metrics.rows import table
from workbench.disparities import at_level, compare, mover_difference, mover_ratio, wanted
from workbench.errors import ConfigError
from workbench.metrics import evaluate, metrics
from workbench.suppression import suppress

Z = 1.959963984540054


def wilson(k: int, n: int, z: float = Z) -> tuple[float, float]:
    """The two roots of (k/n - t)^2 = z^2 t (1 - t) / n, found one by one."""

    def off(t: float) -> float:
        return (k / n - t) ** 2 - z * z * t * (1 - t) / n

    p = k / n
    # At 0 and at 1 the value itself is one of the roots.
    return (
        0.0 if k == 0 else brentq(off, 0, min(p, 1 - 1e-9), xtol=1e-14),
        1.0 if k == n else brentq(off, max(p, 1e-9), 1, xtol=1e-14),
    )


def newcombe(k1: int, n1: int, k2: int, n2: int, z: float = Z) -> tuple[float, float]:
    """Method 10 of Newcombe 1998, as its table gives it: delta and epsilon."""
    (l1, u1), (l2, u2) = wilson(k1, n1, z), wilson(k2, n2, z)
    delta = z * math.sqrt(l1 * (1 - l1) / n1 + u2 * (1 - u2) / n2)
    epsilon = z * math.sqrt(u1 * (1 - u1) / n1 + l2 * (1 - l2) / n2)
    d = k1 / n1 - k2 / n2
    return d - delta, d + epsilon


def rates(**groups: tuple[int, int]) -> Any:
    """Rows of which k of n are selected, by group."""
    return table(
        [
            {"selected": i < k, "country": name, "label": "1"}
            for name, (k, n) in groups.items()
            for i in range(n)
        ]
    )


def of_rates(least: int = 0, **groups: tuple[int, int]) -> dict[str, Any]:
    found = evaluate(rates(**groups), ["selection_rate"], ["country"])
    [row] = compare(suppress(found, least), wanted(["demographic_parity"]))
    return row


def test_the_difference_that_newcombe_published() -> None:
    row = of_rates(a=(56, 70), b=(48, 80))
    assert row["difference"] == pytest.approx(0.2, abs=1e-15)
    assert (round(row["low"], 4), round(row["high"], 4)) == (0.0524, 0.3339)
    assert (row["adjusted_low"], row["adjusted_high"]) == (row["low"], row["high"])
    assert (row["lowest"], row["highest"]) == ({"country": "b"}, {"country": "a"})
    assert (row["compared"], row["comparisons"], row["reason"]) == (2, 1, None)


@pytest.mark.parametrize(
    ("a", "b"),
    [((9, 10), (3, 10)), ((6, 7), (2, 7)), ((5, 56), (0, 29)), ((10, 10), (0, 20)),
     ((10, 10), (0, 10)), ((500, 1000), (499, 1000))],
)  # fmt: skip
def test_the_difference_of_two_rates_is_newcombes(a: tuple[int, int], b: tuple[int, int]) -> None:
    row = of_rates(a=a, b=b)
    assert (row["low"], row["high"]) == pytest.approx(newcombe(*a, *b), abs=1e-9)


@pytest.mark.parametrize("k", [0, 1, 30, 60])
def test_the_interval_for_all_pairs_is_newcombes_at_a_higher_level(k: int) -> None:
    """Five groups have ten pairs, so the level is 1 - 0.05 / 10."""
    row = of_rates(a=(k, 60), b=(31, 60), c=(32, 60), d=(33, 60), e=(45, 60))
    assert row["comparisons"] == 10
    groups = {g["by"]["country"]: (round(g["value"] * g["n"]), g["n"]) for g in row["groups"]}
    pair = [*groups[row["highest"]["country"]], *groups[row["lowest"]["country"]]]
    wider = newcombe(*pair, z=norm.ppf(1 - 0.05 / 20))
    assert (row["adjusted_low"], row["adjusted_high"]) == pytest.approx(wider, abs=1e-9)
    assert row["adjusted_low"] < row["low"] < row["high"] < row["adjusted_high"]


def test_of_equal_groups_the_picked_pair_is_not_apart() -> None:
    """Twelve groups of one rate: some two look apart in most samples, if one looks for them."""
    rng = np.random.default_rng(8)
    naive = adjusted = 0
    ends = {k: wilson(k, 200) for k in range(40, 121)}
    for _ in range(300):
        rows = [
            {"metric": "selection_rate", "by": {"g": i}, "value": k / 200, "low": ends[k][0],
             "high": ends[k][1], "n": 200, "n_labelled": 200, "reason": None}
            for i, k in enumerate(rng.binomial(200, 0.4, size=12).tolist())
        ]  # fmt: skip
        [row] = compare(rows, wanted(["selection_rate"]))
        naive += row["low"] > 0
        adjusted += row["adjusted_low"] > 0
    assert naive > 150
    assert adjusted <= 15


def test_intervals_of_difference_and_ratio_cover() -> None:
    rng = np.random.default_rng(3)
    for p, q, n, m in [(0.2, 0.35, 80, 50), (0.05, 0.1, 60, 120), (0.9, 0.97, 100, 100)]:
        hits = np.zeros(2)
        draws = 600
        for k, j in zip(rng.binomial(n, p, draws), rng.binomial(m, q, draws), strict=True):
            ends = wilson(int(k), n), wilson(int(j), m)
            low, high = mover_difference(k / n, ends[0], j / m, ends[1])
            hits[0] += low <= p - q <= high
            if j:
                least, most = mover_ratio(k / n, ends[0], j / m, ends[1])
                hits[1] += least <= p / q and (most is None or p / q <= most)
            else:
                hits[1] += 1
        assert (hits / draws > 0.93).all()
        assert (hits / draws < 0.985).all()


@pytest.mark.parametrize(
    ("one", "other"),
    [((0.2, 0.1, 0.35), (0.5, 0.4, 0.6)), ((0.0, 0.0, 0.2), (0.4, 0.2, 0.6)),
     ((0.3, 0.25, 0.4), (0.3, 0.1, 0.7)), ((0.1, 0.05, 0.3), (0.2, 0.15, 0.45))],
)  # fmt: skip
def test_the_ratio_ends_where_its_difference_does(
    one: tuple[float, float, float], other: tuple[float, float, float]
) -> None:
    low, high = mover_ratio(one[0], one[1:], other[0], other[1:])

    def end(r: float, which: int) -> float:
        scaled = (r * other[1], r * other[2])
        return float(mover_difference(one[0], one[1:], r * other[0], scaled)[which] or 0.0)

    assert low is not None
    assert high is not None
    assert 0 <= low <= one[0] / other[0] <= high
    assert end(low, 1 if low == 0 else 0) >= -1e-12
    assert low == 0 or end(low, 0) == pytest.approx(0, abs=1e-12)
    assert end(high, 1) == pytest.approx(0, abs=1e-12)


def test_the_ratio_has_no_upper_end_where_the_larger_rate_may_be_0() -> None:
    assert mover_ratio(0.1, (0.0, 0.5), 0.2, (0.0, 0.6)) == (0.0, None)
    row = of_rates(a=(0, 30), b=(0, 40))
    assert row["difference"] == 0
    assert (row["ratio"], row["ratio_low"], row["below_four_fifths"]) == (None, None, None)


def test_score_intervals_are_moved_to_another_level_exactly() -> None:
    for k, n in [(0, 20), (1, 20), (20, 20), (37, 60), (4999, 5000)]:
        low, high = wilson(k, n)
        row = {"value": k / n, "low": low, "high": high}
        for z in (1.0, 2.8, 4.5):
            assert at_level(row, "wilson", z) == pytest.approx(wilson(k, n, z), abs=1e-9)
    rewards = [{"reward": r, "country": "a"} for r in (0.1, 0.4, 0.4, 0.5, 1.0)] * 9
    [row] = evaluate(table(rewards), ["reward_mean"], ())
    values = np.array([r["reward"] for r in rewards])
    size = len(values) * values.mean() * (1 - values.mean()) / values.var(ddof=1)
    assert at_level(row, "mean", 3.0) == pytest.approx(
        [(size * row["value"] + 4.5 + s * 3 * math.sqrt(size * row["value"] * (1 - row["value"])
         + 2.25)) / (size + 9) for s in (-1, 1)], abs=1e-12)  # fmt: skip
    assert at_level({"value": 2.0, "low": 1.0, "high": 4.0}, "normal", 2 * Z) == (0.0, 6.0)


def test_four_fifths_and_whether_chance_could_turn_it() -> None:
    def rule(a: tuple[int, int], b: tuple[int, int]) -> tuple[bool, bool]:
        row = of_rates(a=a, b=b)
        return row["below_four_fifths"], row["four_fifths_certain"]

    assert rule((300, 1000), (600, 1000)) == (True, True)
    assert rule((12, 30), (18, 30)) == (True, False)
    assert rule((950, 1000), (960, 1000)) == (False, True)
    assert rule((27, 30), (29, 30)) == (False, False)


def test_a_group_of_18_does_not_set_the_figure() -> None:
    groups = {"a": (300, 1000), "b": (310, 1000), "c": (320, 1000), "few": (18, 18)}
    assert of_rates(**groups)["highest"] == {"country": "few"}
    row = of_rates(20, **groups)
    # The next smallest is hidden too: the total would reveal the 18.
    assert row["difference"] == pytest.approx(0.01)
    reasons = {g["by"]["country"]: g["reason"] for g in row["groups"]}
    assert reasons == {"a": "suppressed", "b": None, "c": None, "few": "suppressed"}
    assert row["comparisons"] == 1


def decisions(groups: dict[str, tuple[int, int, int, int]]) -> Any:
    """Rows by group: true positives, false negatives, false positives, true negatives."""
    cells = ((True, True), (True, False), (False, True), (False, False))
    return table(
        [
            {"positive": y, "selected": d, "label": str(int(y)), "country": name}
            for name, counts in groups.items()
            for (y, d), n in zip(cells, counts, strict=True)
            for _ in range(n)
        ]
    )


def named(groups: dict[str, tuple[int, int, int, int]], name: str) -> dict[str, Any]:
    asked = wanted([name])
    [row] = compare(evaluate(decisions(groups), asked[0][1], ["country"]), asked)
    return row


def test_equalized_odds_is_the_worst_of_two_rates() -> None:
    row = named({"a": (40, 10, 10, 40), "b": (35, 15, 40, 10), "c": (45, 5, 20, 30)},
                "equalized_odds")  # fmt: skip
    assert row["metric"] == row["ratio_metric"] == "false_positive_rate"
    assert row["difference"] == pytest.approx(0.6)
    assert row["ratio"] == pytest.approx(0.25)
    assert row["comparisons"] == 6
    row = named({"a": (40, 10, 1, 49), "b": (10, 40, 2, 48)}, "equalized_odds")
    assert (row["metric"], row["ratio_metric"]) == ("true_positive_rate", "true_positive_rate")
    row = named({"a": (40, 10, 1, 49), "b": (10, 40, 8, 42)}, "equalized_odds")
    assert (row["metric"], row["ratio_metric"]) == ("true_positive_rate", "false_positive_rate")
    assert row["difference"] == pytest.approx(0.6)
    assert row["ratio"] == pytest.approx(1 / 8)


def test_an_undefined_rate_is_no_disparity_and_is_named() -> None:
    groups = {"a": (30, 10, 0, 0), "b": (20, 20, 30, 30), "c": (20, 20, 31, 29)}
    row = named(groups, "false_positive_rate")
    assert row["difference"] == pytest.approx(1 / 60)
    assert row["compared"] == 2
    assert [g["by"] for g in row["groups"] if g["reason"] == "no_negatives"] == [{"country": "a"}]
    row = named({"a": groups["a"], "b": groups["b"]}, "equalized_odds")
    assert (row["difference"], row["metric"]) == (None, "false_positive_rate")
    assert row["reason"] == "not_applicable"
    assert row["lowest"] is None


def test_reasons_where_there_is_nothing_to_compare() -> None:
    assert of_rates(20, a=(3, 10), b=(4, 10))["reason"] == "suppressed"
    assert of_rates(a=(3, 10))["reason"] == "not_applicable"
    [row] = compare([], wanted(["ece"]))
    assert (row["reason"], row["compared"], row["groups"]) == ("empty", 0, [])
    rows = evaluate(ibis.memtable({"country": ["a", "b"]}), ["accuracy"], ["country"])
    assert compare(rows, wanted(["accuracy"]))[0]["reason"] == "missing_column"


def test_any_metric_can_be_compared_over_crossed_groups() -> None:
    rng = np.random.default_rng(1)
    rows = [
        {
            "calibration_p": p, "calibration_y": float(rng.random() < p * (0.4 + 0.2 * (i % 4))),
            "correct": bool(i % 3), "reward": float(p), "label": "1", "selected": bool(p > 0.5),
            "positive": bool(i % 2), "country": "ab"[i % 2], "model_version": "vw"[i // 2 % 2],
        }
        for i, p in enumerate(rng.random(600))
    ]  # fmt: skip
    names = [m.name for m in metrics if set(m.needs) <= set(rows[0])]
    assert len(names) > 10
    found = evaluate(table(rows), names, ["country", "model_version"])
    for row in compare(found, wanted(names)):
        assert list(row["groups"][0]["by"]) == ["country", "model_version"]
        if row["compared"] < 2:
            continue
        values = [g["value"] for g in row["groups"] if g["value"] is not None]
        assert row["difference"] == max(values) - min(values)
        if row["low"] is not None:
            assert row["adjusted_low"] <= row["low"] <= row["difference"] <= row["high"]
            assert row["high"] <= row["adjusted_high"]
    worst = compare(found, wanted(["ece"]))[0]
    assert worst["highest"] == {"country": "a", "model_version": "v"}
    assert worst["adjusted_low"] > 0


def test_names_are_resolved_and_unknown_ones_refused() -> None:
    assert wanted(["equalized_odds,ece( bins = 5 )"]) == [
        ("equalized_odds", ("true_positive_rate", "false_positive_rate")),
        ("ece( bins = 5 )", ("ece(bins=5)",)),
    ]
    with pytest.raises(ConfigError, match="accuracy"):
        wanted(["acuracy"])
