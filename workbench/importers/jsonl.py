"""JSON lines, plain or gzip; a file that is one JSON array, or one object, is read as well."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench import engine
from workbench.importers import (
    PART,
    RAW,
    ROW,
    End,
    Importer,
    Part,
    Staged,
    StagedColumn,
    refuse,
    refused_table,
)
from workbench.importers._bytes import DAMAGED, Stream, decode

_SCHEMA = pa.schema(
    [
        (PART, pa.int32()),
        (ROW, pa.int64()),
        (RAW, pa.string_view()),
        ("bad_utf8", pa.bool_()),
    ]
)
LINES, _REFUSED, _ROWS = "jsonl_lines", "jsonl_refused", "jsonl_rows"


def stage(connection: duckdb.DuckDBPyConnection, parts: Sequence[Part], table: str = "") -> Staged:
    """Stage the rows of files; the same for every table."""
    return finish(connection, _read(connection, parts))


def objects(connection: duckdb.DuckDBPyConnection, parts: Sequence[Part]) -> Staged:
    """Stage the objects of files as their texts alone: without columns."""
    ends = _read(connection, parts)
    _refuse_others(connection)
    return Staged(
        relation=LINES,
        refused=_REFUSED,
        columns={},
        infer=lambda: {},
        native=False,
        ends=ends,
    )


def _read(connection: duckdb.DuckDBPyConnection, parts: Sequence[Part]) -> dict[int, End]:
    """Read the lines of files, and where each file ended."""
    begin(connection)
    ends: dict[int, End] = {}
    tails: list[tuple[int, int, str, int, bool]] = []
    everything = [_Lines(part) for part in parts]
    batches = pa.RecordBatchReader.from_batches(_SCHEMA, chain.from_iterable(everything))
    insert(connection, batches)
    for lines in everything:
        part = lines.part
        if lines.damaged:
            unreadable(connection, part, DAMAGED)
            ends[part.number] = End(offset=0, next_row=1)
            continue
        ends[part.number] = End(offset=lines.offset, next_row=lines.row)
        if lines.tail or lines.broken:
            text = lines.tail.decode("utf-8", "replace")
            tails.append((part.number, lines.row, text, lines.end, lines.broken))
        if part.offset == 0 and lines.may_be_one_document():
            _unwrap(connection, part, ends, tails)
    for number, row, text, end, broken in tails:
        ends[number] = _tail(connection, ends[number], number, row, text, end, broken)
    return ends


def begin(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the empty relations of lines and of what cannot be read."""
    refused_table(connection, _REFUSED)
    connection.execute(
        f"CREATE OR REPLACE TABLE {LINES} "
        f"({PART} INTEGER, {ROW} BIGINT, {RAW} VARCHAR, bad_utf8 BOOLEAN, is_object BOOLEAN)"
    )


def insert(connection: duckdb.DuckDBPyConnection, lines: pa.Table | pa.RecordBatchReader) -> None:
    """Add lines: part, row, text without blanks around it, and whether it was no UTF-8."""
    with engine.registered(connection, "jsonl_batches", lines):
        connection.execute(
            f"INSERT INTO {LINES} SELECT *, NOT bad_utf8 AND {_IS_OBJECT} FROM "
            f"jsonl_batches AS lines({PART}, {ROW}, {RAW}, bad_utf8)"
        )


def unreadable(connection: duckdb.DuckDBPyConnection, part: Part, what: str) -> None:
    """Refuse a file as a whole, with what was read of it so far."""
    connection.execute(f"DELETE FROM {LINES} WHERE {PART} = {part.number}")
    refuse(connection, _REFUSED, [(part.number, None, "unreadable_file", None, what)])


def finish(
    connection: duckdb.DuckDBPyConnection, ends: Mapping[int, End], keys: Sequence[str] = ()
) -> Staged:
    """Split the lines into columns, which are those of `keys` where these are known.

    What is no object is refused.
    """
    _refuse_others(connection)
    keys = keys or [
        row[0]
        for row in connection.execute(
            f"SELECT key FROM (SELECT unnest(json_keys({RAW})) AS key FROM {LINES}) "
            "GROUP BY key ORDER BY count(*) DESC, key"
        ).fetchall()
    ]
    _parse(connection, keys)
    return Staged(
        relation=_ROWS,
        refused=_REFUSED,
        columns=_columns(keys),
        infer=lambda: _infer(connection, keys),
        native=False,
        ends=ends,
        lines=True,
    )


def _refuse_others(connection: duckdb.DuckDBPyConnection) -> None:
    """Refuse the lines that are no objects."""
    refused = engine.scalar(connection, f"SELECT count(*) FROM {LINES} WHERE NOT is_object")
    if not refused:
        return
    connection.execute(
        f"INSERT INTO {_REFUSED} SELECT {PART}, {ROW}, "
        f"CASE WHEN bad_utf8 THEN 'not_utf8' ELSE 'not_json' END, NULL, {RAW} "
        f"FROM {LINES} WHERE NOT is_object"
    )
    connection.execute(f"DELETE FROM {LINES} WHERE NOT is_object")


# Of a text without blanks around it: one parse, where json_type would be a second one.
_IS_OBJECT = f"json_valid({RAW}) AND starts_with({RAW}, '{{')"


class _Lines:
    """The lines of a part as Arrow batches; afterwards, where they ended and what was left over."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.row = part.next_row
        self.offset = part.offset
        self.end = part.offset
        self.tail = b""
        self.broken = False
        self.damaged = False
        self._head: str | None = None

    def may_be_one_document(self) -> bool:
        """Whether the first line begins a JSON array, or an object over several lines."""
        head = self.tail.decode("utf-8", "replace").strip() if self._head is None else self._head
        name = self.part.name.lower().removesuffix(".gz")
        return head.startswith("[") or (name.endswith(".json") and head == "{")

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        stream = Stream(self.part.path, self.part.offset)
        self.offset = stream.position
        held: list[bytes] = []
        for block in stream.blocks():
            cut = block.rfind(b"\n")
            if cut < 0:
                held.append(block)
                continue
            chunk = b"".join([*held, block[:cut]])
            held = [block[cut + 1 :]]
            yield self._batch(chunk)
        self.tail = b"".join(held)
        self.offset = stream.position - len(self.tail)
        self.end = stream.position
        self.broken = stream.broken
        self.damaged = stream.damaged
        stream.close()

    def _batch(self, chunk: bytes) -> pa.RecordBatch:
        text, bad = _plain(chunk) or _trimmed(chunk)
        number = pa.array(np.full(len(text), self.part.number, np.int32))
        rows = pa.array(np.arange(self.row, self.row + len(text)))
        self.row += len(text)
        columns = [number, rows, text, bad]
        if text.type != pa.string_view():
            there = pc.not_equal(text, "")
            columns = [column.filter(there) for column in columns]
            columns[2] = columns[2].cast(pa.string_view())
        batch = pa.record_batch(columns, schema=_SCHEMA)
        if self._head is None and len(batch):
            self._head = str(batch.column(RAW)[0])
        return batch


def _trimmed(chunk: bytes) -> tuple[pa.Array, pa.Array]:
    """The lines of a chunk without the blanks around them, and which of them were no UTF-8."""
    lines = pc.split_pattern(pa.array([chunk], pa.large_binary()), b"\n").flatten()
    text, bad = decode(lines.cast(pa.large_binary()))
    return pc.utf8_trim_whitespace(text), bad


def _plain(chunk: bytes) -> tuple[pa.Array, pa.Array] | None:
    """The same without a copy, where nothing is to be trimmed but line breaks; None elsewhere."""
    data = np.frombuffer(chunk, np.uint8)
    if not 0 < len(data) < 2**31:
        return None
    ends = np.append(np.flatnonzero(data == ord("\n")), len(data))
    starts = np.append(0, ends[:-1] + 1)
    ends = ends - (data[ends - 1] == ord("\r"))
    lengths = ends - starts
    # A view of up to twelve bytes holds them itself; a blank may be longer than one byte.
    if lengths.min() <= 12:
        return None
    edges = np.concatenate([data[starts], data[ends - 1]])
    if edges.min() <= ord(" ") or edges.max() > 127:
        return None
    try:
        pa.array([chunk], pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return None
    views = np.zeros((len(starts), 4), np.int32)
    views[:, 0] = lengths
    views[:, 1] = data[starts[:, None] + np.arange(4)].view(np.int32)[:, 0]
    views[:, 3] = starts
    buffers = [None, pa.py_buffer(views), pa.py_buffer(chunk)]
    text = pa.Array.from_buffers(pa.string_view(), len(starts), buffers)
    return text, pa.array(np.zeros(len(starts), bool))


def _tail(
    connection: duckdb.DuckDBPyConnection,
    end: End,
    number: int,
    row: int,
    text: str,
    position: int,
    broken: bool,
) -> End:
    """Take what stood after the last line break: a row if it is whole, else kept as incomplete."""
    text = text.strip()
    whole = bool(text) and bool(
        connection.execute(
            "SELECT CASE WHEN json_valid($1) THEN json_type($1) = 'OBJECT' ELSE false END", [text]
        ).fetchall()[0][0]
    )
    if whole:
        connection.execute(
            f"INSERT INTO {LINES} VALUES (?, ?, ?, false, true)", [number, row, text]
        )
        end = End(offset=position, next_row=row + 1, terminated=False)
    if broken:
        raw = None if whole else text
        refuse(connection, _REFUSED, [(number, row + whole, "truncated_file", None, raw)])
    elif text and not whole:
        refuse(connection, _REFUSED, [(number, row, "incomplete", None, text)])
    return end


def _unwrap(
    connection: duckdb.DuckDBPyConnection,
    part: Part,
    ends: dict[int, End],
    tails: list[tuple[int, int, str, int, bool]],
) -> None:
    """Replace the lines of a file that is one JSON array, or one object over several lines."""
    stream = Stream(part.path)
    content = b"".join(stream.blocks()).decode("utf-8", "replace")
    end, broken = stream.position, stream.broken
    stream.close()
    kind = connection.execute(
        "SELECT CASE WHEN json_valid($1) THEN json_type($1) END", [content]
    ).fetchall()[0][0]
    if broken or kind not in ("ARRAY", "OBJECT"):
        return
    connection.execute(f"DELETE FROM {LINES} WHERE {PART} = ?", [part.number])
    tails[:] = [tail for tail in tails if tail[0] != part.number]
    wrapped = "from_json($2, '[\"JSON\"]')" if kind == "ARRAY" else "[$2::JSON]"
    connection.execute(
        f"INSERT INTO {LINES} SELECT $1, i, elements[i]::VARCHAR, false, "
        "json_type(elements[i]) = 'OBJECT' FROM "
        f"(SELECT {wrapped} AS elements), "
        "LATERAL unnest(range(1, len(elements) + 1)) AS t(i) ORDER BY i",
        [part.number, content],
    )
    rows = connection.execute(
        f"SELECT count(*) FROM {LINES} WHERE {PART} = ?", [part.number]
    ).fetchall()[0][0]
    # Such a file cannot be appended to: if it grows, it is another file.
    ends[part.number] = End(offset=end, next_row=rows + 1, terminated=False)


def _parse(connection: duckdb.DuckDBPyConnection, keys: Sequence[str]) -> None:
    """Split the objects into one text column per key, in one parse of each line.

    A view, for what is read once need not be written down before.
    """
    names = column_names(keys)
    plain = [key for key in keys if names[key] == key]
    structure = json.dumps(dict.fromkeys(plain, "VARCHAR"), ensure_ascii=False)
    parsed = f"from_json({RAW}, {engine.literal(structure)})" if plain else "NULL"
    columns = [f"parsed.{engine.identifier(key)}" for key in plain]
    columns += [
        f"json_extract_string({RAW}, {engine.json_path(key)}) AS {engine.identifier(name)}"
        for key, name in names.items()
        if name != key
    ]
    listed = "".join(f", {column}" for column in columns)
    connection.execute(
        f"CREATE OR REPLACE VIEW {_ROWS} AS SELECT {PART}, {ROW}, {RAW}{listed} "
        f"FROM (SELECT *, {parsed} AS parsed FROM {LINES})"
    )


def column_names(keys: Sequence[str]) -> dict[str, str]:
    """Column name of each key; SQL does not tell upper from lower case, JSON does."""
    names: dict[str, str] = {}
    taken: set[str] = {PART, ROW, RAW}
    for key in keys:
        # An SQL identifier has neither a NUL nor nothing in it.
        bare, count = key.replace("\0", "\ufffd"), 0
        name = bare
        while name.lower() in taken or not name:
            count += 1
            name = f"{bare}_{count}"
        taken.add(name.lower())
        names[key] = name
    return names


def _columns(keys: Sequence[str]) -> dict[str, StagedColumn]:
    return {
        name: StagedColumn(
            type="VARCHAR",
            text=engine.identifier(name),
            typed=engine.identifier(name),
            json=f"json_extract({RAW}, {engine.json_path(key)})",
        )
        for key, name in column_names(keys).items()
    }


def _infer(connection: duckdb.DuckDBPyConnection, keys: Sequence[str]) -> dict[str, StagedColumn]:
    found = engine.scalar(connection, f"SELECT json_group_structure({RAW}::JSON) FROM {LINES}")
    structures = json.loads(found) if found else {}
    columns = _columns(keys)
    for key, name in column_names(keys).items():
        structure = _settle(structures.get(key, "VARCHAR"))
        text = columns[name].text
        if isinstance(structure, str):
            dtype = structure
            typed = text if dtype in ("VARCHAR", "JSON") else f"TRY_CAST({text} AS {dtype})"
        else:
            dtype = _type_of(structure)
            typed = f"from_json({text}, {engine.literal(json.dumps(structure))})"
        columns[name] = replace(columns[name], type=dtype, typed=typed)
    return columns


def _settle(structure: Any) -> Any:
    """Turn an inferred JSON structure into one without types that the lake cannot hold."""
    if isinstance(structure, dict):
        nameless = not structure or any(not key or "\0" in key for key in structure)
        if nameless or len({key.lower() for key in structure}) < len(structure):
            return "JSON"
        return {key: _settle(value) for key, value in structure.items()}
    if isinstance(structure, list):
        return [_settle(structure[0])] if structure else "JSON"
    return {"UBIGINT": "BIGINT", "HUGEINT": "DOUBLE", "NULL": "VARCHAR"}.get(structure, structure)


def _type_of(structure: Any) -> str:
    if isinstance(structure, dict):
        fields = ", ".join(f"{engine.identifier(k)} {_type_of(v)}" for k, v in structure.items())
        return f"STRUCT({fields})"
    if isinstance(structure, list):
        return f"{_type_of(structure[0])}[]"
    return str(structure)


importer = Importer(
    name="jsonl",
    suffixes=(".jsonl", ".ndjson", ".json"),
    grows=True,
    stage=stage,
)
