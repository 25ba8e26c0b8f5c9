"""Arrow values as plain JSON values and texts."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

#: As Python objects rows take several times their size: few at a time.
_ROWS = 2_000


def parts(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Cut the batches of `reader` into small ones."""
    for batch in reader:
        for start in range(0, batch.num_rows, _ROWS):
            yield batch.slice(start, _ROWS)


def json_value(value: Any) -> Any:
    """`value` as JSON can hold it: times as ISO 8601 in UTC, what is not finite as null."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: json_value(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return [json_value(entry) for entry in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return str(value)


def json_column(column: pa.Array) -> list[Any]:
    """Turn the values of a column into what JSON can hold."""
    kind = column.type
    if pt.is_timestamp(kind):
        return _times(column)
    if pt.is_struct(kind):
        return _structs(column)
    values: list[Any] = column.to_pylist()
    if pt.is_string(kind) or pt.is_large_string(kind) or pt.is_integer(kind) or pt.is_boolean(kind):
        return values
    return [json_value(value) for value in values]


def _times(column: pa.Array) -> list[Any]:
    # All at once: making a Python object of each would be most of the work of an export. Without
    # its zone, which is UTC, a column needs no time zone database.
    plain = column.cast(pa.timestamp(column.type.unit))
    texts: list[Any] = pc.strftime(plain, format="%Y-%m-%dT%H:%M:%S").to_pylist()
    if column.type.tz is None:
        return texts
    return [None if text is None else f"{text}+00:00" for text in texts]


def _structs(column: pa.Array) -> list[Any]:
    names = [field.name for field in column.type]
    parts = [json_column(column.field(i)) for i in range(len(names))]
    known = column.is_valid().to_pylist()
    rows = zip(*parts, strict=True) if parts else iter([()] * len(known))
    return [
        dict(zip(names, row, strict=True)) if there else None
        for row, there in zip(rows, known, strict=True)
    ]


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def json_text(value: Any) -> str:
    """Write `value` as one line of JSON."""
    return _encode(value)


def text_column(column: pa.Array) -> pa.Array:
    """Turn a column into text: nested values as JSON, others as Python writes them."""
    texts = [
        None
        if value is None
        else json_text(value)
        if isinstance(value, dict | list)
        else str(value)
        for value in json_column(column)
    ]
    return pa.array(texts, pa.string())
