"""The facts of a context as one relation: keys, times, an order that settles ties, and values."""

from __future__ import annotations

import duckdb

from workbench.build.events import live
from workbench.build.sources import LakeTable
from workbench.contexts import time_column
from workbench.engine import identifier
from workbench.ingest.context import facts, key_column, needed
from workbench.project import Context

#: Column that orders the facts: by time, then by when they were recorded, then by content.
ORDER = "fact_order"


def relation(context: Context) -> str:
    """Name of the temporary table that `prepare` makes."""
    return f"facts_{context.name}"


def prepare(
    connection: duckdb.DuckDBPyConnection, context: Context, table: LakeTable | None
) -> tuple[str, ...]:
    """Make the facts of `context`, each once; the columns that its struct takes."""
    name = identifier(relation(context))
    keys = [key_column(number) for number in range(len(context.on))]
    times = [time_column(option) for option in context.times]
    if table is None or not table.files:
        texts = dict.fromkeys([*keys, *context.columns, *context.needed], "VARCHAR")
        kinds = {**texts, **dict.fromkeys(times, "TIMESTAMPTZ"), ORDER: "BIGINT"}
        listed = ", ".join(f"NULL::{kind} AS {identifier(n)}" for n, kind in kinds.items())
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {listed} WHERE false")
        return context.columns
    taken = facts(context, table.columns)
    columns = dict.fromkeys([*taken, *needed(context, table.columns)])
    listed = ", ".join(identifier(column) for column in [*keys, *times, *columns])
    content = ", ".join(f"{identifier(n)} := {identifier(n)}" for n in columns) or "nothing := 0"
    order = ", ".join(
        [
            *(time_column(option) for option in _by_time(context)),
            *keys,
            *times,
            f"md5(CAST(to_json(struct_pack({content})) AS VARCHAR))",
        ]
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {name} AS "
        f"SELECT *, row_number() OVER (ORDER BY {order}) AS {ORDER} "
        f"FROM (SELECT DISTINCT {listed} FROM {live(table.relation)})"
    )
    return tuple(taken)


def _by_time(context: Context) -> list[str]:
    """The times in the order in which they rank facts: when they held, then when recorded."""
    return sorted(context.times, key=lambda option: (option == "known_at", option != "ts"))
