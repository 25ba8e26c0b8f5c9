"""95 % intervals of proportions and means."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from workbench.formulas._values import double, null

Z95 = 1.959963984540054
"""The 0.975 quantile of the normal distribution: a two-sided 95 % interval."""


def score_interval(
    p: ir.FloatingValue, n: ir.FloatingValue, z: float = Z95
) -> tuple[ir.FloatingValue, ir.FloatingValue]:
    """Wilson score interval of a proportion `p` of `n` trials; see `wilson`."""
    # A mean of ones may be one ulp above 1; the root of a negative number is an error in DuckDB.
    variance = ibis.greatest(p * (1.0 - p), 0.0)
    centre = (n * p + z * z / 2.0) / (n + z * z)
    half = z * (n * variance + z * z / 4.0).sqrt() / (n + z * z)
    # Rounding must not push the estimate itself, 0 or 1 out of the interval.
    low = ibis.greatest(ibis.least(centre - half, p), 0.0)
    high = ibis.least(ibis.greatest(centre + half, p), 1.0)
    # greatest and least skip NULL, so an empty sample has to be said explicitly.
    known = p.notnull() & (n > 0.0)
    return known.ifelse(low, null()), known.ifelse(high, null())


def wilson(
    k: ir.NumericValue, n: ir.NumericValue, z: float = Z95
) -> tuple[ir.FloatingValue, ir.FloatingValue]:
    """Wilson score interval of a proportion.

    Parameters
    ----------
    k
        Number of successes.
    n
        Number of trials.
    z
        Quantile of the normal distribution; the default gives 95 %.

    Returns
    -------
    tuple
        Lower and upper end, both NULL where `n` is 0 or NULL.
    """
    trials = double(n)
    return score_interval(double(k) / trials.nullif(0.0), trials, z)


def mean_interval(
    mean: ir.FloatingValue,
    variance: ir.FloatingValue,
    smallest: ir.FloatingValue,
    largest: ir.FloatingValue,
    n: ir.NumericValue,
    z: float = Z95,
) -> tuple[ir.FloatingValue, ir.FloatingValue]:
    """Wilson score interval of the mean of values in [0, 1], at their effective sample size.

    The effective sample size is ``n * mean * (1 - mean) / variance``: n - 1 for values that are 0
    or 1 only, more for values that vary less than that. Unlike mean +- z * SE it stays in [0, 1]
    and does not collapse when all values are equal, where it takes `n` as the size.

    Parameters
    ----------
    mean, variance, smallest, largest, n
        Mean, sample variance, extremes and number of the values.
    z
        Quantile of the normal distribution; the default gives 95 %.

    Returns
    -------
    tuple
        Lower and upper end, both NULL where `n` < 2 or a value is outside [0, 1].
    """
    count = double(n)
    effective = count * mean * (1.0 - mean) / variance.nullif(0.0)
    # Equal values can have a variance of one rounding error, so their extremes are compared.
    alike = (smallest == largest) | (variance == 0.0)
    size = alike.ifelse(count, ibis.least(effective, 1e15))
    low, high = score_interval(mean, size, z)
    usable = (count >= 2.0) & (smallest >= 0.0) & (largest <= 1.0)
    return usable.ifelse(low, null()), usable.ifelse(high, null())


def normal_interval(
    mean: ir.FloatingValue, variance: ir.FloatingValue, n: ir.NumericValue, z: float = Z95
) -> tuple[ir.FloatingValue, ir.FloatingValue]:
    """Interval of the mean of any values, ``mean +- z * sqrt(variance / n)``.

    Parameters
    ----------
    mean, variance, n
        Mean, sample variance and number (or effective number) of the values.
    z
        Quantile of the normal distribution; the default gives 95 %.

    Returns
    -------
    tuple
        Lower and upper end, both NULL where `n` < 2.
    """
    count = double(n)
    half = z * (ibis.greatest(variance, 0.0) / count.nullif(0.0)).sqrt()
    known = (count >= 2.0) & variance.notnull()
    return known.ifelse(mean - half, null()), known.ifelse(mean + half, null())
