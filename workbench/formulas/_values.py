"""Numbers, times and texts in the one form in which they are compared and added up."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir


def null() -> ir.FloatingScalar:
    """NULL as DOUBLE."""
    return ibis.null("float64")


def double(value: ir.Value) -> ir.FloatingValue:
    """`value` as DOUBLE."""
    return value.cast("float64")


def finite(value: ir.Value) -> ir.FloatingValue:
    """`value` as DOUBLE; NULL where it is NaN or infinite."""
    number = double(value)
    # Ibis compiles isinf() to FALSE on Spark.
    return (number.isnan() | (number.abs() == float("inf"))).ifelse(null(), number)


def probability(value: ir.Value) -> ir.FloatingValue:
    """`value` as DOUBLE; NULL where it is NaN or outside [0, 1]."""
    number = double(value)
    inside = (number >= 0.0) & (number <= 1.0) & ~number.isnan()
    return inside.ifelse(number, null())


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
