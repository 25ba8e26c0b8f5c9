"""The calibration curve without bins: outcome rates that rise with the probability."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from workbench.metrics._bootstrap import SEED, Array, resample, steps
from workbench.metrics._metric import Estimate, State
from workbench.metrics._pairs import effective_size

#: A fit costs more than a sum, so there are fewer of them.
REPLICATES = 400


@dataclass(frozen=True)
class Curve:
    """Rows by probability, rising, and the isotonic fit to their outcomes.

    Parameters
    ----------
    p, n, sy
        Probability, rows (or their weights) and sum of outcomes.
    fitted
        Rate of the fit.
    """

    p: Array
    n: Array
    sy: Array
    fitted: Array


Part = Callable[[Curve], float]


def curve(p: Array, n: Array, sy: Array) -> Curve:
    """Fit by pooling adjacent violators; only rows with n > 0 are kept."""
    from scipy.optimize import isotonic_regression

    there = n > 0
    p, n, sy = p[there], n[there], sy[there]
    return Curve(p, n, sy, np.asarray(isotonic_regression(sy / n, weights=n).x))


def miscalibration(c: Curve) -> float:
    """Brier score minus that of the fit."""
    excess = c.n * (c.p**2 - c.fitted**2) - 2.0 * c.sy * (c.p - c.fitted)
    return max(0.0, float(excess.sum() / c.n.sum()))


def discrimination(c: Curve) -> float:
    """Brier score of the overall rate minus that of the fit."""
    rate = c.sy.sum() / c.n.sum()
    return float((c.n * (c.fitted - rate) ** 2).sum() / c.n.sum())


def corp(state: State, part: Part, *, by_chance: Callable[[Curve], Array]) -> Estimate:
    """Value and bootstrap interval of a part of the decomposition.

    Parameters
    ----------
    state
        A state of `workbench.metrics._pairs.scores`.
    part
        The number.
    by_chance
        Rates of the rows if there were nothing to find.
    """
    n, p = state["n"].astype(np.float64), state["p"].astype(np.float64)
    sy = state["sy"].astype(np.float64)
    value, rows = part(curve(p, n, sy)), int(state["rows"].sum())
    size = effective_size(state)
    coarse = curve(*steps(p, n, sy))
    cells = np.concatenate([coarse.sy, np.maximum(coarse.n - coarse.sy, 0.0)])
    if size < 1.0 or np.count_nonzero(cells > 0) < 2:
        return Estimate(value=value, n=rows)
    yes, no = np.split(resample(cells, size, replicates=REPLICATES), 2, axis=1)
    found = [part(curve(coarse.p, a + b, a)) for a, b in zip(yes, no, strict=True)]
    lower, upper = np.quantile(found, [0.025, 0.975])
    centre = part(coarse)
    low, high = value + centre - float(upper), value + centre - float(lower)

    whole = np.rint(coarse.n * size / coarse.n.sum()).astype(np.int64)
    rates = np.clip(by_chance(coarse), 0.0, 1.0)
    rng = np.random.default_rng(SEED)
    none = rng.binomial(whole, rates, size=(REPLICATES // 2, len(whole)))
    if value <= np.quantile([part(curve(coarse.p, whole, sy)) for sy in none], 0.975):
        low = 0.0
    return Estimate(
        value=value, low=max(0.0, min(low, value)), high=min(1.0, max(high, value)), n=rows
    )
