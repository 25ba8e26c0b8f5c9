"""Expressions that find the piece of a function to which a value belongs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ibis
import ibis.expr.types as ir


def exact(value: float) -> ir.FloatingValue:
    """`value` as the very same DOUBLE on every engine.

    DuckDB reads 0.1 as a DECIMAL, which may become the neighbour of the double that was meant; a
    text is read exactly.
    """
    return ibis.literal(repr(float(value))).cast("float64")


def piecewise(
    value: ir.NumericValue,
    borders: Sequence[float],
    piece: Callable[[int], ir.Value],
) -> ir.Value:
    """Value of the piece in which `value` lies, found by bisection.

    Parameters
    ----------
    value
        Where to look.
    borders
        Ascending; piece i holds ``borders[i - 1] <= value < borders[i]``.
    piece
        Expression of each piece, from 0 to ``len(borders)``.
    """

    def between(first: int, last: int) -> ir.Value:
        if first == last:
            return piece(first)
        middle = (first + last) // 2
        return (value < exact(borders[middle])).ifelse(
            between(first, middle), between(middle + 1, last)
        )

    return between(0, len(borders))
