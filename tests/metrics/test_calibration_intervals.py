"""How often the intervals of the calibration metrics hold what they estimate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from workbench.metrics import metrics
from workbench.metrics.smooth_ece import GRID

Array = np.ndarray[Any, Any]
Sampler = Callable[[np.random.Generator, int], tuple[Array, Array]]


def in_cells(p: Array, y: Array) -> dict[str, Array]:
    keys, place = np.unique(np.minimum(p * 10, 9).astype(int) * 2 + y, return_inverse=True)
    n = np.bincount(place).astype(float)
    powers = {f"s{'p' * k}": np.bincount(place, weights=p**k) for k in (1, 2, 3, 4)}
    return {"bin": keys // 2, "y": keys % 2, "rows": n, "n": n, "ww": n, **powers}


def in_scores(p: Array, y: Array) -> dict[str, Array]:
    values, place = np.unique(p, return_inverse=True)
    n, sy = np.bincount(place).astype(float), np.bincount(place, weights=y)
    return {"p": values, "rows": n, "n": n, "ww": n, "sy": sy, "wwy": sy}


def in_sums(p: Array, y: Array) -> dict[str, Array]:
    term, n = (y - p) * (1 - 2 * p), float(len(p))
    v = (1 - 2 * p) ** 2 * p * (1 - p)
    sums = {"rows": n, "n": n, "ww": n, "sy": y.sum(), "z": term.sum(), "zz": (term**2).sum()}
    return {name: np.array([value]) for name, value in {**sums, "v": v.sum()}.items()}


def in_moments(p: Array, _: Array) -> dict[str, Array]:
    n, x = float(len(p)), p - 0.5
    powers = {f"x{k}": (x**k).sum() for k in (1, 2, 3, 4)}
    ends = {"least": p.min(), "most": p.max()}
    return {k: np.array([v]) for k, v in {"rows": n, "n": n, "ww": n, **powers, **ends}.items()}


def on_grid(p: Array, y: Array) -> dict[str, Array]:
    at, place = np.unique(np.minimum(np.floor(p * GRID), GRID - 1), return_inverse=True)
    r, part = p - y, p * GRID - np.minimum(np.floor(p * GRID), GRID - 1)
    n = np.bincount(place).astype(float)
    columns = {"sp": p, "r": r, "upper": part * r, "wrr": r * r}
    sums = {name: np.bincount(place, weights=column) for name, column in columns.items()}
    return {"at": at, "rows": n, "n": n, "ww": n, **sums}


STATES = {
    **dict.fromkeys(("ece", "l2_calibration_error", "ace", "mce"), in_cells),
    **dict.fromkeys((f"brier_{part}" for part in ("reliability", "resolution")), in_cells),
    **dict.fromkeys((f"brier_within_bin_{x}" for x in ("variance", "covariance")), in_cells),
    **dict.fromkeys(("roc_auc", "ecce_mad", "ecce_r"), in_scores),
    **dict.fromkeys(("corp_miscalibration", "corp_discrimination"), in_scores),
    **dict.fromkeys(("spiegelhalter_z", "brier_uncertainty"), in_sums),
    "sharpness": in_moments,
    "smooth_ece": on_grid,
}


def overconfident(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    p = np.round(rng.beta(0.8, 0.8, n), 3)
    return p, (rng.random(n) < 0.25 + 0.5 * p).astype(float)


def too_high(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    p = np.round(rng.random(n), 3)
    return p, (rng.random(n) < 0.8 * p).astype(float)


def shifted(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    p = np.round(0.2 + 0.7 * rng.random(n), 3)
    return p, (rng.random(n) < p - 0.15).astype(float)


def calibrated(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    p = np.round(rng.random(n), 3)
    return p, (rng.random(n) < p).astype(float)


def estimate(name: str, p: Array, y: Array) -> Any:
    metric = metrics.get(name)
    assert metric.estimate is not None
    params = {key: param.default for key, param in metric.params.items()}
    return metric.estimate(STATES[name](p, y), **params)


def coverage(name: str, world: Sampler, n: int, draws: int, truth: float | None = None) -> float:
    """Share of samples whose interval holds the value of a very large sample."""
    rng = np.random.default_rng(11)
    if truth is None:
        truth = estimate(name, *world(rng, 1_000_000)).value
    found = [estimate(name, *world(rng, n)) for _ in range(draws)]
    return float(np.mean([one.low <= truth <= one.high for one in found]))


NOTHING_THERE = ("ece", "l2_calibration_error", "brier_reliability", "smooth_ece", "ecce_mad")


@pytest.mark.parametrize("name", ["roc_auc", "sharpness", "brier_uncertainty", "spiegelhalter_z"])
@pytest.mark.parametrize("world", [overconfident, too_high])
def test_the_interval_of_a_regular_number_covers_it(name: str, world: Sampler) -> None:
    n, draws = 400, 400
    truth = None
    if name == "spiegelhalter_z":
        # It grows with the root of the number of rows.
        large = world(np.random.default_rng(2), 1_000_000)
        truth = estimate(name, *large).value * np.sqrt(n / 1_000_000)
    assert 0.925 <= coverage(name, world, n, draws, truth) <= 0.98


@pytest.mark.parametrize("name", ["variance", "covariance"])
def test_the_interval_within_bins_covers_the_scatter_within_bins(name: str) -> None:
    assert 0.92 <= coverage(f"brier_within_bin_{name}", too_high, 2000, 300) <= 0.985


@pytest.mark.parametrize("name", ["ece", "l2_calibration_error", "brier_resolution"])
@pytest.mark.parametrize("world", [overconfident, too_high])
def test_the_bootstrap_of_bins_covers_what_is_there(name: str, world: Sampler) -> None:
    # The error of a bin whose true gap is about 0 is no smooth function of its rate.
    assert 0.87 <= coverage(name, world, 1000, 80) <= 1.0


@pytest.mark.parametrize("name", ["ece", "l2_calibration_error", "brier_reliability"])
def test_the_bootstrap_of_bins_is_right_where_every_bin_is_off(name: str) -> None:
    assert 0.925 <= coverage(name, shifted, 1000, 200) <= 0.985


@pytest.mark.parametrize("name", ["smooth_ece", "ecce_mad", "corp_miscalibration"])
def test_the_interval_without_bins_covers_what_is_there(name: str) -> None:
    assert 0.9 <= coverage(name, too_high, 500, 40) <= 1.0


@pytest.mark.parametrize("name", NOTHING_THERE)
@pytest.mark.parametrize("n", [60, 1000])
def test_a_calibrated_model_is_seldom_called_miscalibrated(name: str, n: int) -> None:
    """The interval of 97 samples of 100 starts at 0; the bootstrap alone has it in every other."""
    assert coverage(name, calibrated, n, 40, truth=0.0) >= 0.93


@pytest.mark.parametrize("name", NOTHING_THERE)
def test_a_miscalibrated_model_is_called_so(name: str) -> None:
    assert coverage(name, overconfident, 2000, 20, truth=0.0) == 0.0


def test_the_mean_losses_cover_the_truth() -> None:
    """In the engine, where they are means over rows."""
    import pyarrow as pa

    from tests.metrics.rows import evaluate, stored

    rng = np.random.default_rng(7)
    big, n, draws = too_high(rng, 1_000_000), 400, 300
    p, y = too_high(rng, n * draws)
    columns = {"calibration_p": p, "calibration_y": y, "reward": y, "g": np.arange(n * draws) // n}
    names = ["log_loss", "brier_score"]
    found = evaluate(stored(pa.table(columns)), names, ["g"])
    q = np.clip(big[0], 2.0**-52, 1 - 2.0**-52)
    truth = {
        "log_loss": -(big[1] * np.log(q) + (1 - big[1]) * np.log(1 - q)).mean(),
        "brier_score": ((big[0] - big[1]) ** 2).mean(),
    }
    for name in names:
        held = [r["low"] <= truth[name] <= r["high"] for r in found if r["metric"] == name]
        assert len(held) == draws
        assert 0.925 <= np.mean(held) <= 0.98, name
