"""CSV in UTF-8 with a header; nested values are JSON text.

A text cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return gets a leading
apostrophe, so that no spreadsheet takes it for a formula; a plain number, such as -1, does not.
NULL is an empty cell, an empty text is ``""``. Parquet and JSON lines keep texts as they are.

What is lost: the types, which a reader has to guess; that apostrophe; within nested values what
JSON cannot hold. Numbers read back exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.types as pt

from workbench.formats import Format
from workbench.formats._values import parts, text_column

_FORMULA = r"^[=+\-@\t\r]"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def _is_text(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind))


def _is_plain(kind: pa.DataType) -> bool:
    return bool(
        pt.is_integer(kind) or pt.is_floating(kind) or pt.is_boolean(kind) or pt.is_temporal(kind)
    ) and not (pt.is_duration(kind) or pt.is_interval(kind))


def _safe(column: pa.Array) -> pa.Array:
    quoted = pc.binary_join_element_wise(
        pa.scalar("'", column.type), column, pa.scalar("", column.type)
    )
    suspect = pc.match_substring_regex(column, _FORMULA)
    return pc.if_else(
        pc.and_not(suspect, pc.match_substring_regex(column, _NUMBER)), quoted, column
    )


def _cells(column: pa.Array) -> pa.Array:
    if _is_text(column.type):
        return _safe(column)
    return column if _is_plain(column.type) else text_column(column)


def _write(file: BinaryIO, reader: pa.RecordBatchReader, metadata: Mapping[str, str]) -> int:
    schema = pa.schema(
        pa.field(
            _safe(pa.array([entry.name]))[0].as_py(),
            entry.type if _is_text(entry.type) or _is_plain(entry.type) else pa.string(),
        )
        for entry in reader.schema
    )
    rows = 0
    with pacsv.CSVWriter(file, schema) as writer:
        for part in parts(reader):
            cells = [_cells(column) for column in part.columns]
            writer.write_batch(pa.record_batch(cells, schema=schema))
            rows += part.num_rows
    return rows


format = Format(
    suffix=".csv",
    media_type="text/csv",
    about="For spreadsheets; texts that look like formulas get a leading apostrophe.",
    write=_write,
)
