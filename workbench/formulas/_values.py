"""Numbers, times and texts in the one form in which they are compared and added up."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from workbench import engine


@ibis.udf.scalar.builtin  # type: ignore[untyped-decorator]
def epoch_us(time) -> int:  # type: ignore[empty-body, no-untyped-def]
    """Microseconds since 1970, on DuckDB."""


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


def whole_seconds(time: ir.TimestampValue) -> ir.FloatingValue:
    """Seconds of a time since 1970, rounded down."""
    if engine.is_duckdb(time):
        return (epoch_us(time).cast("float64") / 1e6).floor()
    # Some engines give the epoch with its fraction, others without: floor makes them one.
    return time.epoch_seconds().cast("float64").floor()


def hour(time: ir.TimestampValue) -> ir.IntegerValue:
    """Hour of a time in UTC, 0 to 23."""
    if engine.is_duckdb(time):
        # As in `seconds_between`; the remainder of a time before 1970 is below zero.
        hours = (epoch_us(time).cast("float64") / 3.6e9).floor().cast("int64")
        return ((hours % 24 + 24) % 24).cast("int32")
    return time.hour()


def seconds_between(later: ir.TimestampValue, earlier: ir.TimestampValue) -> ir.FloatingValue:
    """Seconds from `earlier` to `later`, to the microsecond; NULL where either is."""
    if engine.is_duckdb(later):
        # Whatever else is asked of a time goes through its calendar and takes sixty times as long.
        return (epoch_us(later) - epoch_us(earlier)).cast("float64") / 1e6
    whole = whole_seconds(later) - whole_seconds(earlier)
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
