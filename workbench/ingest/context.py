"""Staged rows of a context source to rows of its lake table: keys, time, and the facts as typed."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from workbench.engine import identifier, literal
from workbench.errors import ConfigError, suggest
from workbench.importers import PART, RAW, ROW
from workbench.ingest import casts
from workbench.ingest.base import Base, raw_of, resolve
from workbench.ingest.mapping import CHECKED, FIELD, NO_ZONE, REASON
from workbench.project import Context

#: Lake columns of a context that are not facts.
KEY, TIME = "__key", "__ts"


def key_column(number: int) -> str:
    """Lake column of the context's key number `number`; always text."""
    return f"{KEY}_{number}"


def check(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    base: Base,
    stored: Mapping[str, str],
) -> None:
    """Check the rows of `base` into the relation `CHECKED`.

    Parameters
    ----------
    connection
        Connection in which the rows are staged.
    context
        Whose rows they are.
    base
        The rows, with the types that their values have.
    stored
        Type of each fact that the lake table has already; new rows take these types.

    Raises
    ------
    ConfigError
        If the configuration names columns that the source does not have.
    """
    wanted = list(context.columns) or [
        name for name in base.types if name not in {right for _, right in context.on}
    ]
    named = [*(right for _, right in context.on), *wanted, *([context.ts] if context.ts else [])]
    problems = [
        f"the source has no column {name!r}. {suggest(name, base.types)}"
        for name in named
        if resolve(name, base.types) is None
    ]
    if problems:
        raise ConfigError(
            f"[context.{context.name}] names what is not there:\n"
            + "\n".join(f"  - {problem}" for problem in dict.fromkeys(problems)),
            f"The columns of the source are: {', '.join(base.types) or 'none'}.",
        )
    selected = [PART, ROW, f"{raw_of(base)} AS {RAW}"]
    rules = []
    for number, (_, right) in enumerate(context.on):
        column = resolve(right, base.types) or right
        dtype, sql = base.texts[column]
        text = casts.as_text(sql, dtype)
        selected.append(f"nullif(trim({text}), '') AS {key_column(number)}")
        rules.append(("missing_value", right, f"{key_column(number)} IS NULL"))
    if context.ts is not None:
        column = resolve(context.ts, base.types) or context.ts
        dtype, sql = base.texts[column]
        time = casts.cast(sql, dtype, "TIMESTAMP WITH TIME ZONE")
        selected += [
            f"{time.value} AS {TIME}",
            f"{casts.has_no_zone(sql, dtype)} AS {NO_ZONE}",
            f"{time.bad} AS __bad_ts",
        ]
        rules += [
            ("bad_type", context.ts, "__bad_ts"),
            ("missing_value", context.ts, f"{TIME} IS NULL"),
            ("ts_out_of_range", context.ts, f"NOT ({casts.time_in_range(TIME)})"),
        ]
    else:
        selected.append(f"false AS {NO_ZONE}")
    for number, name in enumerate(wanted):
        column = resolve(name, base.types) or name
        dtype = base.types[column]
        target = stored.get(column) or lake_type(dtype)
        source_type, sql = (dtype, identifier(column))
        if target == "VARCHAR" and base.texts[column][0] == "VARCHAR":
            source_type, sql = base.texts[column]
        fact = casts.cast(sql, source_type, target)
        if target == "VARCHAR" or target == source_type:
            selected.append(f"{fact.value} AS {identifier(column)}")
            continue
        selected += [f"{fact.value} AS {identifier(column)}", f"{fact.bad} AS __bad_{number}"]
        rules.append(("bad_type", name, f"__bad_{number}"))
    reason = " ".join(f"WHEN {c} THEN {literal(r)}" for r, _, c in rules)
    field = " ".join(f"WHEN {c} THEN {literal(f)}" for _, f, c in rules)
    helpers = _helpers(selected)
    kept = f"* EXCLUDE ({helpers})" if helpers else "*"
    connection.execute(
        f"CREATE OR REPLACE TABLE {CHECKED} AS SELECT {kept}, "
        f"CASE {reason} END AS {REASON}, CASE {field} END AS {FIELD} "
        f"FROM (SELECT {', '.join(selected)} FROM {base.relation})"
    )


def _helpers(selected: list[str]) -> str:
    names = (entry.rsplit(" AS ", 1)[-1] for entry in selected)
    return ", ".join(name for name in names if name.startswith("__bad_"))


def lake_type(dtype: str) -> str:
    """The type in which the lake keeps a fact: no MAP, no unsigned, no naive time, no interval."""
    if dtype in ("BOOLEAN", "DOUBLE", "FLOAT", "VARCHAR", "DATE", "TIMESTAMP WITH TIME ZONE"):
        return dtype
    if dtype in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"):
        return "BIGINT"
    if dtype.startswith("TIMESTAMP"):
        return "TIMESTAMP WITH TIME ZONE"
    if dtype.startswith("DECIMAL") or dtype in ("HUGEINT", "UBIGINT"):
        return "DOUBLE"
    if dtype.endswith("[]") and not casts.is_nested(dtype[:-2]):
        return f"{lake_type(dtype[:-2])}[]"
    return "VARCHAR"


def facts(context: Context, columns: Mapping[str, str]) -> dict[str, str]:
    """Names and types of the facts among the columns of a context's lake table."""
    listed = {name.lower() for name in context.columns}
    own = ("row_id", "ingest_id", "source_file", "source_row")
    return {
        name: dtype
        for name, dtype in columns.items()
        if not name.startswith("__") and name not in own and (not listed or name.lower() in listed)
    }
