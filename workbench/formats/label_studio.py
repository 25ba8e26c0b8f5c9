"""Tasks for Label Studio: a JSON array with the row as the ``data`` of a task.

Values are lost as in JSON lines. Take the column ``request_id``: by it the annotations find their
inference when they come back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

import pyarrow as pa

from workbench.formats import Format
from workbench.formats._documents import write_array


def _write(file: BinaryIO, reader: pa.RecordBatchReader, metadata: Mapping[str, str]) -> int:
    return write_array(file, reader, lambda row: {"data": row})


format = Format(
    suffix=".tasks.json",
    media_type="application/json",
    about="Tasks for Label Studio; what is annotated there comes back as feedback.",
    write=_write,
)
