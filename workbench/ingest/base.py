"""The relation that a mapping reads: staged rows with the types that expressions see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from workbench import engine
from workbench.engine import identifier, literal
from workbench.errors import ConfigError
from workbench.importers import PART, RAW, ROW, Staged
from workbench.project import Source


@dataclass(frozen=True, kw_only=True)
class Base:
    """What a mapping reads: a relation whose columns have the types that expressions see.

    Attributes
    ----------
    relation
        The relation, with `PART`, `ROW` and `RAW`.
    types
        Type of each source column in expressions.
    texts
        Type and SQL of each source column when it is mapped by its bare name.
    jsons
        SQL of each source column as JSON.
    known
        Types of the columns of the files themselves, before the source's own query.
    """

    relation: str
    types: Mapping[str, str]
    texts: Mapping[str, tuple[str, str]]
    jsons: Mapping[str, str]
    known: Mapping[str, str]


def base_of(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    staged: Staged,
    known: Mapping[str, str],
    names: Mapping[int, str],
    *,
    typed: bool = False,
) -> Base:
    """The relation that the mapping reads, after the source's own query if it has one.

    Parameters
    ----------
    connection
        Connection in which the rows are staged.
    source
        Whose mapping it is.
    staged
        The rows.
    known
        Columns that earlier files of the source had; they are NULL where this batch lacks them.
    names
        File name of each part.
    typed
        Find the columns' types even where no expression needs them.
    """
    needs_types = (
        typed
        or source.sql is not None
        or any(
            resolve(expression, {**dict.fromkeys(staged.columns, ""), **known}) is None
            for expression in source.columns.values()
        )
    )
    columns = staged.infer() if needs_types else staged.columns
    lower = {name.lower() for name in columns}
    missing = {name: dtype for name, dtype in known.items() if name.lower() not in lower}
    selected = [PART, ROW, RAW]
    texts: dict[str, tuple[str, str]] = {}
    jsons: dict[str, str] = {}
    for number, (name, column) in enumerate(columns.items()):
        selected.append(f"{column.typed} AS {identifier(name)}")
        if staged.native:
            texts[name] = (column.type, identifier(name))
            jsons[name] = column.json
        else:
            selected.append(f"{column.text} AS __text_{number}")
            texts[name] = ("VARCHAR", f"__text_{number}")
            # The engine works out what is selected here even where nothing needs it.
            jsons[name] = column.json if staged.lines else f"__json_{number}"
            if not staged.lines:
                selected.append(f"{column.json} AS __json_{number}")
    for name, dtype in missing.items():
        selected.append(f"CAST(NULL AS {dtype}) AS {identifier(name)}")
        texts[name] = (dtype, identifier(name))
    relation = f"(SELECT {', '.join(selected)} FROM {staged.relation})"
    types = {**{name: column.type for name, column in columns.items()}, **missing}
    if source.sql is None:
        return Base(relation=relation, types=types, texts=texts, jsons=jsons, known=types)
    return _reshape(connection, source, relation, types, names)


def _reshape(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    relation: str,
    types: Mapping[str, str],
    names: Mapping[int, str],
) -> Base:
    """Run the source's own query over the relation `source`."""
    files = ", ".join(f"({number}, {literal(name)})" for number, name in names.items())
    listed = "".join(f", s.{identifier(name)}" for name in types)
    reserved = {name.lower() for name in types}
    extra = [
        f"{sql} AS {name}"
        for name, sql in (("source_file", "f.name"), ("source_row", f"s.{ROW}"))
        if name not in reserved
    ]
    own = "".join(f", {entry}" for entry in extra)
    connection.execute(
        f"CREATE OR REPLACE VIEW source AS SELECT {(listed + own)[2:]} FROM {relation} s "
        f"JOIN (VALUES {files}) f(number, name) ON s.{PART} = f.number"
    )
    sql = str(source.sql).strip().rstrip(";")
    try:
        connection.execute(f"CREATE OR REPLACE TABLE reshaped AS {sql}")
    except duckdb.Error as error:
        raise ConfigError(
            f"The sql of [{section(source)}] failed: {engine.message(error)}",
            f"It reads the relation source, whose columns are: {', '.join(types)}, source_file, "
            "source_row.",
        ) from error
    out = engine.columns_of(connection, "reshaped")
    lower = {name.lower(): name for name in out}
    part = "0" if len(names) == 1 else "NULL"
    if "source_file" in lower:
        part = (
            f"(SELECT min(f.number) FROM (VALUES {files}) f(number, name) "
            f"WHERE f.name = r.{identifier(lower['source_file'])})"
        )
    elif len(names) == 1:
        part = str(next(iter(names)))
    row = "row_number() OVER ()"
    if "source_row" in lower:
        row = f"TRY_CAST(r.{identifier(lower['source_row'])} AS BIGINT)"
    kept = [name for name in out if name.lower() not in ("source_file", "source_row")]
    listed = "".join(f", r.{identifier(name)}" for name in kept)
    relation = (
        f"(SELECT CAST({part} AS INTEGER) AS {PART}, {row} AS {ROW}, "
        f"CAST(NULL AS VARCHAR) AS {RAW}{listed} FROM reshaped r)"
    )
    return Base(
        relation=relation,
        types={name: out[name] for name in kept},
        texts={name: (out[name], identifier(name)) for name in kept},
        jsons={name: f"to_json({identifier(name)})" for name in kept},
        known=types,
    )


def section(source: Source) -> str:
    """What a source is called in the configuration."""
    return source.table.replace("context_", "context.", 1)


def resolve(expression: str, columns: Mapping[str, object]) -> str | None:
    """The column that `expression` names, None where it is an expression."""
    if expression in columns:
        return expression
    bare = expression
    if len(bare) > 1 and bare[0] == bare[-1] == '"':
        bare = bare[1:-1].replace('""', '"')
    lowered = {name.lower(): name for name in columns}
    return bare if bare in columns else lowered.get(bare.lower())


def raw_of(base: Base) -> str:
    """SQL of a row as it was read: its line, or the row as JSON text."""
    pairs = ", ".join(f"{identifier(n)} := {base.jsons[n]}" for n in base.types if n in base.jsons)
    return f"coalesce({RAW}, CAST(to_json(struct_pack({pairs})) AS VARCHAR))" if pairs else RAW
