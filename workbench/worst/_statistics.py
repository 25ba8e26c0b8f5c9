"""Differences of means out of sums, and which of many differences are more than chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.formulas import Z95
from workbench.metrics import wilson_ends

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Sums:
    """Number, sum and sum of squares of the values of several groups of rows."""

    n: Array
    s: Array
    ss: Array

    def __sub__(self, other: Sums) -> Sums:
        """The rest of each group."""
        return Sums(self.n - other.n, self.s - other.s, self.ss - other.ss)

    def __getitem__(self, which: Any) -> Sums:
        """Some of the groups."""
        return Sums(self.n[which], self.s[which], self.ss[which])

    @property
    def mean(self) -> Array:
        """Mean of each group; NaN of none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.s / self.n)

    @property
    def variance(self) -> Array:
        """Variance of the mean of each group; NaN below two rows."""
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.maximum(self.ss - self.s * self.s / self.n, 0.0) / (self.n - 1)
            return np.asarray(np.where(self.n > 1, spread / self.n, np.nan))


@dataclass(frozen=True)
class Difference:
    """Mean of one group minus that of another: the 95 % interval, and the two-sided p-value."""

    effect: Array
    low: Array
    high: Array
    p: Array


def difference(one: Sums, other: Sums, *, binary: bool) -> Difference:
    """Difference of two means.

    Of shares: the test of two proportions with the pooled share, and Newcombe's interval (1998,
    method 10, from Wilson's intervals). Of other numbers: Welch's statistic, read as normal.
    """
    effect = one.mean - other.mean
    with np.errstate(invalid="ignore", divide="ignore"):
        if binary:
            pooled = (one.s + other.s) / (one.n + other.n)
            error = np.sqrt(pooled * (1 - pooled) * (1 / one.n + 1 / other.n))
            low_1, high_1 = wilson_ends(one.mean, one.n)
            low_2, high_2 = wilson_ends(other.mean, other.n)
            low = effect - np.hypot(one.mean - low_1, high_2 - other.mean)
            high = effect + np.hypot(high_1 - one.mean, other.mean - low_2)
        else:
            error = np.sqrt(one.variance + other.variance)
            low, high = effect - Z95 * error, effect + Z95 * error
    return Difference(effect, low, high, p_value(effect, error))


def p_value(effect: Array, error: Array) -> Array:
    """Two-sided, of a normal statistic; 1 where it cannot be told."""
    from scipy.special import ndtr

    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.abs(effect) / error
    return np.where(np.isfinite(z), 2 * ndtr(-np.where(np.isfinite(z), z, 0.0)), 1.0)


def benjamini_hochberg(p: Array) -> Array:
    """Adjusted p-values: taking those up to q, the share of false ones is expected to be q at most.

    Benjamini and Hochberg (1995). Slices overlap; for positively dependent statistics as theirs
    the rule still holds (Benjamini and Yekutieli 2001).
    """
    m = len(p)
    if not m:
        return p
    order = np.argsort(p, kind="stable")
    scaled = p[order] * m / np.arange(1, m + 1)
    adjusted = np.empty(m)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted
