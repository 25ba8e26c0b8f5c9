"""The mean of vectors over several facts of an inference."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from workbench.contexts._aggregates import column
from workbench.errors import ConfigError
from workbench.formulas import finite
from workbench.project import Aggregate

MEAN_VECTOR = "mean_vector"
_VECTOR = dt.Array(dt.float64)


def check_vectors(aggregates: Sequence[Aggregate], facts: ir.Table, name: str) -> None:
    """Refuse the mean vector of what is no list of numbers.

    Raises
    ------
    ConfigError
        If the column holds something else.
    """
    for aggregate in aggregates:
        if aggregate.function != MEAN_VECTOR or aggregate.column is None:
            continue
        dtype = _values(facts, aggregate).type()
        if not (dtype.is_array() and dtype.value_type.is_numeric()) and not _unknown(dtype):
            raise ConfigError(
                f"[context.{name}] {aggregate.name} = {MEAN_VECTOR}({aggregate.column}): the "
                f"column holds values of type {dtype}, not lists of numbers.",
                "Make it a list in the context's sql, such as CAST(vector AS DOUBLE[]).",
            )


def mean_vectors(pairs: ir.Table, aggregates: Sequence[Aggregate]) -> ir.Table | None:
    """The mean vectors of each inference that has a fact; None where none is asked for.

    Parameters
    ----------
    pairs
        One row per inference and fact: ``__row``, ``__order`` and the facts' columns.
    aggregates
        Mean vectors.

    Returns
    -------
    ir.Table
        ``__row`` and a DOUBLE list per aggregate. A place is the mean of the values that are there,
        as ``mean`` is; NULL where the vectors differ in length, or there is none.
    """
    result: ir.Table | None = None
    rows = pairs.select("__row").distinct()
    for aggregate in aggregates:
        means = _mean_vector(pairs, aggregate)
        base = rows if result is None else result
        result = base.left_join(means, base["__row"] == means["__of"]).drop("__of")
    return result


def _mean_vector(pairs: ir.Table, aggregate: Aggregate) -> ir.Table:
    values = _values(pairs, aggregate)
    if _unknown(values.type()):
        values = ibis.null(_VECTOR)
    vectors = pairs.select("__row", __vector=values.cast(_VECTOR))
    vectors = vectors.filter(vectors["__vector"].notnull())
    lengths = vectors["__vector"].length()
    alike = vectors.group_by("__row").having(lengths.min() == lengths.max()).agg(__n=lengths.max())
    vectors = vectors.semi_join(alike, "__row")
    places = vectors.unnest("__vector", offset="__place")
    means = places.group_by("__row", "__place").agg(
        __mean=finite(places["__vector"]).mean().cast("float64")
    )
    placed = ibis.struct({"place": means["__place"].cast("int64"), "mean": means["__mean"]})
    listed = means.group_by(__of=means["__row"]).agg(__placed=placed.collect())
    return listed.select(
        "__of", **{column(aggregate): listed["__placed"].sort().map(lambda place: place["mean"])}
    )


def _values(facts: ir.Table, aggregate: Aggregate) -> ir.Value:
    named = aggregate.column or ""
    return facts[next((c for c in facts.columns if c.lower() == named.lower()), named)]


def _unknown(dtype: dt.DataType) -> bool:
    # A column without a single value is an INTEGER, whatever it was to hold.
    return bool(dtype.is_null() or dtype == dt.int32)
