"""The queries of an evaluation: one scan for all simple metrics, one for each other state.

To build and compile an expression takes longer than to run it, so that the SQL is kept for the
next rows with the same columns.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import ibis
import ibis.expr.types as ir

from workbench import engine, formulas
from workbench.metrics._metric import Metric, StateFunction, expression_column
from workbench.metrics._simple import labelled, simple_sums, simple_values

#: A metric with all of its parameters, and those of them that are expressions.
Wanted = tuple[Metric, tuple[tuple[str, Any], ...], tuple[str, ...]]

#: What the rows are called in the kept SQL; no table that they are read of has this name.
_ROWS = "rows to measure"


def state_of(wanted: Wanted) -> tuple[StateFunction, tuple[tuple[str, Any], ...]] | None:
    """The state function of a metric with its own parameters: what metrics share a scan by."""
    metric, params, _ = wanted
    if metric.state is None:
        return None
    names = inspect.signature(metric.state).parameters
    return metric.state, tuple((name, value) for name, value in params if name in names)


def states(
    wanted: Iterable[Wanted],
) -> list[tuple[StateFunction, tuple[tuple[str, Any], ...]]]:
    """The different states of metrics, in the order of their queries."""
    return list(dict.fromkeys(state for each in wanted if (state := state_of(each))))


def queries(
    table: ir.Table, wanted: tuple[Wanted, ...], by: tuple[str, ...], weight: str | None = None
) -> list[ir.Table]:
    """What is asked of the rows: the values of the simple metrics, then each of the `states`.

    Groups are called ``group_0`` and so on, simple metrics by their place in `wanted`.
    """
    keys = keys_of(by)
    rows = _prepared(table, wanted, by, weight)
    simple = {i: metric for i, (metric, *_) in enumerate(wanted) if metric.expr is not None}
    sums = simple_sums(rows, keys, simple, weighted=weight is not None)
    values = simple_values(sums, keys, simple)
    if keys:
        values = values.order_by([values[key].asc(nulls_first=False) for key in keys])
    counted = rows.filter(rows.weight.notnull()) if weight else rows
    return [values, *(state(counted, keys, **dict(own)) for state, own in states(wanted))]


def keys_of(by: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the grouping columns that clash with no other."""
    return tuple(f"group_{i}" for i in range(len(by)))


def _prepared(
    table: ir.Table, wanted: tuple[Wanted, ...], by: tuple[str, ...], weight: str | None
) -> ir.Table:
    """Only the columns that are needed, with the grouping columns under their own names."""
    columns = {key: table[name] for key, name in zip(keys_of(by), by, strict=True)}
    needed = sorted({name for metric, *_ in wanted for name in metric.needs})
    columns |= {name: table[name] for name in needed}
    texts = sorted({text for *_, given in wanted for text in given})
    columns |= {expression_column(text): table[text] for text in texts}
    columns["labelled"] = labelled(table)
    columns["weight"] = ibis.literal(1.0)
    if weight:
        given = formulas.finite(table[weight])
        columns["weight"] = (given > 0.0).ifelse(given, ibis.null("float64"))
    return table.select(**columns)


def sql_of_queries(
    table: ir.Table, wanted: tuple[Wanted, ...], by: tuple[str, ...], weight: str | None
) -> list[str]:
    """`queries` as SQL of DuckDB."""
    rows = f"WITH {engine.identifier(_ROWS)} AS ({engine.sql_of(table)})"
    return [
        # What is compiled may begin with relations of its own.
        f"{rows}, {sql.removeprefix('WITH ')}" if sql.startswith("WITH ") else f"{rows} {sql}"
        for sql in compiled(table.schema(), wanted, by, weight)
    ]


@lru_cache(maxsize=500)
def compiled(
    schema: ibis.Schema, wanted: tuple[Wanted, ...], by: tuple[str, ...], weight: str | None
) -> tuple[str, ...]:
    """SQL of `queries` over rows with these columns, whatever they are read of."""
    found = queries(ibis.table(schema, name=_ROWS), wanted, by, weight)
    return tuple(engine.sql_of(query) for query in found)
