"""Parquet: exact types and nested columns; the description of the slice is in the file.

What is lost: a calendar interval is text, for Parquet has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.formats import Format
from workbench.formats._values import text_column


def _write(file: BinaryIO, reader: pa.RecordBatchReader, metadata: Mapping[str, str]) -> int:
    # Parquet has no calendar interval.
    odd = [i for i, entry in enumerate(reader.schema) if entry.type == pa.month_day_nano_interval()]
    schema = reader.schema
    for index in odd:
        schema = schema.set(index, pa.field(schema.field(index).name, pa.string()))
    rows = 0
    with pq.ParquetWriter(file, schema.with_metadata(dict(metadata)), compression="zstd") as writer:
        for batch in reader:
            columns = list(batch.columns)
            for index in odd:
                columns[index] = text_column(columns[index])
            writer.write_batch(pa.record_batch(columns, schema=writer.schema))
            rows += batch.num_rows
    return rows


format = Format(
    suffix=".parquet",
    media_type="application/vnd.apache.parquet",
    about="Keeps exact types and nested columns; for training and for other tools.",
    write=_write,
)
