"""The only place that knows DuckDB settings, Ibis backends and their work-arounds."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from workbench import progress
from workbench.errors import ConfigError

# Ibis takes longer to import than a query of a small build to run, and SQL does without it.
if TYPE_CHECKING:
    import ibis
    import ibis.expr.types as ir

BATCH_ROWS = 50_000
#: Version of the engine.
VERSION = duckdb.__version__


#: Environment variable that says how much memory each connection may use at most.
MEMORY_LIMIT = "WORKBENCH_MEMORY_LIMIT"
#: Memory that a thread needs to work well, and one that reads texts, of which it holds a row group
#: as it is in the file, unpacked, and as rows.
_THREAD_BYTES, TEXT_THREAD_BYTES = 125_000_000, 500_000_000
_MEMORY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT])(I?)B\s*", re.IGNORECASE)


def connect(
    temp: Path | None = None, memory_limit: str | None = None, thread_bytes: int = _THREAD_BYTES
) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB with the project's settings: UTC, no extension downloads.

    Parameters
    ----------
    temp
        Folder to spill to, made when it is needed; `spill_folder` when None, for the engine's own
        choice is the working directory.
    memory_limit
        Memory from which on it spills, such as ``2GB``, where the environment does not say less.
    thread_bytes
        Memory that each thread should have, where memory is limited.

    Raises
    ------
    ConfigError
        If the environment's limit is no amount of memory.
    """
    limit = _least(memory_limit, os.environ.get(MEMORY_LIMIT) or None)
    connection = duckdb.connect(":memory:")
    # A plain SET would not reach the cursors: they would use the machine's own time zone.
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute("SET enable_progress_bar = false")
    connection.execute(f"SET temp_directory = {literal(str(temp or spill_folder()))}")
    if limit:
        try:
            connection.execute(f"SET memory_limit = {literal(limit)}")
        except duckdb.Error as error:
            raise _no_limit(limit) from error
        # Each thread holds blocks of its own that cannot be spilled.
        threads = int(scalar(connection, "SELECT current_setting('threads')"))
        most = max(1, int(memory(connection) / thread_bytes))
        connection.execute(f"SET threads = {min(threads, most)}")
    return connection


def _least(own: str | None, given: str | None) -> str | None:
    """The lower of two limits; `given` comes from the environment."""
    if given is not None and not _MEMORY.fullmatch(given):
        raise _no_limit(given)
    limits = [limit for limit in (own, given) if limit is not None]
    return min(limits, key=_bytes, default=None)


def _bytes(limit: str) -> float:
    match = _MEMORY.fullmatch(limit)
    assert match is not None
    power = " KMGT".index(match[2].upper())
    return float(match[1]) * float((1024 if match[3] else 1000) ** power)


def memory(connection: duckdb.DuckDBPyConnection) -> float:
    """Bytes of memory from which on a connection spills."""
    return _bytes(str(scalar(connection, "SELECT current_setting('memory_limit')")))


def _no_limit(given: str) -> ConfigError:
    return ConfigError(
        f"{MEMORY_LIMIT} is {given!r}, which is no amount of memory that can be worked in.",
        f"Write a number and a unit, such as {MEMORY_LIMIT}=2GB, or unset it.",
    )


def spill_folder(state: Path | None = None) -> Path:
    """A path for one connection to spill to; two of them in one folder would mix their files.

    It is in the project's `state`, and where nothing can be written there, in the system's folder
    for temporary files.
    """
    own = f"spill-{os.getpid()}-{secrets.token_hex(4)}"
    if state is not None and os.access(state, os.W_OK):
        return state / own
    return Path(tempfile.gettempdir()) / f"workbench-{own}"


def sweep(state: Path) -> None:
    """Remove what was spilled to the `spill_folder` of processes that were killed."""
    for folder in state.glob("spill-*"):
        try:
            os.kill(int(folder.name.split("-")[1]), 0)
        except (ProcessLookupError, ValueError):
            shutil.rmtree(folder, ignore_errors=True)
        except PermissionError:
            continue


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
    """JSON pointer to one top-level `key`, for use in SQL; a JSONPath cannot name every key."""
    pointer = literal("/" + key.replace("~", "~0").replace("/", "~1"))
    # A statement ends at a NUL.
    return pointer.replace("\0", "' || chr(0) || '")


def json_pointer(key: str) -> str:
    """SQL of the pointer to the member of a JSON object under `key`, an SQL value.

    A JSONPath cannot name every key.
    """
    return f"'/' || replace(replace({key}, '~', '~0'), '/', '~1')"


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


def counted(read: pa.RecordBatchReader, total: int) -> pa.RecordBatchReader:
    """A reader of `total` rows, each batch of which is a part of the step that runs."""

    def batches() -> Iterator[pa.RecordBatch]:
        done = 0
        for batch in read:
            yield batch
            done += batch.num_rows
            progress.part(done, total)

    return pa.RecordBatchReader.from_batches(read.schema, progress.carried(batches()))


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


def empty_columns(
    connection: duckdb.DuckDBPyConnection, relation: str, names: Iterable[str]
) -> tuple[str, ...]:
    """Which of the columns called `names` hold no value in any row of a relation."""
    left = tuple(names)
    # Nearly all that have a value have one in the first rows.
    for rows in (f"(FROM {relation} LIMIT 1000)", relation):
        if left:
            counted = ", ".join(f"count({identifier(name)})" for name in left)
            found = connection.execute(f"SELECT {counted} FROM {rows}").fetchone() or ()
            left = tuple(name for name, n in zip(left, found, strict=True) if not n)
    return left


def table_statements(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    query: str,
    empty: Iterable[str],
    *,
    apart: bool = False,
    kind: str = "TABLE",
) -> list[str]:
    """SQL that makes a table of `query`, whose columns in `empty` hold no value.

    Those are read like the others and cannot be written; to store sixty of them takes as long as
    to store all that a log has. What can be written is `stored_columns`. The last
    statement fills the table; it is not the one that makes it if that is to be `apart`.
    """
    none = set(empty)
    columns = connection.execute(f"SELECT * FROM ({query}) LIMIT 0").description or []
    if none.isdisjoint(column[0] for column in columns) and not apart:
        return [f"CREATE {kind} {name} AS {query}"]
    declared = ", ".join(
        f"{identifier(column)} {dtype}" + " AS (NULL) VIRTUAL" * (column in none)
        for column, dtype, *_ in columns
    )
    listed = ", ".join(identifier(column[0]) for column in columns if column[0] not in none)
    inserted = f"INSERT INTO {name} ({listed}) SELECT {listed} FROM ({query})"
    return [f"CREATE {kind} {name} ({declared})", inserted]


def drop_temporary(connection: duckdb.DuckDBPyConnection, names: Iterable[str]) -> None:
    """Give back the memory of those temporary tables called `names` that there are."""
    found = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE temporary "
        f"AND list_contains({list_literal(names)}, table_name)"
    ).fetchall()
    for (name,) in found:
        connection.execute(f"DROP TABLE temp.{identifier(name)}")


def stored_columns(
    connection: duckdb.DuckDBPyConnection, table: str, *, database: str | None = None
) -> dict[str, bool]:
    """Whether each column of a table of schema ``narrow`` is stored, or empty; none of a view."""
    rows = connection.execute(
        "SELECT column_name, column_default IS NULL FROM duckdb_columns() "
        f"WHERE database_name = coalesce({literal(database)}, current_database()) "
        f"AND schema_name = 'narrow' AND table_name = {literal(table)}"
    ).fetchall()
    return dict(rows)


def backend(connection: duckdb.DuckDBPyConnection) -> ibis.backends.duckdb.Backend:
    """Wrap a connection for Ibis. One backend per thread; never while a stream is read from it."""
    import ibis

    return ibis.duckdb.from_connection(connection)


def lock(
    connection: duckdb.DuckDBPyConnection, files: Iterable[Path], folders: Iterable[Path] = ()
) -> None:
    """Close a connection and all of its cursors to everything but what is attached and `files`.

    Parameters
    ----------
    connection
        The connection; no setting of it can be changed afterwards.
    files
        Files that may be read.
    folders
        Folders whose files may be read.
    """
    # Else a query could name a variable of this program.
    connection.execute("SET GLOBAL python_enable_replacements = false")
    connection.execute(f"SET allowed_paths = {list_literal(map(str, files))}")
    listed = list_literal(f"{folder}/" for folder in folders)
    connection.execute(f"SET allowed_directories = {listed}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def locked_backend(connection: duckdb.DuckDBPyConnection) -> ibis.backends.duckdb.Backend:
    """Wrap a connection for Ibis after `lock`: the settings of `backend` are refused by then."""
    from ibis.backends.duckdb import Backend

    class Locked(Backend):  # type: ignore[misc]
        def _post_connect(self, extensions: Any = None) -> None:
            self._record_batch_readers_consumed: dict[str, bool] = {}

    return Locked.from_connection(connection)


def sql_of(expression: ir.Expr) -> str:
    """The DuckDB SQL of an Ibis expression, for running rather than for reading."""
    import ibis

    return str(ibis.duckdb.compile(expression))


@cache
def _variable() -> Any:
    import ibis

    @ibis.udf.scalar.builtin(name="getvariable")  # type: ignore[untyped-decorator]
    def value_of(name: str) -> str:  # type: ignore[empty-body]
        """The value that SET VARIABLE gave; its type is that of the value."""

    return value_of


def variable(name: str, dtype: str) -> ir.Value:
    """The value of an SQL variable of the connection."""
    return _variable()(name).cast(dtype)


def dtype(name: str) -> Any:
    """The Ibis type of a DuckDB type."""
    from ibis.backends.sql.datatypes import DuckDBType

    return DuckDBType.from_string(name)


@cache
def _extract_all() -> Any:
    import ibis

    @ibis.udf.scalar.builtin(name="regexp_extract_all")  # type: ignore[untyped-decorator]
    def extract_all(text: str, pattern: str, group: int) -> list[str]:  # type: ignore[empty-body]
        """Called so by DuckDB and by Spark; Ibis has no operation for it."""

    return extract_all


def all_matches(text: ir.StringValue, pattern: str, group: int) -> ir.ArrayValue:
    """What one group of a regular expression matched, for each match in `text`, in order."""
    return _extract_all()(text, pattern, group)


def pattern_problem(pattern: str) -> str | None:
    """Why DuckDB does not take a regular expression; None where it does."""
    with duckdb.connect(":memory:") as connection:
        try:
            connection.execute("SELECT regexp_matches('', ?)", [pattern])
        except duckdb.Error as error:
            return message(error)
    return None


def is_duckdb(expression: ir.Expr) -> bool:
    """Whether the engine of an expression is DuckDB; unbound tables are taken for it."""
    backends, _ = expression._find_backends()
    return all(backend.name == "duckdb" for backend in backends)


def message(error: Exception) -> str:
    """What a DuckDB error says, without its class, its echo of the query and its own advice."""
    text = re.split(r"\n\n(?:LINE |Context:|Possible solutions:)", str(error))[0].strip()
    return re.sub(r"^[A-Z][A-Za-z ]+ Error: ", "", text)
