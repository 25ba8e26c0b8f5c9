"""Intervals of numbers that are computed from a state, outside of the engine."""

from __future__ import annotations

import math

from workbench.formulas import Z95


def normal_of(
    value: float, spread: float, size: float, floor: float = -math.inf
) -> tuple[float | None, float | None]:
    """Mean +- 1.96 standard errors, for a population variance; None where it has no width."""
    if size < 2.0 or spread <= 0.0:
        return None, None
    half = Z95 * math.sqrt(spread / (size - 1.0))
    return max(floor, value - half), value + half


def wilson_of(value: float, size: float) -> tuple[float, float]:
    """Wilson score interval of a proportion of `size` rows; it contains `value`."""
    shrink = 1.0 + Z95 * Z95 / size
    centre = (value + Z95 * Z95 / (2.0 * size)) / shrink
    half = math.sqrt(max(0.0, value * (1.0 - value)) / size + (Z95 / (2.0 * size)) ** 2)
    half *= Z95 / shrink
    return max(0.0, min(centre - half, value)), min(1.0, max(centre + half, value))
