"""CSV with a header line, plain or gzip; separator `,` `;` tab or `|`, quotes as in RFC 4180."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from workbench import engine
from workbench.errors import DataError
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
from workbench.importers._bytes import BLOCK_BYTES, DAMAGED, Stream, decode

_REFUSED, _ROWS = "csv_refused", "csv_rows"
_SEPARATORS = ",\t;|"
_LARGEST_BLOCK = 2**31 - 1

# A text becomes a number only where no information is lost: 007 and 1_000 stay texts.
_NUMBER = r"^\s*[+-]?(0|[1-9]\d*)(\.\d*)?([eE][+-]?\d+)?\s*$|^\s*[+-]?\.\d+\s*$"
_TIME = r"^\s*\d{4}-\d{2}-\d{2}([ T].*)?$"


def stage(connection: duckdb.DuckDBPyConnection, parts: Sequence[Part], table: str = "") -> Staged:
    """Stage the rows of files; the same for every table."""
    refused_table(connection, _REFUSED)
    connection.execute(
        f"CREATE OR REPLACE TABLE {_ROWS} ({PART} INTEGER, {ROW} BIGINT, {RAW} VARCHAR)"
    )
    columns: list[str] = []
    ends: dict[int, End] = {}
    for part in parts:
        try:
            names, ends[part.number] = _read(connection, part, BLOCK_BYTES * 8)
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error):
                raise DataError(
                    f"{part.name} cannot be read as CSV: {error}.", "Check its quotes."
                ) from error
            connection.execute(f"DELETE FROM {_ROWS} WHERE {PART} = {part.number}")
            connection.execute(f"DELETE FROM {_REFUSED} WHERE {PART} = {part.number}")
            names, ends[part.number] = _read(connection, part, _LARGEST_BLOCK)
        columns += [name for name in names if name not in columns]
    return Staged(
        relation=_ROWS,
        refused=_REFUSED,
        columns={name: _column(name, "VARCHAR") for name in columns},
        infer=lambda: _infer(connection, columns),
        native=False,
        ends=ends,
    )


def _read(
    connection: duckdb.DuckDBPyConnection, part: Part, block_bytes: int
) -> tuple[list[str], End]:
    header = _Header(part.path)
    if not header.names:
        return [], End(offset=0, next_row=1)
    _add_columns(connection, header.names)
    start = max(part.offset, header.offset)
    stream = Stream(part.path, start)
    source = _Records(stream)
    first_row = max(part.next_row, 2)
    bad: dict[int, arrow_csv.InvalidRow] = {}

    def on_invalid(row: arrow_csv.InvalidRow) -> str:
        bad[row.number] = row
        return "skip"

    end_row = first_row
    if source.peek():
        batches = arrow_csv.open_csv(
            pa.PythonFile(source, mode="r"),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=block_bytes, column_names=header.names
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=header.separator,
                newlines_in_values=True,
                invalid_row_handler=on_invalid,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(header.names, pa.binary()),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
                check_utf8=False,
            ),
        )
        rows = _Batches(batches, header.names, part.number, first_row, bad)
        table = pa.RecordBatchReader.from_batches(rows.schema, iter(rows))
        with engine.registered(connection, "csv_batches", table):
            connection.execute(f"INSERT INTO {_ROWS} BY NAME SELECT * FROM csv_batches")
        end_row = rows.next_row + len([number for number in bad if number >= rows.seen])
        refuse(connection, _REFUSED, rows.not_utf8)
    refuse(
        connection,
        _REFUSED,
        [
            (part.number, first_row - 1 + n, "wrong_column_count", None, row.text)
            for n, row in bad.items()
        ],
    )
    if source.broken:
        tail = source.tail.decode("utf-8", "replace") or None
        refuse(connection, _REFUSED, [(part.number, end_row, "truncated_file", None, tail)])
    if stream.damaged:
        stream.close()
        for table in (_ROWS, _REFUSED):
            connection.execute(f"DELETE FROM {table} WHERE {PART} = {part.number}")
        refuse(connection, _REFUSED, [(part.number, None, "unreadable_file", None, DAMAGED)])
        return header.names, End(offset=0, next_row=1)
    end = End(offset=source.position, next_row=end_row, terminated=source.terminated)
    stream.close()
    return header.names, end


def header_of(path: Path) -> list[str]:
    """Names of the columns of a file; none where it is empty."""
    return _Header(path).names


class _Header:
    """The header of a file: its names, its separator, and where it ends."""

    def __init__(self, path: Path) -> None:
        stream = Stream(path)
        start = stream.position
        text = b""
        for block in stream.blocks():
            text += block
            cut = text.find(b"\n")
            while cut >= 0 and text[: cut + 1].count(b'"') % 2:
                cut = text.find(b"\n", cut + 1)
            if cut >= 0:
                text = text[: cut + 1]
                break
        stream.close()
        self.offset = start + len(text)
        line = text.decode("utf-8", "replace")
        self.separator = max(_SEPARATORS, key=line.count)
        rows = list(csv.reader(io.StringIO(line), delimiter=self.separator))
        cells = [cell.strip() for cell in rows[0]] if rows else []
        self.names = _unique(cells) if any(cells) else []


def _unique(cells: Sequence[str]) -> list[str]:
    """Column names: a nameless column is called by its position, a repeated name is numbered."""
    names: list[str] = []
    taken = {PART, ROW, RAW}
    for position, cell in enumerate(cells):
        name = base = cell or f"column{position}"
        for count in itertools.count(1):
            if name.lower() not in taken:
                break
            name = f"{base}_{count}"
        taken.add(name.lower())
        names.append(name)
    return names


class _Records(io.RawIOBase):
    """Bytes for the CSV parser. Where a file breaks off, the row in the middle is held back."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._ahead = b""
        self._started = False
        self.tail = b""
        self.terminated = True
        self.position = stream.position

    @property
    def broken(self) -> bool:
        """Whether the file breaks off."""
        return self._stream.broken

    def peek(self) -> bool:
        """Whether there is anything but blank lines to parse."""
        self._fill()
        return bool(self._ahead.strip())

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes; fewer only at the end, or the parser would see short blocks."""
        taken: list[bytes] = []
        wanted = size if size >= 0 else _LARGEST_BLOCK
        while wanted > 0:
            self._fill()
            if not self._ahead:
                break
            block, self._ahead = self._ahead[:wanted], self._ahead[wanted:]
            wanted -= len(block)
            taken.append(block)
        result = b"".join(taken)
        self.position += len(result)
        if result:
            self.terminated = result.endswith(b"\n")
        return result

    def _fill(self) -> None:
        """Look one line break ahead, so that a broken-off last row is never given out."""
        while not self._ahead:
            block = self._stream.read(BLOCK_BYTES)
            if not block:
                if self.tail and not self._stream.broken:
                    self._ahead, self.tail = self.tail, b""
                return
            if not self._stream.gzip:
                self._ahead = block
                return
            block = self.tail + block
            cut = block.rfind(b"\n") + 1
            self._ahead, self.tail = block[:cut], block[cut:]


class _Batches:
    """Parsed batches as text with part and row numbers; rows that are not UTF-8 are set aside."""

    def __init__(
        self,
        batches: arrow_csv.CSVStreamingReader,
        names: Sequence[str],
        part: int,
        first_row: int,
        bad: Mapping[int, object],
    ) -> None:
        self._batches = batches
        self._names = names
        self._part = part
        self._first_row = first_row
        self._bad = bad
        self.seen = 1
        self.not_utf8: list[tuple[int, int, str, None, str]] = []
        self.schema = pa.schema(
            [(PART, pa.int32()), (ROW, pa.int64()), *((name, pa.large_string()) for name in names)]
        )

    @property
    def next_row(self) -> int:
        """Number of the row after the last one that was given out."""
        return self._first_row - 1 + self.seen

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            numbers = self._numbers(len(batch))
            columns, wrong = [], None
            for column in batch.columns:
                text, bad = decode(column.cast(pa.large_binary()))
                columns.append(text)
                if pc.any(bad).as_py():
                    wrong = bad if wrong is None else pc.or_(wrong, bad)
            part = pa.nulls(len(batch), pa.int32()).fill_null(self._part)
            rows = pa.record_batch([part, numbers, *columns], schema=self.schema)
            if wrong is not None:
                self._set_aside(rows.filter(wrong))
                rows = rows.filter(pc.invert(wrong))
            yield rows

    def _numbers(self, count: int) -> pa.Array:
        numbers: list[int] = []
        while len(numbers) < count:
            if self.seen not in self._bad:
                numbers.append(self._first_row - 1 + self.seen)
            self.seen += 1
        return pa.array(numbers, pa.int64())

    def _set_aside(self, rows: pa.RecordBatch) -> None:
        for row in rows.to_pylist():
            number = row.pop(ROW)
            del row[PART]
            raw = json.dumps(row, ensure_ascii=False)
            self.not_utf8.append((self._part, number, "not_utf8", None, raw))


def _add_columns(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> None:
    present = {name.lower() for name in engine.columns_of(connection, _ROWS)}
    for name in names:
        if name.lower() not in present:
            connection.execute(f"ALTER TABLE {_ROWS} ADD COLUMN {engine.identifier(name)} VARCHAR")


def _column(name: str, dtype: str) -> StagedColumn:
    text = engine.identifier(name)
    typed = text if dtype == "VARCHAR" else f"TRY_CAST({text} AS {dtype})"
    return StagedColumn(type=dtype, text=text, typed=typed, json=f"to_json({typed})")


def _infer(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> dict[str, StagedColumn]:
    tests = []
    for name in names:
        column = engine.identifier(name)
        given = f"FILTER ({column} IS NOT NULL)"
        number = f"regexp_matches({column}, {engine.literal(_NUMBER)})"
        whole = f"TRY_CAST({column} AS BIGINT) IS NOT NULL AND NOT contains({column}, '.')"
        time = f"regexp_matches({column}, {engine.literal(_TIME)})"
        tests.append(
            f"CASE WHEN count({column}) = 0 THEN 'VARCHAR' "
            f"WHEN bool_and({number} AND {whole}) {given} THEN 'BIGINT' "
            f"WHEN bool_and({number} OR lower({column}) = 'nan') {given} THEN 'DOUBLE' "
            f"WHEN bool_and(lower({column}) IN ('true', 'false')) {given} THEN 'BOOLEAN' "
            f"WHEN bool_and({time} AND TRY_CAST({column} AS TIMESTAMPTZ) IS NOT NULL) {given} "
            "THEN 'TIMESTAMPTZ' ELSE 'VARCHAR' END"
        )
    if not tests:
        return {}
    row = connection.execute(f"SELECT {', '.join(tests)} FROM {_ROWS}").fetchone() or ()
    types = ["TIMESTAMP WITH TIME ZONE" if t == "TIMESTAMPTZ" else t for t in row]
    return {name: _column(name, dtype) for name, dtype in zip(names, types, strict=True)}


importer = Importer(
    name="csv",
    suffixes=(".csv", ".tsv", ".tab"),
    grows=True,
    stage=stage,
)
