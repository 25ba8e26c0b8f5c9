"""How sure a model was of one prediction."""

from __future__ import annotations

from collections.abc import Callable

import ibis
import ibis.expr.types as ir

from workbench.formulas._values import double, null

SUM_TOLERANCE = 1e-3
"""How far the sum of class probabilities may be from 1."""


def _plogp(p: ir.FloatingValue) -> ir.FloatingValue:
    # ln(0) is an error in DuckDB, even where its result would not be used.
    return p * (p > 0.0).ifelse(p, 1.0).ln()


def is_distribution(classes: ir.ArrayValue) -> ir.BooleanValue:
    """Whether `classes` holds probabilities that add up to 1, up to `SUM_TOLERANCE`."""
    bad = classes.filter(lambda q: q.isnull() | q.isnan() | (q < 0.0) | (q > 1.0))
    return (
        (classes.length() > 0)
        & (bad.length() == 0)
        & ((classes.sums() - 1.0).abs() <= SUM_TOLERANCE)
    )


def entropy_of(classes: ir.ArrayValue) -> ir.FloatingValue:
    """``-sum(p ln p)`` of a list of probabilities, with 0 ln 0 = 0."""
    # 0 - x rather than -x, so that certainty is 0 and not -0.
    return 0.0 - classes.map(_plogp).sums()


def _uncertainty(
    probabilities: ir.ArrayValue,
    confidence: ir.FloatingValue,
    of_list: Callable[[ir.ArrayValue], ir.FloatingValue],
    of_scalar: Callable[[ir.FloatingValue], ir.FloatingValue],
) -> ir.FloatingValue:
    classes = probabilities.cast("array<float64>")
    scalar = double(confidence)
    usable = is_distribution(classes)
    readable = probabilities.isnull() & (scalar >= 0.0) & (scalar <= 1.0) & ~scalar.isnan()
    return ibis.cases((usable, of_list(classes)), (readable, of_scalar(scalar)), else_=null())


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
        entropy_of,
        lambda c: 0.0 - (_plogp(c) + _plogp(1.0 - c)),
    )
