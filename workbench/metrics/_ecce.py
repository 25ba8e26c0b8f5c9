"""The walk of cumulative differences, out of sums by score."""

from __future__ import annotations

import math

import numpy as np

from workbench.formulas import Z95
from workbench.metrics._bootstrap import Array
from workbench.metrics._metric import Estimate, Param, State

ECCE_PARAMS = {
    "scaled": Param(
        default=False, about="In standard errors of a perfectly calibrated model instead of rates."
    )
}


def _walk(state: State) -> Array:
    """Sums of y - p up to each score, over all rows; it begins at 0."""
    n, p = state["n"].astype(np.float64), state["p"].astype(np.float64)
    steps = (state["sy"].astype(np.float64) - n * p) / n.sum()
    return np.concatenate([[0.0], np.cumsum(steps)])


def ecce(state: State, *, both_sides: bool, usual: float, scaled: bool) -> Estimate:
    """Size of the walk and its interval.

    Parameters
    ----------
    state
        A state of `workbench.metrics._pairs.scores`.
    both_sides
        Whether it is the highest point minus the lowest instead of the distance from 0.
    usual
        What a standard Brownian motion exceeds with probability 0.025.
    scaled
        Whether to divide by the standard deviation of the walk's end under perfect calibration.
    """
    walk = _walk(state)
    n, p = state["n"].astype(np.float64), state["p"].astype(np.float64)
    ww, wwy = state["ww"].astype(np.float64), state["wwy"].astype(np.float64)
    total = float(n.sum())
    if both_sides:
        first, last = sorted((int(walk.argmin()), int(walk.argmax())))
    else:
        first, last = 0, int(np.abs(walk).argmax())
    value = abs(float(walk[last] - walk[first]))
    # Of a fixed stretch it is a mean, so that its variance is known.
    inside = slice(first, last)
    squares = wwy[inside] * (1.0 - p[inside]) ** 2 + (ww - wwy)[inside] * p[inside] ** 2
    spread = max(0.0, float(squares.sum()) - value * value * float(ww.sum()))
    half = Z95 * math.sqrt(spread) / total
    low, high = max(0.0, value - half), min(1.0, value + half)
    if value <= usual * math.sqrt(float((ww * p * (1.0 - p)).sum())) / total:
        low = 0.0
    unit = 1.0
    if scaled:
        unit = math.sqrt(float((n * p * (1.0 - p)).sum())) / total
        if unit == 0.0:
            return Estimate(reason="not_applicable")
    rows = int(state["rows"].sum())
    if rows < 2:
        return Estimate(value=value / unit, n=rows)
    return Estimate(value=value / unit, low=low / unit, high=high / unit, n=rows)
