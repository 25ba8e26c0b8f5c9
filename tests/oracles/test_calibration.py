"""The calibration metrics against other people's libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.metrics.rows import adversarial, evaluate, pairs, table

verified = pytest.importorskip(
    "calibration", reason="uncertainty-calibration is not installed: make oracles"
)


def value(p: Any, y: Any, call: str) -> float:
    (row,) = evaluate(pairs(p, y), [call])
    return float(row["value"])


@pytest.mark.parametrize("bins", [5, 10, 15, 20])
def test_ece_of_the_rule_verified_is_that_of_verified_calibration(bins: int) -> None:
    p = adversarial(bins, seed=bins)
    y = (np.random.default_rng(bins).random(len(p)) < p).astype(int)
    wanted = verified.get_ece(p, y, num_bins=bins)
    assert value(p, y, f"ece(bins={bins}, bin_rule='verified')") == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("bins", [5, 15])
def test_l2_with_bins_of_equal_mass_is_that_of_verified_calibration(bins: int) -> None:
    rng = np.random.default_rng(bins)
    for digits in (2, 16):
        p = np.round(rng.random(500), digits)
        y = (rng.random(500) < p**2).astype(int)
        for correction, debias in (("noise", True), ("none", False)):
            call = f"bins={bins}, bin_rule='ntile', correction={correction!r}"
            wanted = verified.lower_bound_scaling_ce(p, y, p=2, debias=debias, num_bins=bins)
            found = value(p, y, f"l2_calibration_error({call})")
            assert found == pytest.approx(wanted, abs=1e-12)


def test_classwise_ece_is_the_marginal_error_of_verified_calibration() -> None:
    rng = np.random.default_rng(2)
    ps = np.round(rng.dirichlet(np.full(5, 0.5), 400), 3)
    label = np.array([rng.choice(5, p=q**2 / (q**2).sum()) for q in ps])
    rows = table(
        [
            {"probabilities": [float(v) for v in q], "label_index": int(k), "label": str(k)}
            for q, k in zip(ps, label, strict=True)
        ]
    )
    (found,) = evaluate(rows, ["classwise_ece(bins=10, bin_rule='verified')"])
    wanted = verified.get_ece(ps, label, num_bins=10, mode="marginal")
    assert found["value"] == pytest.approx(wanted, abs=1e-12)


def test_spiegelhalter_and_ecce_are_those_of_mapie() -> None:
    mapie = pytest.importorskip(
        "mapie.metrics.calibration", reason="MAPIE is not installed: make oracles"
    )
    rng = np.random.default_rng(3)
    p = rng.random(800)
    y = (rng.random(800) < p**1.3).astype(int)
    assert value(p, y, "spiegelhalter_z") == pytest.approx(
        mapie.spiegelhalter_statistic(y, p), abs=1e-9
    )
    # It adds a jitter of 1e-8 to tell equal scores apart.
    for call, oracle in (
        ("ecce_mad(scaled=True)", mapie.kolmogorov_smirnov_statistic),
        ("ecce_r(scaled=True)", mapie.kuiper_statistic),
    ):
        assert value(p, y, call) == pytest.approx(oracle(y, p), abs=1e-6)


def test_smooth_ece_is_that_of_relplot_inside_the_range() -> None:
    """At the ends it is not: see the comparison with the kernel itself in tests/metrics."""
    relplot = pytest.importorskip("relplot", reason="relplot is not installed: make oracles")
    rng = np.random.default_rng(4)
    p = 0.3 + 0.4 * rng.random(1000)
    y = (rng.random(1000) < p - 0.15).astype(int)
    assert value(p, y, "smooth_ece") == pytest.approx(relplot.smECE(p, y), abs=2e-3)
