"""What the importers of other systems' exports share: any file as rows of one JSON document each.

A vendor's importer is an SQL query per lake table over the relation `RECORDS`, which has the
columns `PART`, `ROW`, `RAW` and ``doc`` (JSON), whether the file is JSON, CSV, Parquet or SQLite.
The query names its columns after the contract, and may have ``reason`` and ``field``: a row with a
reason is refused. What no column takes belongs into ``metadata`` (`rest`).
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workbench import engine
from workbench.engine import identifier, literal
from workbench.importers import (
    PART,
    RAW,
    ROW,
    End,
    Head,
    Importer,
    Part,
    Staged,
    StagedColumn,
    csv,
    importers,
    jsonl,
    parquet,
    refuse,
    refused_table,
    typed_columns,
)
from workbench.importers._bytes import Stream

RECORDS = "records"
_TEXTS, _REFUSED, _ROWS = "record_texts", "records_refused", "vendor_rows"
_SCHEMA = pa.schema([(PART, pa.int32()), (ROW, pa.int64()), (RAW, pa.large_string())])
_FETCH = 5_000
#: Rows of one of DuckDB's vectors, and how much text of records there is in one at most.
_VECTOR_ROWS, _SLICE_BYTES = 2_048, 1024 * 1024
_SQLITE = b"SQLite format 3\x00"
_HEAD_BYTES = 4 * 1024 * 1024
_HEAD_ROWS = 20


def kind_of(path: Path) -> str:
    """The kind of a file by its first bytes; of texts by the name: what is not CSV is JSON."""
    stream = Stream(path)
    first = b""
    while len(first) < len(_SQLITE) and (block := stream.read(len(_SQLITE) - len(first))):
        first += block
    stream.close()
    if first[:4] == b"PAR1":
        return "parquet"
    if first == _SQLITE:
        return "sqlite"
    name = path.name.lower().removesuffix(".gz")
    return "csv" if name.endswith((".csv", ".tsv")) else "json"


def stager(
    queries: Mapping[str, str],
    databases: Mapping[str, Sequence[str]] | None = None,
    *,
    first: Mapping[str, Mapping[str, str]] | None = None,
    notes: Callable[[duckdb.DuckDBPyConnection, str], Iterable[str]] = lambda _, __: (),
) -> Callable[[duckdb.DuckDBPyConnection, Sequence[Part], str], Staged]:
    """What an importer of records calls to stage the parts of a batch.

    Parameters
    ----------
    queries
        Lake table to the query over `RECORDS` that makes its rows.
    databases
        Lake table to queries in SQLite's own SQL, each of which gives one JSON document a row; a
        query whose tables a database lacks is left out.
    first
        Lake table to relations that its query reads, by name and in order. What functions of JSON
        keep is let go after each.
    notes
        What to say of the staged rows of a table; the arguments are the connection, in which they
        stand as the relation ``vendor_rows``, and the table.
    """

    def stage(connection: duckdb.DuckDBPyConnection, parts: Sequence[Part], table: str) -> Staged:
        refused_table(connection, _REFUSED)
        connection.execute(
            f"CREATE OR REPLACE TABLE {_TEXTS} ({PART} INTEGER, {ROW} BIGINT, {RAW} VARCHAR)"
        )
        by_kind: dict[str, list[Part]] = {}
        for part in parts:
            by_kind.setdefault(kind_of(part.path), []).append(part)
        ends: dict[int, End] = {}
        for kind, own in by_kind.items():
            if kind == "sqlite":
                ends |= _databases(connection, own, (databases or {}).get(table, ()))
            else:
                ends |= _files(connection, own, kind)
        _slice(connection)
        steps = (first or {}).get(table, {}) if parts else {}
        for name, query in steps.items():
            connection.execute(f"CREATE OR REPLACE TABLE {name} AS {query}")
        columns = _rows(connection, queries[table]) if parts else {}
        for name in steps:
            connection.execute(f"DROP TABLE {name}")
        return Staged(
            relation=_ROWS,
            refused=_REFUSED,
            columns=columns,
            infer=lambda: columns,
            native=True,
            ends=ends,
            notes=tuple(notes(connection, table)) if parts else (),
        )

    return stage


def _files(
    connection: duckdb.DuckDBPyConnection, parts: Sequence[Part], kind: str
) -> Mapping[int, End]:
    """Add the rows of files of one kind to the texts, and what cannot be read to the refused."""
    read = {"json": jsonl.objects, "csv": csv.stage, "parquet": parquet.stage}[kind]
    staged = read(connection, parts)
    doc = RAW
    if kind != "json":
        pairs = ", ".join(f"{identifier(n)} := {c.typed}" for n, c in staged.columns.items())
        doc = f"to_json(struct_pack({pairs}))" if pairs else "'{}'"
    connection.execute(
        f"INSERT INTO {_TEXTS} SELECT {PART}, {ROW}, coalesce({RAW}, CAST({doc} AS VARCHAR)) "
        f"FROM {staged.relation}"
    )
    connection.execute(f"INSERT INTO {_REFUSED} SELECT * FROM {staged.refused}")
    # What was copied would stay beside the copy while the vendor's query runs.
    if kind != "parquet":
        connection.execute(f"DROP TABLE {staged.relation}")
    return staged.ends


def _databases(
    connection: duckdb.DuckDBPyConnection, parts: Sequence[Part], queries: Sequence[str]
) -> dict[int, End]:
    """Add what `queries` give of SQLite files to the texts; read only, WAL included."""
    ends: dict[int, End] = {}
    for part in parts:
        try:
            with closing(open_database(part.path)) as database:
                batches = chain.from_iterable(_documents(database, part, q) for q in queries)
                # SQLite is asked in this thread, where what it says of a damage can be caught.
                for batch in _numbered(batches):
                    table = pa.Table.from_batches([batch], schema=_SCHEMA)
                    with engine.registered(connection, "sqlite_batch", table):
                        connection.execute(f"INSERT INTO {_TEXTS} FROM sqlite_batch")
                # Half of a surrogate pair is JSON to SQLite, and to nobody else.
                bad = (
                    f"FROM {_TEXTS} WHERE {PART} = {part.number} AND json_valid({RAW}) IS NOT TRUE"
                )
                connection.execute(
                    f"INSERT INTO {_REFUSED} SELECT {PART}, {ROW}, 'not_json', NULL, {RAW} {bad}"
                )
                connection.execute(f"DELETE {bad}")
        except sqlite3.DatabaseError as error:
            connection.execute(f"DELETE FROM {_TEXTS} WHERE {PART} = {part.number}")
            said = f"unreadable SQLite: {error}"
            refuse(connection, _REFUSED, [(part.number, None, "unreadable_file", None, said)])
            ends[part.number] = End(offset=0, next_row=1)
            continue
        size = part.path.stat().st_size
        ends[part.number] = End(offset=size, next_row=1, terminated=False)
    return ends


def _slice(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `RECORDS` of the texts, of which DuckDB takes few at a time where they are long.

    Each of a query's many functions of JSON keeps what it parsed of one vector, by itself 2,048
    rows; of Arrow's batches none is put together with the next. They lie in a file without a name,
    for there may be more of them than memory.
    """
    folder = Path(engine.scalar(connection, "SELECT current_setting('temp_directory')"))
    own = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    connection.execute("SET arrow_large_buffer_size = true")
    rows = connection.execute(f"FROM {_TEXTS}").to_arrow_reader(_VECTOR_ROWS)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        with pa.ipc.new_file(file.name, _SCHEMA) as writer:
            for batch in rows:
                sizes = pc.cumulative_sum(pc.binary_length(batch.column(RAW)))
                slices = pc.run_end_encode(pc.divide(sizes, _SLICE_BYTES)).run_ends.to_pylist()
                for start, end in pairwise([0, *slices]):
                    writer.write_batch(batch.slice(start, end - start).cast(_SCHEMA))
        texts = pa.ipc.open_file(pa.memory_map(file.name)).read_all()
    if own:
        with suppress(OSError):
            folder.rmdir()
    connection.execute("RESET arrow_large_buffer_size")
    connection.execute(f"DROP TABLE {_TEXTS}")
    docs = [
        pa.ExtensionArray.from_storage(pa.json_(pa.large_string()), chunk)
        for chunk in texts.column(RAW).chunks
    ]
    doc = pa.chunked_array(docs, pa.json_(pa.large_string()))
    connection.register(RECORDS, texts.append_column("doc", doc))


def open_database(path: Path) -> sqlite3.Connection:
    """Open an SQLite file for reading only."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _documents(
    database: sqlite3.Connection, part: Part, query: str
) -> Iterator[tuple[int, list[str]]]:
    try:
        cursor = database.execute(query)
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return
        raise
    while rows := cursor.fetchmany(_FETCH):
        yield part.number, [row[0] for row in rows]


def _numbered(batches: Iterable[tuple[int, list[str]]]) -> Iterator[pa.RecordBatch]:
    row = 1
    for number, documents in batches:
        n = len(documents)
        yield pa.record_batch(
            [
                pa.array([number] * n, pa.int32()),
                pa.array(range(row, row + n), pa.int64()),
                pa.array(documents, pa.large_string()),
            ],
            schema=_SCHEMA,
        )
        row += n


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, StagedColumn]:
    """Run a vendor's query; its refused rows go to the refused ones."""
    connection.execute(f"CREATE OR REPLACE TABLE {_ROWS} AS {query}")
    types = engine.columns_of(connection, _ROWS)
    own = {PART, ROW, RAW, "reason", "field"}
    if "reason" in types:
        field = "field" if "field" in types else "NULL"
        connection.execute(
            f"INSERT INTO {_REFUSED} SELECT {PART}, {ROW}, reason, {field}, {RAW} "
            f"FROM {_ROWS} WHERE reason IS NOT NULL"
        )
        connection.execute(f"DELETE FROM {_ROWS} WHERE reason IS NOT NULL")
    return typed_columns({name: dtype for name, dtype in types.items() if name not in own})


def head_of(path: Path) -> Head:
    """The beginning of a file; without keys where it is empty or cannot be read."""
    kind = kind_of(path)
    rows: Sequence[Mapping[str, Any]] = ()
    keys: Iterable[str] = ()
    try:
        if kind == "sqlite":
            with closing(open_database(path)) as database:
                found = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
                keys = [name for (name,) in found.fetchall()]
        elif kind == "parquet":
            keys = pq.read_schema(path).names
        elif kind == "csv":
            keys = csv.header_of(path)
        else:
            rows = _first_objects(path)
            keys = [key for row in rows for key in row]
    except (sqlite3.DatabaseError, pa.ArrowInvalid, OSError):
        keys = ()
    return Head(path=path, kind=kind, keys=frozenset(keys), row=rows[0] if rows else {})


def _first_objects(path: Path) -> list[Mapping[str, Any]]:
    """The first objects of JSON lines, of an array, or the one object that a file is."""
    stream = Stream(path)
    text = stream.read(_HEAD_BYTES).decode("utf-8", "replace").lstrip()
    rows: list[Any] = []
    decoder = json.JSONDecoder()
    place = 1 if text.startswith("[") else 0
    while len(rows) < _HEAD_ROWS:
        while text[place : place + 1] in (" ", "\n", "\r", "\t", ","):
            place += 1
        try:
            row, place = decoder.raw_decode(text, place)
        except ValueError:
            more = stream.read(_HEAD_BYTES) if not rows else b""
            if not more:
                break
            # The first object is longer than what was read.
            text += more.decode("utf-8", "replace")
            continue
        rows.append(row)
    stream.close()
    return [row for row in rows if isinstance(row, dict)]


def recognise(path: Path) -> tuple[Importer, frozenset[str]] | None:
    """The system whose export a file is, and the lake tables that it holds; None for no known."""
    head = head_of(path)
    for importer in importers:
        if importer.holds is not None and (tables := importer.holds(head)):
            return importer, tables
    return None


def at(*keys: str, doc: str = "doc") -> str:
    """SQL of a value of a document as text; what is missing or JSON's null is NULL."""
    path = "$" + "".join("." + json.dumps(key) for key in keys)
    return f"({doc} ->> {literal(path)})"


def json_at(*keys: str, doc: str = "doc") -> str:
    """SQL of a value of a document as JSON; NULL where it is missing, JSON's null where it is."""
    path = "$" + "".join("." + json.dumps(key) for key in keys)
    return f"({doc} -> {literal(path)})"


def first(*values: str) -> str:
    """SQL of the first text that is there and not empty."""
    return "coalesce(" + ", ".join(f"nullif({value}, '')" for value in values) + ")"


def rest(*keys: str, doc: str = "doc") -> str:
    """SQL of what a document holds beside top-level `keys` and nulls, as JSON text; NULL for {}."""
    without = literal(json.dumps(dict.fromkeys(keys)))
    bare = f"json_merge_patch(json_merge_patch('{{}}', {doc}), {without})"
    return f"nullif(CAST({bare} AS VARCHAR), '{{}}')"


def hex_id(value: str) -> str:
    """SQL of the id of a span or trace in lower hex: it may be base64, or begin with 0x."""
    base64 = f"regexp_full_match({value}, '[A-Za-z0-9+/]{{11}}=|[A-Za-z0-9+/]{{22}}==')"
    return (
        f"CASE WHEN {base64} THEN lower(hex(from_base64({value}))) "
        f"ELSE lower(regexp_replace(nullif({value}, ''), '^0x', '')) END"
    )


def elements(value: str) -> str:
    """SQL of a JSON array as a list of JSON values; what is no array is an empty list."""
    return (
        f"CASE WHEN json_type({value}) = 'ARRAY' THEN from_json({value}, '[\"JSON\"]') "
        "ELSE CAST([] AS JSON[]) END"
    )


def since_epoch(value: str, per_second: int) -> str:
    """SQL of the time of a number of (milli-, nano-)seconds since 1970; NULL where it is none."""
    micros = 1_000_000
    number = f"TRY_CAST({value} AS HUGEINT)"
    scaled = (
        f"{number} * {micros // per_second}"
        if per_second <= micros
        else f"{number} // {per_second // micros}"
    )
    return f"TRY(make_timestamptz(CAST({scaled} AS BIGINT)))"
