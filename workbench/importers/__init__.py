"""Importers: one file each, from files of one format to staged rows that keep where they came from.

An importer stages *parts* (a file, or what a file has grown by) as a relation that carries, beside
the file's own columns, the part's number, the row's number and the row as it was read. It refuses
only what cannot be read as a row at all; the mapping checks the rest.

An importer of another system's exports knows what its columns mean and stages them under the names
of the contract (``_records.py``); such a file may hold inferences and feedback at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from workbench import engine
from workbench.registry import Registry

#: Columns of a staged relation that are the importer's own.
PART, ROW, RAW = "__part", "__row", "__raw"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A stretch of a file to read.

    Attributes
    ----------
    number
        Number of the part within its batch.
    path, name
        Where the file lies, and what it is called in records.
    offset
        Uncompressed bytes of the file that were read before.
    next_row
        Row number of the first row of the stretch.
    table
        Of a database, the table to read; None where there is only one.
    url
        Of a database on a server, its address as the source has it; `path` is no file then.
    """

    number: int
    path: Path
    name: str
    offset: int = 0
    next_row: int = 1
    table: str | None = None
    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class End:
    """Where reading a part ended.

    Attributes
    ----------
    offset
        Uncompressed bytes consumed; reading goes on here when the file has grown.
    next_row
        Row number of the next row.
    terminated
        Whether the last row ended with a line break. A file that continues in the middle of a
        row that was taken as whole is read again from its start.
    content
        Of a table on a server, a hash of what was read; `offset` counts its rows then.
    """

    offset: int
    next_row: int
    terminated: bool = True
    content: str = ""


@dataclass(frozen=True, kw_only=True)
class StagedColumn:
    """One column of a staged relation, as SQL over it.

    Attributes
    ----------
    text
        The value as it stands in the file: text, or the typed value of a typed format.
    typed
        The value with the type in `type`, for use in expressions.
    json
        The value as JSON.
    """

    type: str
    text: str
    typed: str
    json: str


def typed_columns(types: Mapping[str, str]) -> dict[str, StagedColumn]:
    """Columns whose values have their types already, by name and type."""
    return {
        name: StagedColumn(
            type=dtype,
            text=engine.identifier(name),
            typed=engine.identifier(name),
            json=f"to_json({engine.identifier(name)})",
        )
        for name, dtype in types.items()
    }


@dataclass(frozen=True, kw_only=True)
class Staged:
    """The rows of some parts, readable in DuckDB until the batch ends.

    Attributes
    ----------
    relation
        Relation with the columns `PART`, `ROW`, `RAW` (text; NULL for typed formats, whose rows
        are shown as JSON) and those that `columns` speaks of.
    refused
        Relation with `PART`, `ROW`, ``reason``, ``field``, `RAW`: what could not be read.
    columns
        The columns by name; of a text format they are all texts.
    infer
        The columns with the types that their values have, found by looking at every row.
    native
        Whether ``text`` of a column is a typed value rather than text.
    lines
        Whether each row is a line of JSON, of which ``json`` of a column is read.
    ends
        Where each part ended, by its number.
    notes
        What a person should know of these rows.
    """

    relation: str
    refused: str
    columns: Mapping[str, StagedColumn]
    infer: Callable[[], Mapping[str, StagedColumn]]
    native: bool
    ends: Mapping[int, End]
    notes: tuple[str, ...] = ()
    lines: bool = False


@dataclass(frozen=True, kw_only=True)
class Head:
    """The beginning of a file, by which importers tell whose export it is.

    Attributes
    ----------
    path
        The file.
    kind
        ``json``, ``csv``, ``parquet`` or ``sqlite``.
    keys
        Names of the columns; of JSON the keys of the first rows, of SQLite the tables.
    row
        The first row, as far as it is JSON; empty otherwise.
    """

    path: Path
    kind: str
    keys: frozenset[str]
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Importer:
    """How the files of one format are read.

    Attributes
    ----------
    name
        Name of the format.
    suffixes
        File name endings, ``.gz`` left out; none for a format that the name does not tell.
    grows
        Whether a file may be appended to and read on from its old end.
    stage
        Stages parts; called once per batch. The third argument is the lake table that the rows
        are for.
    holds
        The lake tables that a file holds rows of, by its beginning; none where the file is not of
        this format. Formats of plain tables leave it out.
    again
        Whether a file is a database or an export that is written anew, in which the rows that were
        read before stand beside new ones: those that the lake has are not received again.
    title
        What the system that writes the format is called; empty for plain tables.
    """

    name: str
    suffixes: tuple[str, ...] = ()
    grows: bool
    stage: Callable[[duckdb.DuckDBPyConnection, Sequence[Part], str], Staged]
    holds: Callable[[Head], frozenset[str]] | None = None
    again: bool = False
    title: str = ""


importers: Registry[Importer] = Registry("workbench.importers", "importer", label="format")


def for_path(path: Path) -> Importer | None:
    """The importer whose suffix `path` has; None where no importer claims it."""
    name = path.name.lower().removesuffix(".gz")
    # The usual ones first: those of other systems' exports need not be loaded for a plain file.
    for one in dict.fromkeys([*_USUAL, *importers.names()]):
        importer = importers.get(one)
        if name.endswith(importer.suffixes):
            return importer
    return None


_USUAL = ("parquet", "jsonl", "csv", "sqlite")
#: Endings of the files that systems export, ``.gz`` left out.
_EXPORTED = (
    ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".pq", ".db", ".sqlite", ".sqlite3",
)  # fmt: skip


def may_be_exported(path: Path) -> bool:
    """Whether a file beside others of a folder is one that a system exports, by its name."""
    return path.name.lower().removesuffix(".gz").endswith(_EXPORTED)


def refused_table(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Make the empty relation that holds what could not be read."""
    connection.execute(
        f"CREATE OR REPLACE TABLE {name} "
        f"({PART} INTEGER, {ROW} BIGINT, reason VARCHAR, field VARCHAR, {RAW} VARCHAR)"
    )


def refuse(connection: duckdb.DuckDBPyConnection, name: str, rows: Sequence[Sequence[Any]]) -> None:
    """Add rows to the relation of what could not be read."""
    engine.insert(connection, name, rows)
