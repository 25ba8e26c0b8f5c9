"""A table or view of a PostgreSQL database, by its own client library (the extra ``postgres``).

The server writes each row as JSON, so that no type is beyond the driver, and every digit, zone and
nested array arrives; expressions see the columns in the types that the table declares.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import duckdb
import pyarrow as pa

from workbench import engine
from workbench.engine import identifier
from workbench.errors import ConfigError, DataError, suggest
from workbench.importers import PART, RAW, End, Importer, Part, Staged, jsonl
from workbench.importers._bytes import decode
from workbench.importers._servers import Server, server

#: What makes a row read the same on every server, and reading harmless.
_SESSION = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "SET TimeZone = 'UTC'",
    "SET extra_float_digits = 3",
    "SET bytea_output = 'hex'",
    "SET IntervalStyle = 'postgres'",
)
_TABLES = """
SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name,
  c.relkind IN ('v', 'm') AS view, pg_table_is_visible(c.oid) AS visible,
  has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AS readable,
  current_user::text AS reader
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY n.nspname, c.relname
"""
_COLUMNS = """
SELECT a.attname::text AS name, greatest(a.attndims, t.typndims) AS dimensions,
  CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod)
    ELSE format_type(a.atttypid, a.atttypmod) END AS type
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_TYPES = {
    "boolean": "BOOLEAN",
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "real": "FLOAT",
    "double precision": "DOUBLE",
    "numeric": "DOUBLE",
    "date": "DATE",
    "time without time zone": "TIME",
    "timestamp without time zone": "TIMESTAMP",
    "timestamp with time zone": "TIMESTAMP WITH TIME ZONE",
    "uuid": "UUID",
    "bytea": "BLOB",
    "json": "JSON",
    "jsonb": "JSON",
}


def _stage(connection: duckdb.DuckDBPyConnection, parts: Sequence[Part], table: str = "") -> Staged:
    jsonl.begin(connection)
    ends: dict[int, End] = {}
    types: dict[str, str] = {}
    for part in parts:
        origin = server(part.url or "")
        with _connected(origin) as cursor:
            found = _find(cursor, origin, part.table)
            declared = _declared(cursor, found["oid"])
            rows = _insert(connection, cursor, part, found, declared)
        own = {name: _type(*entry) for name, entry in declared.items()}
        # Of two tables that disagree about a column it is text.
        types = {n: t if types.get(n, t) == t else "VARCHAR" for n, t in (types | own).items()}
        ends[part.number] = End(
            offset=rows, next_row=rows + 1, content=_content(connection, part, own)
        )
    staged = jsonl.finish(connection, ends, list(types))
    names = jsonl.column_names(list(types))
    columns = {
        names[key]: replace(
            staged.columns[names[key]],
            type=dtype,
            typed=_typed(staged.columns[names[key]].text, dtype),
        )
        for key, dtype in types.items()
    }
    return replace(staged, infer=lambda: columns)


@contextmanager
def _connected(origin: Server) -> Iterator[Any]:
    """A cursor within one read-only transaction: all that is read is of one moment.

    Raises
    ------
    ConfigError
        If the driver is not installed.
    DataError
        If the server cannot be reached, or what is asked of it fails.
    """
    try:
        from adbc_driver_postgresql import dbapi
    except ImportError:
        raise ConfigError(
            "Tables of PostgreSQL are read with adbc-driver-postgresql, which is not installed.",
            "pip install 'feedback-workbench[postgres]'",
        ) from None
    try:
        connected = dbapi.connect(origin.address)
    except dbapi.Error as error:
        raise DataError(
            f"{origin.name} cannot be reached: {_said(error, origin)}",
            "Check the address in source, that the server runs, and the password: PGPASSWORD, a "
            "${VARIABLE} in source, or ~/.pgpass.",
        ) from None
    try:
        with closing(connected), closing(connected.cursor()) as cursor:
            for setting in _SESSION:
                cursor.execute(setting)
            yield cursor
    except (dbapi.Error, pa.ArrowException, OSError) as error:
        raise DataError(
            f"Reading from {origin.name} failed: {_said(error, origin)}",
            "Nothing of this table was taken in; run the command again.",
        ) from None


def _said(error: Exception, origin: Server) -> str:
    """What the server or its client library said, in one line."""
    text = re.sub(r"^[A-Z_]+: (\[libpq\] )?(Failed to \w+( query)?: )?(ERROR: +)?", "", str(error))
    return origin.without_secrets(text).strip().splitlines()[0].strip()


def _rows_of(cursor: Any, query: str) -> list[dict[str, Any]]:
    cursor.execute(query)
    rows: list[dict[str, Any]] = cursor.fetch_arrow_table().to_pylist()
    return rows


def table_names(url: str) -> list[str]:
    """The tables and views of a database, as a source may call them."""
    origin = server(url)
    with _connected(origin) as cursor:
        return _names(_rows_of(cursor, _TABLES))


def _names(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    return [row["name"] if row["visible"] else f"{row['schema']}.{row['name']}" for row in tables]


def _find(cursor: Any, origin: Server, wanted: str | None) -> Mapping[str, Any]:
    """The table or view to read.

    Raises
    ------
    ConfigError
        If it is not there or may not be read, or none is named and there are several.
    """
    found = _rows_of(cursor, _TABLES)
    names = _names(found)
    tables = [row for row in found if not row["view"]]
    if wanted is None and len(tables) != 1:
        raise ConfigError(
            f"{origin.name} has {len(tables)} tables, and the source does not say which to read.",
            f"Write table = 'NAME' beside source; there are: {', '.join(names[:20]) or 'none'}.",
        )
    matches = (
        tables
        if wanted is None
        else [
            *(row for row in found if f"{row['schema']}.{row['name']}" == wanted),
            *(row for row in found if row["visible"] and row["name"] == wanted),
        ]
    )
    if not matches:
        near = suggest(str(wanted), names) or "It has no tables that can be seen."
        raise ConfigError(f"{origin.name} has no table {wanted!r}.", near)
    table = matches[0]
    if not table["readable"]:
        schema, name, reader = (identifier(table[key]) for key in ("schema", "name", "reader"))
        raise ConfigError(
            f"{table['reader']} may not read {table['schema']}.{table['name']} of {origin.name}.",
            f"GRANT USAGE ON SCHEMA {schema} TO {reader}; "
            f"GRANT SELECT ON {schema}.{name} TO {reader};",
        )
    return table


def _declared(cursor: Any, oid: int) -> dict[str, tuple[str, int]]:
    """The type of each column, and how deep its arrays are."""
    rows = _rows_of(cursor, _COLUMNS.format(oid=int(oid)))
    return {row["name"]: (row["type"], row["dimensions"]) for row in rows}


def _type(declared: str, dimensions: int) -> str:
    """DuckDB's type of a column: by what was declared alone, so that it never changes."""
    if declared.endswith("[]"):
        element = _type(declared.removesuffix("[]"), 0)
        # Hexadecimal digits within a list would be read as characters.
        element = "VARCHAR" if element == "BLOB" else element
        return element + "[]" * max(dimensions, 1)
    exact = re.fullmatch(r"numeric\((\d+),(\d+)\)", declared)
    if exact and int(exact[2]) <= int(exact[1]) <= 38:
        return f"DECIMAL({exact[1]},{exact[2]})"
    return _TYPES.get(re.sub(r"\(.*?\)", "", declared), "VARCHAR")


def _typed(text: str, dtype: str) -> str:
    """SQL of a column's text in its type; NULL where it does not fit, as a year before Christ."""
    if dtype in ("VARCHAR", "JSON"):
        return text
    if dtype == "BLOB":
        return f"TRY(unhex(substr({text}, 3)))"
    if dtype.endswith("[]"):
        return f"TRY_CAST(TRY_CAST({text} AS JSON) AS {dtype})"
    return f"TRY_CAST({text} AS {dtype})"


def _insert(
    connection: duckdb.DuckDBPyConnection,
    cursor: Any,
    part: Part,
    table: Mapping[str, Any],
    declared: Mapping[str, tuple[str, int]],
) -> int:
    """Add the rows as lines of JSON, batch by batch; how many there were."""
    relation = f"{identifier(table['schema'])}.{identifier(table['name'])}"
    # Of a number in JSON DuckDB keeps what a double holds; a text keeps all digits.
    asked = ", ".join(
        identifier(name)
        + (f"::text{'[]' * dtype.endswith('[]')} AS {identifier(name)}" * ("numeric" in dtype))
        for name, (dtype, _) in declared.items()
    )
    # `t` alone would be the column t of a table that has one.
    cursor.execute(f"SELECT row_to_json(t.*)::text FROM (SELECT {asked} FROM {relation}) AS t")
    row = 1
    for batch in cursor.fetch_record_batch():
        text, bad = decode(batch.column(0).cast(pa.binary()).cast(pa.large_binary()))
        n = len(text)
        columns = [pa.array([part.number] * n), pa.array(range(row, row + n)), text, bad]
        jsonl.insert(connection, pa.table(dict(zip("abcd", columns, strict=True))))
        row += n
    return row - 1


def _content(connection: duckdb.DuckDBPyConnection, part: Part, types: Mapping[str, str]) -> str:
    """What tells whether a table is as it was: its columns and rows, in any order."""
    sums = engine.scalar(
        connection,
        f"SELECT [count(*), sum(md5_number_lower({RAW})), sum(md5_number_upper({RAW}))]::VARCHAR "
        f"FROM {jsonl.LINES} WHERE {PART} = {part.number}",
    )
    return hashlib.sha256(f"{part.name}{list(types.items())}{sums}".encode()).hexdigest()


importer = Importer(name="postgres", grows=False, again=True, stage=_stage)
