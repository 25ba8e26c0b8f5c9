"""The calibration metrics against definitions written down a second time, and scikit-learn."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, norm
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from tests.metrics.rows import adversarial, evaluate, expected_bins, pairs, table

RULES = ("numpy", "right", "verified", "guo", "torchmetrics", "equal_mass", "ntile")
Array = np.ndarray[Any, Any]


def values(p: Any, y: Any, *calls: str) -> list[float]:
    return [row["value"] for row in evaluate(pairs(p, y), list(calls))]


def sample(bins: int) -> tuple[Array, Array]:
    p = adversarial(bins, seed=bins)
    return p, (np.random.default_rng(bins).random(len(p)) < p**1.5).astype(float)


def by_bin(p: Array, y: Array, bins: int, rule: str) -> list[tuple[Array, Array]]:
    where = expected_bins(p, bins, rule)
    return [(p[where == b], y[where == b]) for b in np.unique(where[~np.isnan(where)])]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bins", [7, 15])
def test_what_is_computed_from_bins_is_its_definition(bins: int, rule: str) -> None:
    p, y = sample(bins)
    parts = by_bin(p, y, bins, rule)
    gaps = np.array([abs(a.mean() - b.mean()) for a, b in parts])
    sizes = np.array([len(a) for a, _ in parts])
    least = int(np.median(sizes)) + 1
    noise = [b.mean() * (1 - b.mean()) / max(len(b) - 1, 1) for _, b in parts]
    several = sizes > 1
    rule_of = f"bins={bins}, bin_rule={rule!r}"
    found = values(
        p, y, f"ece({rule_of})", f"mce({rule_of})", f"mce({rule_of}, least={least})",
        f"ace({rule_of})", f"l2_calibration_error({rule_of})",
        f"l2_calibration_error({rule_of}, correction='none')",
    )  # fmt: skip
    wanted = [
        (sizes * gaps).sum() / len(p),
        gaps.max(),
        gaps[sizes >= least].max(),
        gaps.mean(),
        np.sqrt(max(0.0, (sizes * (gaps**2 - noise))[several].sum() / len(p))),
        np.sqrt((sizes * gaps**2).sum() / len(p)),
    ]
    assert found == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bins", [1, 7, 10, 100])
def test_the_parts_of_the_brier_score_add_up_to_it(bins: int, rule: str) -> None:
    p, y = sample(bins)
    of = f"bins={bins}, bin_rule={rule!r}"
    names = ("reliability", "resolution", "within_bin_variance", "within_bin_covariance")
    rel, res, wbv, wbc = values(p, y, *(f"brier_{name}({of})" for name in names))
    (unc, brier) = values(p, y, "brier_uncertainty", "brier_score")
    assert rel - res + unc + wbv - wbc == pytest.approx(brier, abs=1e-12)
    assert brier == pytest.approx(brier_score_loss(y, p), abs=1e-12)
    where = expected_bins(p, bins, rule)
    where = np.where(np.isnan(where), -1, where)
    parts = [(p[where == b], y[where == b]) for b in np.unique(where)]
    share = np.array([len(a) for a, _ in parts]) / len(p)
    wanted = [
        (share * [(a.mean() - b.mean()) ** 2 for a, b in parts]).sum(),
        (share * [(b.mean() - y.mean()) ** 2 for _, b in parts]).sum(),
        (share * [a.var() for a, _ in parts]).sum(),
        (share * [2 * np.cov(a, b, bias=True)[0, 1] for a, b in parts]).sum(),
    ]
    assert [rel, res, wbv, wbc] == pytest.approx(wanted, abs=1e-12)
    assert unc == pytest.approx(y.var(), abs=1e-12)


@pytest.mark.parametrize("digits", [1, 2, 16])
def test_corp_is_the_isotonic_fit_of_scikit_learn(digits: int) -> None:
    rng = np.random.default_rng(digits)
    p = np.round(rng.random(700), digits)
    y = (rng.random(700) < p**2).astype(float)
    fitted = IsotonicRegression().fit(p, y).predict(p)
    brier, own, flat = (np.mean((c - y) ** 2) for c in (p, fitted, np.full(700, y.mean())))
    mcb, dsc, unc, score = values(
        p, y, "corp_miscalibration", "corp_discrimination", "brier_uncertainty", "brier_score"
    )
    assert (mcb, dsc) == pytest.approx((brier - own, flat - own), abs=1e-12)
    assert mcb - dsc + unc == pytest.approx(score, abs=1e-12)


def test_single_numbers_are_those_of_scikit_learn_and_numpy() -> None:
    p, y = sample(10)
    found = values(p, y, "log_loss", "roc_auc", "sharpness", "spiegelhalter_z")
    z = ((y - p) * (1 - 2 * p)).sum() / np.sqrt(((1 - 2 * p) ** 2 * p * (1 - p)).sum())
    assert found == pytest.approx([log_loss(y, p), roc_auc_score(y, p), p.var(), z], abs=1e-11)
    # Certain and wrong: the bound of scikit-learn, on both sides.
    assert values([0.0, 1.0], [1, 0], "log_loss") == pytest.approx([-np.log(2.0**-52)], abs=1e-12)
    assert values([0.0, 1.0], [0, 1], "log_loss") == pytest.approx([0.0], abs=1e-15)


def test_ecce_is_the_walk_over_different_probabilities() -> None:
    rng = np.random.default_rng(3)
    p = np.round(rng.random(400), 1)
    y = (rng.random(400) < np.where(p < 0.5, p / 2, (1 + p) / 2)).astype(float)
    walk = [0.0, *((y - p)[p <= t].sum() / len(p) for t in np.unique(p))]
    unit = np.sqrt((p * (1 - p)).sum()) / len(p)
    calls = [f"ecce_{kind}(scaled={scaled})" for kind in ("mad", "r") for scaled in (False, True)]
    sizes = (np.abs(walk).max(), max(walk) - min(walk))
    wanted = [size / by for size in sizes for by in (1, unit)]
    assert values(p, y, *calls) == pytest.approx(wanted, abs=1e-12)
    order = rng.permutation(400)
    assert values(p[order], y[order], *calls) == pytest.approx(wanted, abs=1e-12)


def by_kernel(p: Array, y: Array) -> float:
    """Smooth ECE by its definition: each row's reflected kernel, integrated on a fine mesh."""
    t = np.linspace(0, 1, 6001)
    where, place = np.unique(p, return_inverse=True)
    gap = np.bincount(place, weights=p - y) / len(p)

    def error(s: float) -> float:
        mirrored = [
            norm.pdf(t, 2 * k + side * q, s) for k in (-1, 0, 1) for side in (-1, 1) for q in where
        ]
        curve = (np.tile(gap, 6)[:, None] * np.array(mirrored)).sum(axis=0)
        return float(np.trapezoid(np.abs(curve), t))

    low, high = 1e-4, 1.0
    for _ in range(22):
        middle = (low + high) / 2
        low, high = (low, middle) if error(middle) <= middle else (middle, high)
    return high


@pytest.mark.parametrize("case", ["inside", "at the ends", "near the ends"])
def test_smooth_ece_is_its_definition_at_the_ends_of_the_range_too(case: str) -> None:
    rng = np.random.default_rng(4)
    p = np.round({"inside": 0.3 + rng.random(300) / 3, "at the ends": rng.choice([0.0, 1.0], 300),
                  "near the ends": rng.beta(0.1, 0.1, 300)}[case], 2)  # fmt: skip
    y = (rng.random(300) < 0.2 + 0.6 * p).astype(float)
    (found,) = values(p, y, "smooth_ece")
    assert found == pytest.approx(by_kernel(p, y), abs=2e-6)


def test_smooth_ece_has_a_known_answer_where_all_mass_is_at_an_end() -> None:
    """The curve of one value at the end integrates to its gap, however wide the kernel is."""
    assert values([1.0] * 100, [1.0] * 75 + [0.0] * 25, "smooth_ece") == pytest.approx([0.25])
    assert values([0.0] * 100, [1.0] * 25 + [0.0] * 75, "smooth_ece") == pytest.approx([0.25])


def test_the_noise_floor_is_the_mean_over_binomial_outcomes() -> None:
    p = np.repeat([0.03, 0.25, 0.5, 0.91], [40, 7, 1, 13])
    floor = 0.0
    for q, n in ((0.03, 40), (0.25, 7), (0.5, 1), (0.91, 13)):
        k = np.arange(n + 1)
        floor += (binom.pmf(k, n, q) * abs(k - n * q)).sum() / len(p)
    (row,) = evaluate(pairs(p, p > 0.5), ["calibration_noise_floor"])
    assert row["value"] == pytest.approx(floor, abs=1e-12)
    rng = np.random.default_rng(0)
    q, n = np.unique(p, return_counts=True)
    drawn = np.abs(rng.binomial(n, q, size=(2000, 4)) - n * q).sum(axis=1) / len(p)
    assert np.quantile(drawn, [0.025, 0.975]) == pytest.approx([row["low"], row["high"]], abs=0.006)


def many_classes(n: int, classes: int, seed: int = 0) -> tuple[Array, Array, Any]:
    rng = np.random.default_rng(seed)
    ps = np.round(rng.dirichlet(np.full(classes, 0.4), n), 3)
    label = np.array([rng.choice(classes, p=q**0.8 / (q**0.8).sum()) for q in ps])
    rows = [
        {"probabilities": [float(v) for v in q], "label_index": int(k), "label": f"c{k}"}
        for q, k in zip(ps, label, strict=True)
    ]
    return ps, label, rows


@pytest.mark.parametrize("rule", RULES)
def test_classwise_ece_is_the_mean_over_the_classes(rule: str) -> None:
    ps, label, rows = many_classes(300, 4)
    rows = [row for row in rows if row["label_index"] != 2]
    kept = label != 2
    ps, label = ps[kept], label[kept]
    each = []
    for k in range(4):
        parts = by_bin(ps[:, k], (label == k).astype(float), 10, rule)
        each.append(sum(abs((a - b).sum()) for a, b in parts) / len(ps))
    calls = [f"classwise_ece(bin_rule={rule!r}, absent={a!r})" for a in ("include", "skip")]
    unusable = [
        {"probabilities": [0.5, 0.5], "label_index": None, "label": "other"},
        {"probabilities": [0.5, float("nan")], "label_index": 1, "label": "c1"},
        {"probabilities": [0.5, 0.5], "label_index": 3, "label": "c3"},
        {"probabilities": None, "label_index": 1, "label": "c1"},
    ]
    found = evaluate(table([*rows, *unusable]), calls)
    assert [row["value"] for row in found] == pytest.approx(
        [np.mean(each), np.mean([each[k] for k in (0, 1, 3)])], abs=1e-12
    )
    assert {row["n"] for row in found} == {len(ps)}


@pytest.mark.parametrize("rule", ["equal_mass", "ntile"])
def test_bins_of_equal_mass_count_a_weight_as_so_many_rows(rule: str) -> None:
    import ibis
    import pyarrow as pa

    rng = np.random.default_rng(8)
    p = np.round(rng.random(60), 2)
    y, w = rng.random(60) < p, rng.integers(1, 6, 60)
    weighted = ibis.memtable(pairs(p, y).to_pyarrow().append_column("w", pa.array(w, pa.float64())))
    call = f"ece(bins=7, bin_rule={rule!r})"
    (one,) = evaluate(weighted, [call], weight="w")
    (wanted,) = values(np.repeat(p, w), np.repeat(y, w), call)
    assert one["value"] == pytest.approx(wanted, abs=1e-12)
    assert one["n"] == 60


def test_what_cannot_be_told_is_null_with_a_reason() -> None:
    def reason(p: Any, y: Any, call: str) -> Any:
        (row,) = evaluate(pairs(p, y), [call])
        return row["reason"]

    assert reason([0.5] * 9, [1] * 4 + [0] * 5, "spiegelhalter_z") == "not_applicable"
    assert reason([0.0, 1.0], [0, 1], "spiegelhalter_z") == "not_applicable"
    assert reason([0.0, 1.0], [0, 1], "ecce_mad(scaled=True)") == "not_applicable"
    assert reason([0.2, 0.9], [1, 1], "roc_auc") == "single_class"
    assert reason([0.2, 0.9], [0, 0], "roc_auc") == "single_class"
    assert reason([0.2, 0.9], [0, 1], "mce(least=2)") == "not_applicable"
    assert reason([0.0, 0.0], [0, 1], "mce(bin_rule='guo')") == "not_applicable"
    assert reason([0.2], [0], "classwise_ece") == "not_applicable"


def test_a_perfect_order_has_an_interval_of_some_width() -> None:
    (row,) = evaluate(pairs([0.1] * 20 + [0.9] * 20, [0] * 20 + [1] * 20), ["roc_auc"])
    assert (row["value"], row["high"]) == (1.0, 1.0)
    assert 0.7 < row["low"] < 0.95


def test_ties_in_the_walk_are_one_step() -> None:
    """With 50 rows at one value and half of them positive, no order of them is miscalibrated."""
    assert values([0.5] * 50, [0, 1] * 25, "ecce_mad", "ecce_r") == pytest.approx([0, 0], abs=1e-15)


def test_edges_of_ntile_are_half_way_between_its_rows() -> None:
    p = np.array([0.1, 0.2, 0.2, 0.6, 0.7])
    where = expected_bins(p, 2, "ntile")
    assert list(where) == [0, 0, 0, 1, 1]
    assert all(a <= b for a, b in pairwise(where))
