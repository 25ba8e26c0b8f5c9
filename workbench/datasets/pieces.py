"""Reads the texts of what was chosen piece by piece, so that they fit into memory.

The engine may build the hash table of a join of either side, and texts can be far larger than
memory. The view ``texts`` has those of the table ``wanted`` alone, which is filled for one piece
after the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa

#: Characters of texts in one piece, about.
CHARACTERS = 40_000_000


def pieces(connection: duckdb.DuckDBPyConnection) -> Iterator[int]:
    """Fill the tables ``piece``, of rows of ``chosen``, and ``wanted`` with one after the other.

    In the end all texts of the slice are wanted again.
    """
    found = connection.execute("SELECT DISTINCT piece FROM chosen ORDER BY piece").fetchall()
    for (number,) in found:
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE piece AS SELECT * FROM chosen WHERE piece = {number}"
        )
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE wanted AS SELECT request_id FROM piece "
            "UNION SELECT other_id FROM piece WHERE other_id IS NOT NULL"
        )
        yield int(number)
    connection.execute("CREATE OR REPLACE TEMP TABLE wanted AS SELECT request_id FROM slice_ids")


def stream(connection: duckdb.DuckDBPyConnection, sql: str, rows: int) -> pa.RecordBatchReader:
    """Stream a query over the table ``piece`` for all pieces, in batches of `rows`.

    It runs on the connection itself, whose temporary tables no cursor of it would see: until the
    stream is read to its end nothing else may run there.
    """
    numbers = pieces(connection)
    next(numbers)
    first = connection.execute(sql).to_arrow_reader(rows)

    def batches() -> Iterator[pa.RecordBatch]:
        yield from first
        for _ in numbers:
            yield from connection.execute(sql).to_arrow_reader(rows)

    return pa.RecordBatchReader.from_batches(first.schema, batches())
