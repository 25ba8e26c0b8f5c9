"""Intervals of numbers that are computed from a state, outside of the engine."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from workbench.formulas import Z95

Array = np.ndarray[Any, Any] | np.float64


def normal_of(
    value: float, spread: float, size: float, floor: float = -math.inf
) -> tuple[float | None, float | None]:
    """Mean +- 1.96 standard errors, for a population variance; None where it has no width."""
    if size < 2.0 or spread <= 0.0:
        return None, None
    half = Z95 * math.sqrt(spread / (size - 1.0))
    return max(floor, value - half), value + half


def wilson_ends(value: Array, size: Array, z: float = Z95) -> tuple[Array, Array]:
    """Wilson score intervals of proportions of `size` rows each, any real number of them.

    Parameters
    ----------
    value
        The proportions.
    size
        Number of rows, or effective number.
    z
        Normal quantile of the level; the default gives 95 %.

    Returns
    -------
    tuple
        Lower and upper ends, which contain `value`; NaN where it is NaN.
    """
    shrink = 1.0 + z * z / size
    centre = (value + z * z / (2.0 * size)) / shrink
    half = np.sqrt(np.maximum(value * (1.0 - value), 0.0) / size + (z / (2.0 * size)) ** 2)
    half = half * z / shrink
    low = np.maximum(np.minimum(centre - half, value), 0.0)
    return low, np.minimum(np.maximum(centre + half, value), 1.0)


def wilson_of(value: float, size: float, z: float = Z95) -> tuple[float, float]:
    """Wilson score interval of one proportion; see `wilson_ends`."""
    low, high = wilson_ends(np.float64(value), np.float64(size), z)
    return float(low), float(high)
