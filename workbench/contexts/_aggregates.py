"""Numbers over several facts of an inference, shared by the joins that find several."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from workbench.errors import ConfigError, suggest
from workbench.formulas import finite, seconds_between
from workbench.project import Aggregate

#: The functions, as they are written in a configuration.
FUNCTIONS = (
    "any",
    "count",
    "sum(column)",
    "mean(column)",
    "min(column)",
    "max(column)",
    "first(column)",
    "last(column)",
    "time_to_first",
)


def column(aggregate: Aggregate) -> str:
    """Column of an aggregate, before it is packed."""
    return f"__of_{aggregate.name}"


def columns(aggregates: Sequence[Aggregate], facts: ir.Table) -> tuple[str, ...]:
    """The columns of `facts` that the aggregates are of, each once."""
    named = [a.column for a in aggregates if a.column is not None]
    return tuple(dict.fromkeys(_resolved(facts, name) for name in named))


def check(
    aggregates: Sequence[Aggregate], facts: ir.Table, name: str, *, taken: Sequence[str] = ()
) -> None:
    """Refuse what cannot be computed, before anything is.

    Parameters
    ----------
    aggregates
        What is to be computed.
    facts
        The facts, with the columns that the aggregates name.
    name
        Name of the context.
    taken
        Other fields of the context's struct.

    Raises
    ------
    ConfigError
        If a column is missing, a sum or mean is of what is neither a number nor true or false, a
        minimum or maximum is of what has no order but that of its letters, or two fields have
        one name.
    """
    seen = {field.lower() for field in taken}
    for a in aggregates:
        if a.name.lower() in seen:
            raise ConfigError(
                f"[context.{name}] aggregates: there is another field {a.name!r}.",
                "Call it something else; capitals make no difference.",
            )
        seen.add(a.name.lower())
        if a.column is None:
            continue
        shown = f"[context.{name}] {a.name} = {a.function}({a.column})"
        found = _resolved(facts, a.column)
        if found not in facts.columns:
            known = [c for c in facts.columns if not c.startswith("__")]
            raise ConfigError(
                f"{shown}: the facts have no column {a.column!r}.", suggest(a.column, known)
            )
        dtype = facts[found].type()
        number = dtype.is_numeric() or dtype.is_boolean()
        if a.function in ("sum", "mean") and not number:
            raise ConfigError(
                f"{shown}: the column holds {_kind(dtype)}, which cannot be added up.",
                "Use count, first or last, or make it a number in the context's sql.",
            )
        if a.function in ("min", "max") and not (number or dtype.is_temporal()):
            raise ConfigError(
                f"{shown}: the column holds {_kind(dtype)}, which have no least and greatest.",
                "Use count, first or last, or make it a number in the context's sql.",
            )


def aggregate(
    pairs: ir.Table, aggregates: Sequence[Aggregate], *, weight: ir.FloatingValue | None = None
) -> ir.Table:
    """The aggregates of each inference that has a fact.

    A sum, mean, least and greatest are those of the values that are known and finite; where none
    is, they are NULL. A boolean counts as 1 where it is true.

    Parameters
    ----------
    pairs
        One row per inference and fact: ``__row``, ``__t`` (time of the inference), ``__at`` (time
        of the fact), ``__order`` (unique, settles ties) and the facts' columns.
    aggregates
        What to compute, as `check` has found it good.
    weight
        Share of each fact that the inference is credited with, over `pairs`: for counts, sums and
        means, which are DOUBLE then.

    Returns
    -------
    ir.Table
        ``__row``, a `column` per aggregate, and ``__pairs``, the number of facts. Times are in
        seconds.
    """
    return pairs.group_by("__row").agg(
        **{column(a): of_one(pairs, a, weight) for a in aggregates},
        __pairs=pairs.count().cast("int64"),
    )


def of_none(found: ir.Table, aggregates: Sequence[Aggregate]) -> dict[str, ir.Value]:
    """The aggregates over a left join with `aggregate`: of no fact 0, false, or undefined.

    Parameters
    ----------
    found
        Inferences with the columns of `aggregate`, NULL where an inference has no fact.
    aggregates
        What was computed.
    """
    empty = found["__pairs"].isnull()
    values: dict[str, ir.Value] = {}
    for a in aggregates:
        value = found[column(a)]
        if a.function in ("any", "count", "sum"):
            nothing = ibis.literal(False if a.function == "any" else 0).cast(value.type())
            value = ibis.ifelse(empty, nothing, value)
        values[a.name] = value
    return values


def of_one(pairs: ir.Table, a: Aggregate, weight: ir.FloatingValue | None = None) -> ir.Value:
    """One aggregate over `pairs`, as of `aggregate`; a reduction, also for windows."""
    if a.function == "any":
        return pairs.count() > 0
    if a.function == "count":
        return pairs.count().cast("int64") if weight is None else weight.sum().cast("float64")
    if a.function == "time_to_first":
        return seconds_between(pairs["__at"].min(), pairs["__t"].min())
    assert a.column is not None
    value = pairs[_resolved(pairs, a.column)]
    if a.function in ("first", "last"):
        # In a struct a missing value is a value: the first one may be that there is none.
        # Some engines take two aggregates for one where only the values in structs differ.
        held = ibis.struct({a.name: value})
        place = ibis.struct({"at": pairs["__at"], "order": pairs["__order"]})
        return (held.argmin(place) if a.function == "first" else held.argmax(place))[a.name]
    dtype = value.type()
    if a.function in ("min", "max"):
        known = finite(value) if dtype.is_floating() else value
        return known.min() if a.function == "min" else known.max()
    number = finite(value) if dtype.is_floating() else value.cast("int64")
    if a.function == "sum":
        if weight is not None:
            return (number.cast("float64") * weight).sum().cast("float64")
        if dtype.is_floating():
            return number.sum().cast("float64")
        # DuckDB adds whole numbers up to a HUGEINT, which Ibis takes for a BIGINT: it would leave
        # out a plain cast.
        return number.sum().cast("decimal(38, 0)").cast("int64")
    if weight is None:
        return number.cast("float64").mean()
    present = ibis.ifelse(number.notnull(), weight, ibis.null("float64"))
    return (number.cast("float64") * weight).sum() / present.sum().nullif(0.0)


def _resolved(facts: ir.Table, name: str) -> str:
    """The column that `name` means, whatever its capitals; `name` where there is none."""
    return next((c for c in facts.columns if c.lower() == name.lower()), name)


def _kind(dtype: object) -> str:
    return "texts" if str(dtype) == "string" else f"values of type {dtype}"
