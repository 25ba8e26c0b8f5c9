"""JSON lines: one object per row in UTF-8.

What is lost: NaN and infinities are null; times, dates and intervals are text (ISO 8601, seconds
for a duration), bytes are Base64; a decimal with a fraction is rounded to a double. A reader that
takes whole numbers for doubles loses those beyond 2**53.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

import pyarrow as pa

from workbench.formats import Format
from workbench.formats._values import json_column, json_text, parts


def _write(file: BinaryIO, reader: pa.RecordBatchReader, metadata: Mapping[str, str]) -> int:
    names = reader.schema.names
    rows = 0
    for part in parts(reader):
        columns = [json_column(column) for column in part.columns]
        lines = [
            json_text(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)
        ]
        file.write(("\n".join(lines) + "\n").encode("utf-8"))
        rows += len(lines)
    return rows


format = Format(
    suffix=".jsonl",
    media_type="application/x-ndjson",
    about="One JSON object per line; for scripts and for fine-tuning tools.",
    write=_write,
)
