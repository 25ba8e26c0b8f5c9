"""Staged rows of a context source to rows of its lake table: keys, time, and the facts as typed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import duckdb

from workbench.contexts import contexts, time_column
from workbench.engine import identifier, literal
from workbench.errors import ConfigError, suggest
from workbench.importers import PART, RAW, ROW
from workbench.ingest import casts
from workbench.ingest.base import Base, raw_of, resolve
from workbench.ingest.mapping import CHECKED, FIELD, NO_ZONE, REASON
from workbench.project import Context

#: Start of the lake columns that hold a context's keys; those of its times start with it too.
KEY = "__key"
#: Lake column that tells rows apart by all that was read, for joins that count facts.
CONTENT = "__content"


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
        Type of each column that the lake table has already. A fact of another type goes to a
        column of its own, so that no row is refused for the order in which files came.

    Raises
    ------
    ConfigError
        If the configuration names columns that the source does not have.
    """
    wanted = _wanted(context, list(base.types))
    named = [*(right for _, right in context.on), *wanted, *context.times.values()]
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
    if any(option.kind == "aggregates" for option in contexts.get(context.join).options):
        # Two orders may be alike in all columns that are kept, and are two orders nevertheless.
        selected.append(f"md5({raw_of(base)}) AS {CONTENT}")
    rules = []
    for number, (_, right) in enumerate(context.on):
        column = resolve(right, base.types) or right
        dtype, sql = base.texts[column]
        text = casts.as_text(sql, dtype)
        selected.append(f"nullif(trim({text}), '') AS {key_column(number)}")
        rules.append(("missing_value", right, f"{key_column(number)} IS NULL"))
    no_zone = []
    ends = {option.name: option.after for option in contexts.get(context.join).options}
    for option, name in context.times.items():
        column = resolve(name, base.types) or name
        dtype, sql = base.texts[column]
        time, kept = casts.cast(sql, dtype, "TIMESTAMP WITH TIME ZONE"), time_column(option)
        begin = ends.get(option)
        value = time.value if begin is None else _end(time.value)
        selected += [f"{value} AS {kept}", f"{time.bad} AS __bad_{kept}"]
        no_zone.append(casts.has_no_zone(sql, dtype))
        rules.append(("bad_type", name, f"__bad_{kept}"))
        if option in context.mandatory:
            rules.append(("missing_value", name, f"{kept} IS NULL"))
        rules.append(("ts_out_of_range", name, f"NOT ({casts.time_in_range(kept)})"))
        if begin is not None and begin in context.times:
            rules.append(("empty_interval", name, f"{kept} <= {time_column(begin)}"))
    selected.append(f"{' OR '.join(no_zone) or 'false'} AS {NO_ZONE}")
    for number, name in enumerate(wanted):
        column = resolve(name, base.types) or name
        dtype = base.types[column]
        target = lake_type(dtype)
        kept = column if stored.get(column, target) == target else variant(column, target)
        source_type, sql = (dtype, identifier(column))
        if target == "VARCHAR" and base.texts[column][0] == "VARCHAR":
            source_type, sql = base.texts[column]
        fact = casts.cast(sql, source_type, target)
        if target == "VARCHAR" or target == source_type:
            selected.append(f"{fact.value} AS {identifier(kept)}")
            continue
        selected += [f"{fact.value} AS {identifier(kept)}", f"{fact.bad} AS __bad_{number}"]
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


def _end(value: str) -> str:
    """An end, NULL where there is none: far times are written for "still"."""
    far = f"TIMESTAMPTZ '{casts.LATEST} 00:00:00+00'"
    return f"(CASE WHEN {value} < {far} THEN {value} END)"


def _wanted(context: Context, columns: Sequence[str]) -> list[str]:
    """Source columns to keep as facts."""
    taken: Sequence[str] = context.columns
    if not taken and contexts.get(context.join).columns == "all":
        keys = {right for _, right in context.on}
        taken = [name for name in columns if name not in keys]
    return list(dict.fromkeys([*taken, *context.needed]))


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


def variant(column: str, dtype: str) -> str:
    """Lake column of those values of a fact that have another type than its first ones."""
    slug = dtype.lower().replace(" with time zone", "tz").replace("[]", "_list")
    return f"__as_{slug}__{column}"


def variants(columns: Iterable[str]) -> dict[str, list[str]]:
    """The lake columns of each fact that has several."""
    found: dict[str, list[str]] = {}
    for column in columns:
        match = re.match(r"__as_[a-z]+(?:_list)*__(.+)", column)
        if match:
            found.setdefault(match[1], [match[1]]).append(column)
    return found


def facts(context: Context, columns: Iterable[str]) -> list[str]:
    """Those columns of a context's lake table that its struct takes."""
    if not context.columns and contexts.get(context.join).columns == "none":
        return []
    listed = {name.lower() for name in context.columns}
    spared = {name.lower() for name in context.needed}
    own = ("row_id", "ingest_id", "source_file", "source_row")
    return [
        name
        for name in columns
        if not name.startswith("__")
        and name not in own
        and (name.lower() in listed if listed else name.lower() not in spared)
    ]


def needed(context: Context, columns: Iterable[str]) -> list[str]:
    """Those columns of a context's lake table that its options name."""
    listed = {name.lower() for name in context.needed}
    return [name for name in columns if name.lower() in listed]
