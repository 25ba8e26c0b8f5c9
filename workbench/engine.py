"""The only place that knows DuckDB settings, Ibis backends and their work-arounds."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa

BATCH_ROWS = 50_000


def connect(temp: Path | None = None, memory_limit: str | None = None) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB with the project's settings: UTC, no extension downloads.

    Parameters
    ----------
    temp
        Folder to spill to; DuckDB's own choice when None.
    memory_limit
        DuckDB memory limit such as ``2GB``.
    """
    connection = duckdb.connect(":memory:")
    # A plain SET would not reach the cursors: they would use the machine's own time zone.
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute("SET enable_progress_bar = false")
    if temp is not None:
        connection.execute(f"SET temp_directory = {literal(str(temp))}")
    if memory_limit:
        connection.execute(f"SET memory_limit = {literal(memory_limit)}")
    return connection


def identifier(name: str) -> str:
    """`name` quoted as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str | None) -> str:
    """`text` quoted as an SQL literal, NULL for None."""
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


def list_literal(texts: Iterable[str]) -> str:
    """A DuckDB list of texts; typed even when it is empty."""
    return "[" + ", ".join(literal(text) for text in texts) + "]::VARCHAR[]"


def json_path(key: str) -> str:
    """JSONPath literal of one top-level `key`, for use in SQL."""
    return literal("$." + json.dumps(key, ensure_ascii=False))


def columns_of(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Names and types of the columns of a relation or parenthesised query."""
    rows = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return {row[0]: row[1] for row in rows}


def reader(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.RecordBatchReader:
    """Stream the result of `sql` on a cursor of its own.

    Another statement on the same cursor would end the stream without an error, so the cursor
    belongs to the returned reader alone.
    """
    return connection.cursor().execute(sql).to_arrow_reader(BATCH_ROWS)


def scalar(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """The single value that `sql` returns."""
    row = connection.execute(sql).fetchone()
    return None if row is None else row[0]


@contextmanager
def registered(
    connection: duckdb.DuckDBPyConnection, name: str, data: Any
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Make Arrow `data` readable as the relation `name` for the length of a block."""
    connection.register(name, data)
    try:
        yield connection
    finally:
        connection.unregister(name)


def insert(
    connection: duckdb.DuckDBPyConnection, relation: str, rows: Sequence[Sequence[Any]]
) -> None:
    """Insert a bounded number of rows at once; one statement per row would cost a thousandfold."""
    if not rows:
        return
    columns = [pa.array(list(values)) for values in zip(*rows, strict=True)]
    table = pa.table(columns, names=[f"c{place}" for place in range(len(columns))])
    with registered(connection, "rows_to_insert", table):
        connection.execute(f"INSERT INTO {relation} SELECT * FROM rows_to_insert")


def backend(connection: duckdb.DuckDBPyConnection) -> ibis.backends.duckdb.Backend:
    """Wrap a connection for Ibis. One backend per thread; never while a stream is read from it."""
    return ibis.duckdb.from_connection(connection)


def spark(session: Any) -> Any:
    """Wrap a Spark session, classic or Connect, for Ibis.

    Ibis writes the double 0.1 as the literal ``0.1``, which is a DECIMAL for Spark: it would be
    compared, added up and returned as such, and other numbers would come out.
    """
    from ibis.backends.sql.compilers.pyspark import PySparkCompiler

    class Compiler(PySparkCompiler):  # type: ignore[misc]
        def visit_DefaultLiteral(self, op: Any, *, value: Any, dtype: Any) -> Any:  # noqa: N802
            if dtype.is_floating() and math.isfinite(value):
                return self.cast(repr(float(value)), dtype)
            return super().visit_DefaultLiteral(op, value=value, dtype=dtype)

    wrapped = ibis.pyspark.connect(session)
    wrapped.compiler = Compiler()
    return wrapped


def sql_of(expression: ir.Expr) -> str:
    """The DuckDB SQL of an Ibis expression, for running rather than for reading."""
    return str(ibis.duckdb.compile(expression))


def is_duckdb(expression: ir.Expr) -> bool:
    """Whether the engine of an expression is DuckDB; unbound tables are taken for it."""
    backends, _ = expression._find_backends()
    return all(backend.name == "duckdb" for backend in backends)


def microseconds(time: ir.TimestampValue) -> ir.FloatingValue:
    """Microseconds of a time within its second, 0 to 999,999."""
    if is_duckdb(time):
        # DuckDB counts them within the minute, Ibis within the second.
        return time.microsecond().cast("float64")
    # Ibis does not translate this part for Spark, which writes no trailing zeros.
    fraction = time.cast("string").re_extract(r"\.([0-9]+)", 1)
    return fraction.rpad(6, "0").cast("float64")


def message(error: Exception) -> str:
    """The first paragraph of a DuckDB error, without its class prefix and its echo of the query."""
    text = str(error).split("\n\nLINE ")[0].split("\n\nContext:")[0].strip()
    return re.sub(r"^[A-Z][A-Za-z ]+ Error: ", "", text)
