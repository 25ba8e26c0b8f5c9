"""How well a label fits the probabilities of its row."""

from __future__ import annotations

from collections.abc import Callable

import ibis
import ibis.expr.types as ir

from workbench.formulas._uncertainty import is_distribution
from workbench.formulas._values import null


def labelled_distribution(
    probabilities: ir.ArrayValue, label_index: ir.IntegerValue
) -> ir.BooleanValue:
    """Whether there are class probabilities, as `least_confidence` wants them, and a label in them.

    Parameters
    ----------
    probabilities
        Probability of each class.
    label_index
        Position of the label among the classes, from 0.
    """
    classes = probabilities.cast("array<float64>")
    label = label_index.cast("int64")
    inside = (label >= 0) & (label < classes.length())
    return (is_distribution(classes) & inside).fill_null(False)


def _most(
    probabilities: ir.ArrayValue, wanted: Callable[[ir.IntegerValue], ir.BooleanValue]
) -> ir.FloatingValue:
    """The largest probability of the classes whose places are wanted; NULL where none is."""
    classes = probabilities.cast("array<float64>")
    # A place beyond the end of a list is an error in some engines.
    places = ibis.range(0, classes.length().cast("int64")).filter(wanted)
    return places.map(lambda k: classes[k]).maxs()


def self_confidence(probabilities: ir.ArrayValue, label_index: ir.IntegerValue) -> ir.FloatingValue:
    """Probability that the model gives to the label; low = one of the two is wrong.

    Parameters
    ----------
    probabilities, label_index
        See `labelled_distribution`; NULL where that is false.

    Returns
    -------
    FloatingValue
        The probability of the label's class (Northcutt et al. 2021).
    """
    label = label_index.cast("int64")
    known = labelled_distribution(probabilities, label_index)
    return known.ifelse(_most(probabilities, lambda k: k == label), null())


def normalized_margin(
    probabilities: ir.ArrayValue, label_index: ir.IntegerValue
) -> ir.FloatingValue:
    """Lead of the label over the likeliest other class, brought to 0 to 1; low = suspicious.

    Parameters
    ----------
    probabilities, label_index
        See `labelled_distribution`; NULL where that is false.

    Returns
    -------
    FloatingValue
        ``(1 + p[label] - max of the others) / 2`` (Northcutt et al. 2021); 0.5 for a tie.
    """
    label = label_index.cast("int64")
    others = _most(probabilities, lambda k: k != label).fill_null(0.0)
    return (1.0 + self_confidence(probabilities, label_index) - others) / 2.0
