"""Records for Argilla: a JSON array, texts as ``fields``, all else as ``metadata``.

A record's ``id`` is the ``request_id``, by which the responses find their inference when they come
back. Values are lost as in JSON lines; fields and metadata have no nulls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.types as pt

from workbench.formats import Format
from workbench.formats._documents import write_array

_KEY = "request_id"


def _write(file: BinaryIO, reader: pa.RecordBatchReader, metadata: Mapping[str, str]) -> int:
    texts = {
        field.name
        for field in reader.schema
        if (pt.is_string(field.type) or pt.is_large_string(field.type))
        and not (field.name.endswith("_id") or field.name == "model_version")
    }

    def record(row: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in row.items() if value is not None and name != _KEY}
        made = {
            "fields": {name: value for name, value in given.items() if name in texts},
            "metadata": {name: value for name, value in given.items() if name not in texts},
        }
        return {"id": row[_KEY], **made} if row.get(_KEY) is not None else made

    return write_array(file, reader, record)


format = Format(
    suffix=".records.json",
    media_type="application/json",
    about="Records for Argilla; what is answered there comes back as feedback.",
    write=_write,
)
