"""A table of an SQLite database, read only, with its write-ahead log; no extension is needed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import duckdb
import pyarrow as pa

from workbench.errors import ConfigError, suggest
from workbench.importers import End, Importer, Part, Staged, jsonl
from workbench.importers._records import open_database

_FETCH = 5_000


def _stage(connection: duckdb.DuckDBPyConnection, parts: Sequence[Part], table: str = "") -> Staged:
    jsonl.begin(connection)
    ends: dict[int, End] = {}
    for part in parts:
        row = 1
        try:
            with closing(open_database(part.path)) as database:
                for lines in _lines(database, part):
                    n = len(lines)
                    columns = [[part.number] * n, range(row, row + n), lines, [False] * n]
                    jsonl.insert(connection, pa.table(dict(zip("abcd", columns, strict=True))))
                    row += n
        except sqlite3.DatabaseError as error:
            jsonl.unreadable(connection, part, f"unreadable SQLite: {error}")
            ends[part.number] = End(offset=0, next_row=1)
            continue
        ends[part.number] = End(offset=part.path.stat().st_size, next_row=row)
    return jsonl.finish(connection, ends)


def _lines(database: sqlite3.Connection, part: Part) -> Iterator[list[str]]:
    """The rows of the table as JSON objects; numbers keep all their digits."""
    name = _table(database, part)
    cursor = database.execute('SELECT * FROM "' + name.replace('"', '""') + '"')
    names = [column[0] for column in cursor.description]
    while rows := cursor.fetchmany(_FETCH):
        yield [
            json.dumps(dict(zip(names, row, strict=True)), default=_text, ensure_ascii=False)
            for row in rows
        ]


def _text(value: Any) -> str:
    """Bytes as hexadecimal digits."""
    return bytes(value).hex()


def _table(database: sqlite3.Connection, part: Part) -> str:
    """The table or view to read.

    Raises
    ------
    ConfigError
        If it is not there, or none is named and there are several.
    """
    found = database.execute(
        "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') "
        "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    ).fetchall()
    names = [name for name, _ in found]
    tables = [name for name, kind in found if kind == "table"]
    if part.table is None and len(tables) == 1:
        return str(tables[0])
    if part.table is None:
        raise ConfigError(
            f"{part.name} has {len(tables)} tables, and the source does not say which to read.",
            f"Write table = 'NAME' beside source; there are: {', '.join(names) or 'none'}.",
        )
    if part.table not in names:
        raise ConfigError(f"{part.name} has no table {part.table!r}.", suggest(part.table, names))
    return part.table


importer = Importer(
    name="sqlite",
    suffixes=(".db", ".sqlite", ".sqlite3"),
    grows=False,
    again=True,
    stage=_stage,
)
