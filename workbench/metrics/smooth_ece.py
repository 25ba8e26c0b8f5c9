"""Calibration error with a smooth curve in place of bins (smooth ECE).

What it shows
-------------
How far probabilities are from what happened, averaged over a curve that is smoothed just as far as
its own error allows.

How to read it
--------------
As ``ece``, but without edges: no rounding of scores and no number of bins changes it. It is a
little smaller than the ECE of well chosen bins, and it does not jump.

What to do
----------
Use it where ``ece`` changes with the bins, and to compare groups of different size. Then see in the
reliability diagram where the model is off.

Definition
----------
The smallest width s for which the error of the curve that is smoothed with width s is at most s
(Blasiok and Nakkiran 2023). The curve is ``r(t) = sum of (p - y) K(p, t) / n`` with the Gaussian
kernel of standard deviation s, reflected at 0 and 1 so that no mass leaves the range, and its error
is the integral of ``abs(r)``. Rows are put on a grid of 8193 points, each shared by the two next to
it; mass at 0 and 1 has its mirror image on the same point and counts there twice, which relplot
leaves out. Below a width of 1/4096 the grid would show, so the curve is not smoothed less than
that.

The interval is normal, from the weight that each row has in the value; it starts at 0 where a
perfectly calibrated model would often show as much.
"""

from __future__ import annotations

import math
from typing import Any

import ibis.expr.types as ir
import numpy as np

from workbench.formulas import Z95, open_bin, settled_bin
from workbench.metrics._bootstrap import SEED
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._pairs import effective_size, pairs, sizes

Array = np.ndarray[Any, Any]

GRID = 8192
LEAST = 2.0 / GRID
#: Perfectly calibrated samples that are drawn, and the grid that is fine enough for them.
SAMPLES, COARSE = 200, 1024


def on_grid(table: ir.Table, by: tuple[str, ...], /) -> ir.Table:
    """Sums over the pairs between two points of the grid.

    Returns
    -------
    ir.Table
        `by`, ``at`` (the lower point), ``rows``, ``n`` and ``ww`` (sums of weights and of their
        squares), ``sp``, the sums ``r`` of p - y and ``upper`` of its share for the upper point,
        and ``wrr``, the sum of the squared p - y.
    """
    rows = pairs(table, by)
    at = settled_bin(open_bin(rows.p, GRID), GRID)
    rows = rows.mutate(at=at, part=rows.p * GRID - at, r=rows.p - rows.y)
    w = rows.weight
    found = rows.aggregate(
        by=[*by, "at"],
        **sizes(table, rows),
        sp=(w * rows.p).sum(),
        r=(w * rows.r).sum(),
        upper=(w * rows.part * rows.r).sum(),
        wrr=(w * rows.r * rows.r).sum(),
    )
    return found.order_by([*by, "at"])


def _spread(mass: Array, width: float) -> Array:
    """Mass on the points of a grid from 0 to 1, smoothed by the reflected kernel, as a density."""
    points = mass.shape[-1] - 1
    # One period of the even function: mirror images on the left; 0 and 1 are their own.
    circle = np.zeros((*mass.shape[:-1], 2 * points))
    circle[..., : points + 1] = mass
    circle[..., points:] += mass[..., :0:-1]
    circle[..., 0] += mass[..., 0]
    waves = np.pi * np.arange(points + 1)
    smooth = np.fft.rfft(circle) * np.exp(-0.5 * (waves * width) ** 2)
    return np.asarray(np.fft.irfft(smooth, n=2 * points)[..., : points + 1] * points)


def _integral(values: Array) -> Array:
    return np.asarray(np.trapezoid(values, dx=1.0 / (values.shape[-1] - 1), axis=-1))


def error(mass: Array, width: float) -> Array:
    """Integral of the absolute smoothed curve."""
    return _integral(np.abs(_spread(mass, width)))


def smallest_width(mass: Array) -> float:
    """The width that the error no longer exceeds: the error falls as the width rises."""
    low, high = LEAST, 1.0
    if error(mass, low) <= low:
        return low
    while high - low > 1e-10:
        middle = (low + high) / 2.0
        low, high = (low, middle) if error(mass, middle) <= middle else (middle, high)
    return high


def estimate(state: State, /, **_params: Any) -> Estimate:
    """Smooth ECE and its interval out of the grid of one group."""
    n, at = state["n"].astype(np.float64), state["at"].astype(np.int64)
    total, rows = float(n.sum()), int(state["rows"].sum())
    r, upper = state["r"].astype(np.float64), state["upper"].astype(np.float64)
    mass = np.zeros(GRID + 1)
    np.add.at(mass, at, (r - upper) / total)
    np.add.at(mass, at + 1, upper / total)
    width = smallest_width(mass)
    value = float(error(mass, width))
    size = effective_size(state)
    if rows < 2 or size <= 1.0:
        return Estimate(value=value, n=rows)

    # A row of probability p moves the value by (p - y) times the smoothed sign of the curve at p.
    sign = _spread(np.sign(_spread(mass, width)) * _ends(GRID), width)
    middle = (sign[at] + sign[at + 1]) / 2.0
    squares = float((state["wrr"].astype(np.float64) * middle**2).sum()) / total
    step = 1e-3 * width
    slope = float(error(mass, width + step) - error(mass, width - step)) / (2.0 * step)
    half = Z95 * math.sqrt(max(0.0, squares - value**2) / (size - 1.0))
    if width > LEAST:
        # A larger error asks for a larger width, which lowers the error again.
        half /= 1.0 - min(slope, 0.0)
    low, high = max(0.0, value - half), min(1.0, value + half)
    if value <= _usual(n * size / total, state["sp"].astype(np.float64) / n, max(value, LEAST)):
        low = 0.0
    return Estimate(value=value, low=low, high=high, n=rows)


def _ends(points: int) -> Array:
    """Weights of the trapezoid rule on a grid."""
    weights = np.full(points + 1, 1.0 / points)
    weights[[0, -1]] /= 2.0
    return weights


def _usual(n: Array, p: Array, width: float) -> float:
    """The 0.975 quantile of the error of perfectly calibrated samples at one width."""
    point = np.rint(p * COARSE).astype(np.int64)
    _, place = np.unique(point, return_inverse=True)
    whole = np.rint(np.bincount(place, weights=n)).astype(np.int64)
    mean = np.bincount(place, weights=n * p) / np.bincount(place, weights=n)
    rng = np.random.default_rng(SEED)
    gaps = whole * mean - rng.binomial(whole, np.clip(mean, 0.0, 1.0), size=(SAMPLES, len(mean)))
    mass = np.zeros((SAMPLES, COARSE + 1))
    mass[:, np.unique(point)] = gaps / n.sum()
    return float(np.quantile(error(mass, max(width, 2.0 / COARSE)), 0.975))


metric = state_metric(
    family="calibration",
    state=on_grid,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="lower",
    interval="normal",
)
