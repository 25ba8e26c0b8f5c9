"""The configured contexts, joined to the inferences one by one, and how well each one matched."""

from __future__ import annotations

from typing import Any

import duckdb
import ibis.backends.duckdb
import ibis.expr.types as ir

from workbench import engine
from workbench.build.events import live
from workbench.build.sources import LakeTable
from workbench.contexts import JoinSpec, age_column, contexts, reason_column
from workbench.engine import identifier
from workbench.errors import DataError
from workbench.ingest.context import TIME, facts, key_column
from workbench.project import Context

_ORDER = "fact_order"


def join_all(
    connection: duckdb.DuckDBPyConnection,
    backend: ibis.backends.duckdb.Backend,
    joined: tuple[tuple[Context, LakeTable], ...],
) -> ir.Table:
    """The narrow inferences with one struct column per context.

    Raises
    ------
    DataError
        If a lookup's facts hold a key twice, or a join changed the number of inferences.
    """
    result = backend.table("inferences", database="narrow")
    rows = engine.scalar(connection, "SELECT count(*) FROM narrow.inferences")
    for context, table in joined:
        join = contexts.get(context.join)
        names = _prepare(connection, context, table, unique=join.unique)
        spec = JoinSpec(
            name=context.name,
            keys=tuple((left, key_column(n)) for n, (left, _) in enumerate(context.on)),
            facts=tuple(names),
            time=TIME if context.ts is not None else None,
            order=_ORDER,
            tolerance=context.tolerance,
        )
        found = join.join(result, backend.table(f"facts_{context.name}"), spec)
        target = f"joined_{context.name}"
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {identifier(target)} AS {engine.sql_of(found)}"
        )
        after = engine.scalar(connection, f"SELECT count(*) FROM {identifier(target)}")
        if after != rows:
            raise DataError(
                f"Joining [context.{context.name}] turned {rows:,} inferences into {after:,}.",
                "This is a defect of the join; please report it with the context's settings.",
            )
        result = backend.table(target)
    return result


def _prepare(
    connection: duckdb.DuckDBPyConnection, context: Context, table: LakeTable, *, unique: bool
) -> list[str]:
    """Make ``facts_<name>``: the facts without repetition, in an order that settles ties."""
    keys = [key_column(number) for number in range(len(context.on))]
    columns = dict.fromkeys(table.columns, "")
    names = list(facts(context, columns))
    name = identifier(f"facts_{context.name}")
    if not table.files:
        listed = ", ".join(f"NULL::VARCHAR AS {key}" for key in [*keys, *context.columns])
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {listed}, NULL::TIMESTAMPTZ AS {TIME}, "
            f"NULL::BIGINT AS {_ORDER} WHERE false"
        )
        return list(context.columns)
    listed = ", ".join(
        identifier(column)
        for column in [*keys, *([TIME] if context.ts is not None else []), *names]
    )
    distinct = f"SELECT DISTINCT {listed} FROM {live(table.relation)}"
    time = f"{TIME}, " if context.ts is not None else ""
    content = ", ".join(f"{identifier(n)} := {identifier(n)}" for n in names)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT *, row_number() OVER (ORDER BY {time}"
        f"{', '.join(keys)}, md5(CAST(to_json(struct_pack({content})) AS VARCHAR))) AS {_ORDER} "
        f"FROM ({distinct})"
    )
    if unique:
        _require_unique(connection, context, name, keys)
    return names


def _require_unique(
    connection: duckdb.DuckDBPyConnection, context: Context, relation: str, keys: list[str]
) -> None:
    row = connection.execute(
        f"SELECT count(*), any_value(key) FROM (SELECT concat_ws(', ', {', '.join(keys)}) AS key "
        f"FROM {relation} GROUP BY {', '.join(keys)} HAVING count(*) > 1)"
    ).fetchone()
    if row is not None and row[0]:
        columns = ", ".join(right for _, right in context.on)
        raise DataError(
            f"[context.{context.name}] looks up by {columns}, but {row[0]:,} keys have several "
            f"different rows, such as {row[1]!r}.",
            'Make the key unique, or join the row that held at the time: join = "as_of" with ts.',
        )


def report(
    connection: duckdb.DuckDBPyConnection, joined: tuple[tuple[Context, LakeTable], ...]
) -> dict[str, Any]:
    """How often each context matched, how old its facts were, and why it found nothing."""
    result: dict[str, Any] = {}
    for context, _ in joined:
        age, reason = identifier(age_column(context.name)), identifier(reason_column(context.name))
        row = connection.execute(
            f"SELECT count(*), count(*) FILTER ({reason} IS NULL), median({age}) FROM enriching"
        ).fetchone()
        reasons = connection.execute(
            f"SELECT {reason}, count(*) FROM enriching WHERE {reason} IS NOT NULL GROUP BY 1 "
            "ORDER BY 1"
        ).fetchall()
        rows, matched, median = row if row is not None else (0, 0, None)
        result[context.name] = {
            "matched": matched,
            "rows": rows,
            "match_rate": matched / rows if rows else None,
            "median_age": median,
            "reasons": dict(reasons),
        }
    return result
