"""Formulas of one row or one aggregate as Ibis expressions; they run on DuckDB and on Spark alike.

Each formula lives here once: the views are compiled from it and the metrics call it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import ibis
import ibis.expr.types as ir

from workbench.errors import ConfigError, suggest

BinRule = Literal["numpy", "right", "guo", "torchmetrics"]
BIN_RULES: tuple[str, ...] = get_args(BinRule)

Z95 = 1.959963984540054
"""The 0.975 quantile of the normal distribution: a two-sided 95 % interval."""

SUM_TOLERANCE = 1e-3
"""How far the sum of class probabilities may be from 1."""


def _null() -> ir.FloatingScalar:
    return ibis.null("float64")


def _double(value: ir.Value) -> ir.FloatingValue:
    return value.cast("float64")


def finite(value: ir.Value) -> ir.FloatingValue:
    """`value` as DOUBLE; NULL where it is NaN or infinite."""
    number = _double(value)
    # Ibis compiles isinf() to FALSE on Spark.
    return (number.isnan() | (number.abs() == float("inf"))).ifelse(_null(), number)


def probability(value: ir.Value) -> ir.FloatingValue:
    """`value` as DOUBLE; NULL where it is NaN or outside [0, 1]."""
    number = _double(value)
    inside = (number >= 0.0) & (number <= 1.0) & ~number.isnan()
    return inside.ifelse(number, _null())


# -- intervals -------------------------------------------------------------------------------------


def _score_interval(
    p: ir.FloatingValue, n: ir.FloatingValue, z: float
) -> tuple[ir.FloatingValue, ir.FloatingValue]:
    # A mean of ones may be one ulp above 1; the root of a negative number is an error in DuckDB.
    variance = ibis.greatest(p * (1.0 - p), 0.0)
    centre = (n * p + z * z / 2.0) / (n + z * z)
    half = z * (n * variance + z * z / 4.0).sqrt() / (n + z * z)
    # Rounding must not push the estimate itself, 0 or 1 out of the interval.
    low = ibis.greatest(ibis.least(centre - half, p), 0.0)
    high = ibis.least(ibis.greatest(centre + half, p), 1.0)
    # greatest and least skip NULL, so an empty sample has to be said explicitly.
    known = p.notnull() & (n > 0.0)
    return known.ifelse(low, _null()), known.ifelse(high, _null())


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
    trials = _double(n)
    return _score_interval(_double(k) / trials.nullif(0.0), trials, z)


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
    count = _double(n)
    effective = count * mean * (1.0 - mean) / variance.nullif(0.0)
    # Equal values can have a variance of one rounding error, so their extremes are compared.
    alike = (smallest == largest) | (variance == 0.0)
    size = alike.ifelse(count, ibis.least(effective, 1e15))
    low, high = _score_interval(mean, size, z)
    usable = (count >= 2.0) & (smallest >= 0.0) & (largest <= 1.0)
    return usable.ifelse(low, _null()), usable.ifelse(high, _null())


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
    count = _double(n)
    half = z * (ibis.greatest(variance, 0.0) / count.nullif(0.0)).sqrt()
    known = (count >= 2.0) & variance.notnull()
    return known.ifelse(mean - half, _null()), known.ifelse(mean + half, _null())


# -- uncertainty of one prediction -----------------------------------------------------------------


def _plogp(p: ir.FloatingValue) -> ir.FloatingValue:
    # ln(0) is an error in DuckDB, even where its result would not be used.
    return p * (p > 0.0).ifelse(p, 1.0).ln()


def _uncertainty(
    probabilities: ir.ArrayValue,
    confidence: ir.FloatingValue,
    of_list: Callable[[ir.ArrayValue], ir.FloatingValue],
    of_scalar: Callable[[ir.FloatingValue], ir.FloatingValue],
) -> ir.FloatingValue:
    classes = probabilities.cast("array<float64>")
    scalar = _double(confidence)
    bad = classes.filter(lambda q: q.isnull() | q.isnan() | (q < 0.0) | (q > 1.0))
    usable = (
        (classes.length() > 0)
        & (bad.length() == 0)
        & ((classes.sums() - 1.0).abs() <= SUM_TOLERANCE)
    )
    readable = probabilities.isnull() & (scalar >= 0.0) & (scalar <= 1.0) & ~scalar.isnan()
    return ibis.cases((usable, of_list(classes)), (readable, of_scalar(scalar)), else_=_null())


def least_confidence(
    probabilities: ir.ArrayValue, confidence: ir.FloatingValue
) -> ir.FloatingValue:
    """One minus the probability of the predicted class; large = unsure.

    Parameters
    ----------
    probabilities
        Probability of each class. NULL, NaN or an element outside [0, 1], or a sum that differs
        from 1 by more than 1e-3, gives NULL.
    confidence
        Probability of the prediction, read only where `probabilities` is NULL.

    Returns
    -------
    FloatingValue
        ``1 - max(probabilities)``, else ``1 - confidence``.
    """
    return _uncertainty(probabilities, confidence, lambda p: 1.0 - p.maxs(), lambda c: 1.0 - c)


def margin(probabilities: ir.ArrayValue, confidence: ir.FloatingValue) -> ir.FloatingValue:
    """One minus the lead of the likeliest class over the second one; large = unsure.

    The sign is that of scikit-activeml: 1 for a tie, 0 for a certain prediction.

    Parameters
    ----------
    probabilities
        Probability of each class; see `least_confidence`. One class alone leads over 0.
    confidence
        Probability of the prediction, read only where `probabilities` is NULL: the other class of
        two then has the rest.

    Returns
    -------
    FloatingValue
        ``1 - (p1 - p2)``, else ``1 - abs(2 * confidence - 1)``.
    """

    def of_list(p: ir.ArrayValue) -> ir.FloatingValue:
        ordered = p.sort()
        second = (p.length() > 1).ifelse(ordered[p.length() - 2], 0.0)
        return 1.0 - (p.maxs() - second)

    return _uncertainty(probabilities, confidence, of_list, lambda c: 1.0 - (2.0 * c - 1.0).abs())


def entropy(probabilities: ir.ArrayValue, confidence: ir.FloatingValue) -> ir.FloatingValue:
    """Shannon entropy of the class probabilities in nats, with 0 ln 0 = 0; large = unsure.

    Parameters
    ----------
    probabilities
        Probability of each class; see `least_confidence`.
    confidence
        Probability of the prediction, read only where `probabilities` is NULL: the other class of
        two then has the rest.

    Returns
    -------
    FloatingValue
        ``-sum(p ln p)``.
    """
    return _uncertainty(
        probabilities,
        confidence,
        # 0 - x rather than -x, so that certainty is 0 and not -0.
        lambda p: 0.0 - p.map(_plogp).sums(),
        lambda c: 0.0 - (_plogp(c) + _plogp(1.0 - c)),
    )


# -- bins ------------------------------------------------------------------------------------------


def bin_index(p: ir.NumericValue, bins: int, rule: str = "numpy") -> ir.IntegerValue:
    """Equal-width bin of a probability, counted from 0, exact at the edges.

    The edges are those of ``numpy.linspace(0, 1, bins + 1)``. The published rules differ only for
    values on an edge, which for rounded scores is most values:

    ``numpy``
        [e, e'), the last bin closed: ``numpy.histogram``, netcal.
    ``right``
        (e, e'], the first bin closed: scikit-learn ``calibration_curve``, verified_calibration.
    ``guo``
        (e, e'], and 0 is in no bin (NULL); it still counts as a row of the sample.
    ``torchmetrics``
        [e, e'), and 1 has a bin of its own, number `bins`.

    Parameters
    ----------
    p
        Probability.
    bins
        Number of bins.
    rule
        One of `BIN_RULES`.

    Returns
    -------
    IntegerValue
        The bin; NULL where `p` is NULL, NaN or outside [0, 1].

    Raises
    ------
    ConfigError
        If there is no such rule, or no bin.
    """
    if rule not in BIN_RULES:
        raise ConfigError(f"There is no bin rule called {rule!r}.", suggest(rule, BIN_RULES))
    if bins < 1:
        raise ConfigError(f"There cannot be {bins} bins.", "Use a whole number from 1.")
    value = _double(p)
    # numpy.linspace multiplies by this very double. It has to be divided out in the engine: DuckDB
    # reads 0.09090909090909091 as a DECIMAL, which becomes another double than 1 / 11.
    step = ibis.literal(1) / ibis.literal(bins)
    # floor(p * bins) is up to one bin off beside an edge; comparing with the edges puts it right.
    guess = (value * bins).floor().cast("int64")
    above, below = (guess + 1) * step, guess * step
    if rule in ("right", "guo"):
        index = guess + (value > above).cast("int64") - (value <= below).cast("int64")
        index = ibis.greatest(index, 0)
    else:
        index = guess + (value >= above).cast("int64") - (value < below).cast("int64")
    index = ibis.least(index, bins - 1)
    branches = [((value >= 0.0) & (value <= 1.0) & ~value.isnan(), index)]
    if rule == "guo":
        branches.insert(0, (value == 0.0, ibis.null("int64")))
    elif rule == "torchmetrics":
        branches.insert(0, (value == 1.0, ibis.literal(bins, "int64")))
    return ibis.cases(*branches, else_=ibis.null("int64")).cast("int64")


def seconds_between(later: ir.TimestampValue, earlier: ir.TimestampValue) -> ir.FloatingValue:
    """Seconds from `earlier` to `later`, to the microsecond; NULL where either is."""
    # Some engines give the epoch with its fraction, others without: floor makes them one.
    after, before = (t.epoch_seconds().cast("float64").floor() for t in (later, earlier))
    whole = after - before
    micros = later.microsecond().cast("float64") - earlier.microsecond().cast("float64")
    return (whole * 1e6 + micros) / 1e6


def canonical(text: ir.StringValue) -> ir.StringValue:
    """Bring a signal's value, a class or a prediction to the form in which they are compared.

    JSON quotes are taken off, whole numbers lose ``.0``, and booleans become 1 and 0.
    """
    bare = text.strip()
    quoted = (bare.length() >= 2) & bare.startswith('"') & bare.endswith('"')
    bare = ibis.ifelse(quoted, bare.substr(1, bare.length() - 2), bare)
    bare = bare.re_replace(r"^([+-]?[0-9]+)\.0+$", r"\1")
    lowered = bare.lower()
    return ibis.cases((lowered == "true", "1"), (lowered == "false", "0"), else_=bare)
