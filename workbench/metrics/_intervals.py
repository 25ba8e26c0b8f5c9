"""Intervals of numbers that are computed from a state, outside of the engine."""

from __future__ import annotations

import math

from workbench.formulas import Z95


def wilson_of(value: float, size: float) -> tuple[float, float]:
    """Wilson score interval of a proportion of `size` rows; it contains `value`."""
    shrink = 1.0 + Z95 * Z95 / size
    centre = (value + Z95 * Z95 / (2.0 * size)) / shrink
    half = math.sqrt(max(0.0, value * (1.0 - value)) / size + (Z95 / (2.0 * size)) ** 2)
    half *= Z95 / shrink
    return max(0.0, min(centre - half, value)), min(1.0, max(centre + half, value))
