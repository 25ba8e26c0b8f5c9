"""Rows held as a drift looks at them, without a build."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from workbench.drift._columns import Column
from workbench.drift._drift import compare
from workbench.scratch import Scratch, held_table


@contextmanager
def held(values: Sequence[Any], chunks: Sequence[int], reference: int = 1) -> Iterator[Scratch]:
    """The column ``v``, with the chunks below `reference` as the reference."""
    connection = duckdb.connect()
    connection.register(
        "given",
        pa.table(
            {
                "chunk": pa.array(chunks, pa.int64()),
                "reference": [chunk < reference for chunk in chunks],
                "v": values if isinstance(values, pa.Array) else pa.array(values),
            }
        ),
    )
    connection.execute("CREATE TEMP TABLE scratch AS FROM given")
    try:
        yield Scratch(connection)
    finally:
        connection.close()


def distances(
    values: Sequence[Any], chunks: Sequence[int], *methods: str, reference: int = 1
) -> dict[str, dict[int, dict[str, Any]]]:
    """Values by method and chunk."""
    with held(values, chunks, reference) as rows:
        found = compare(rows, held_table(rows), "v", Column("v", "v", methods))
    return {method: {k: dict(v) for k, v in by_chunk.items()} for method, by_chunk in found.items()}
