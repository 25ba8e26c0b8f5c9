"""Files that are one JSON array, written object by object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO

import pyarrow as pa

from workbench.formats._values import json_column, json_text, parts


def write_array(
    file: BinaryIO, reader: pa.RecordBatchReader, document: Callable[[dict[str, Any]], Any]
) -> int:
    """Write what `document` makes of each row, and return the number of rows."""
    names = reader.schema.names
    rows = 0
    file.write(b"[")
    for part in parts(reader):
        columns = [json_column(column) for column in part.columns]
        for row in zip(*columns, strict=True):
            text = json_text(document(dict(zip(names, row, strict=True))))
            file.write((",\n" if rows else "\n").encode() + text.encode("utf-8"))
            rows += 1
    file.write(b"\n]\n")
    return rows
