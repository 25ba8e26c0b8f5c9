"""The facts of a context as one relation: keys, times, an order that settles ties, and values."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from workbench import engine
from workbench.build.events import live
from workbench.build.sources import LakeTable
from workbench.contexts import time_column
from workbench.engine import identifier
from workbench.ingest import casts
from workbench.ingest.context import CONTENT, facts, key_column, needed, variants
from workbench.project import Context

#: Column that orders the facts: by time, then by when they were recorded, then by content.
ORDER = "fact_order"
#: Type of a column that has no value: it can be added up, compared and counted.
_WITHOUT_VALUES = "INTEGER"


#: Column of a relation of keys that are asked for: the time of the first inference that asks.
OLDEST = "oldest"


def relation(context: Context) -> str:
    """Name of the temporary table that `prepare` makes."""
    return f"facts_{context.name}"


def prepare(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    table: LakeTable | None,
    asked: str | None = None,
) -> tuple[str, ...]:
    """Make the facts of `context`, each once; the columns that its struct takes.

    Parameters
    ----------
    asked
        Relation of the keys that are asked for, and `OLDEST`, whose facts are enough; None for
        all.
    """
    name = identifier(relation(context))
    keys = [key_column(number) for number in range(len(context.on))]
    times = [time_column(option) for option in context.times]
    if table is None or not table.files:
        kinds = {
            **dict.fromkeys([*keys, *context.columns], "VARCHAR"),
            **dict.fromkeys(context.needed, _WITHOUT_VALUES),
            **dict.fromkeys(times, "TIMESTAMPTZ"),
            ORDER: "BIGINT",
        }
        listed = ", ".join(f"NULL::{kind} AS {identifier(n)}" for n, kind in kinds.items())
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {listed} WHERE false")
        return context.columns
    taken = facts(context, table.columns)
    columns = dict.fromkeys([*taken, *needed(context, table.columns)])
    values = values_of(connection, table)
    values |= _without_values(connection, table, needed(context, table.columns))
    alike = [CONTENT] if CONTENT in table.columns else []
    listed = ", ".join(
        [
            *keys,
            *times,
            *(f"{values[column]} AS {identifier(column)}" for column in columns),
            *alike,
        ]
    )
    only = f" SEMI JOIN {asked} USING ({', '.join(keys)})" if asked and keys else ""
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE distinct_facts AS SELECT DISTINCT {listed} "
        f"FROM {live(table.relation)}{only}"
    )
    order = [*_by_time(context), *keys]
    if not _unique(connection, "distinct_facts", [*keys, *times]):
        content = ", ".join(f"{identifier(n)} := {identifier(n)}" for n in columns)
        order += [
            *times,
            f"md5(CAST(to_json(struct_pack({content or 'nothing := 0'})) AS VARCHAR))",
            *alike,
        ]
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {name} AS "
        f"SELECT *, row_number() OVER (ORDER BY {', '.join(order)}) AS {ORDER} FROM distinct_facts"
    )
    connection.execute("DROP TABLE distinct_facts")
    return tuple(taken)


def _unique(connection: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[str]) -> bool:
    """Whether the rows differ in these columns, so that their content need not order them."""
    if not columns:
        return False
    repeated = f"SELECT 1 FROM {relation} GROUP BY {', '.join(columns)} HAVING count(*) > 1 LIMIT 1"
    return not engine.scalar(connection, f"SELECT count(*) FROM ({repeated})")


def _by_time(context: Context) -> list[str]:
    """SQL of the times in the order in which they rank facts: when they held, when recorded.

    A fact that does not say when it was recorded comes before those that were recorded later: it
    was known when it happened, or ever since where that has no time.
    """
    terms = [time_column(o) for o in sorted(context.times, key=lambda o: o != "ts")]
    known = time_column("known_at")
    if known in terms:
        terms.remove(known)
        if "ts" in context.times:
            terms.append(f"coalesce({known}, {time_column('ts')}) NULLS FIRST")
        terms.append(f"{known} NULLS FIRST")
    return terms


def _without_values(
    connection: duckdb.DuckDBPyConnection, table: LakeTable, columns: Sequence[str]
) -> dict[str, str]:
    """SQL of those columns that hold nothing: their type is unknown, and must not matter."""
    if not columns:
        return {}
    counted = ", ".join(f"count({identifier(column)})" for column in columns)
    counts = connection.execute(f"SELECT {counted} FROM {live(table.relation)}").fetchone() or ()
    empty = [column for column, n in zip(columns, counts, strict=True) if not n]
    return dict.fromkeys(
        (column for column in empty if column not in variants(table.columns)),
        f"NULL::{_WITHOUT_VALUES}",
    )


def values_of(connection: duckdb.DuckDBPyConnection, table: LakeTable) -> dict[str, str]:
    """SQL of each fact; values that came with different types are brought to one.

    Whole numbers and fractions become DOUBLE, days and times TIMESTAMPTZ, anything else text.
    """
    values = {column: identifier(column) for column in table.columns}
    several = variants(table.columns)
    if not several:
        return values
    rows = live(table.relation)
    types = engine.columns_of(connection, rows)
    for name, columns in several.items():
        counted = ", ".join(f"count({identifier(column)})" for column in columns)
        counts = connection.execute(f"SELECT {counted} FROM {rows}").fetchone() or ()
        # A type that no value has any more says nothing, such as that of a file without values.
        used = [column for column, n in zip(columns, counts, strict=True) if n] or [name]
        dtype = _common({types[column] for column in used})
        parts = [
            casts.as_text(identifier(column), types[column])
            if dtype == "VARCHAR"
            else f"CAST({identifier(column)} AS {dtype})"
            for column in used
        ]
        values[name] = f"coalesce({', '.join(parts)})"
    return values


def _common(types: set[str]) -> str:
    if len(types) == 1:
        return types.pop()
    for family, dtype in (
        ({"BIGINT", "FLOAT", "DOUBLE"}, "DOUBLE"),
        ({"BIGINT[]", "FLOAT[]", "DOUBLE[]"}, "DOUBLE[]"),
        ({"DATE", "TIMESTAMP WITH TIME ZONE"}, "TIMESTAMP WITH TIME ZONE"),
    ):
        if types <= family:
            return dtype
    return "VARCHAR"
