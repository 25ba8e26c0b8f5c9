"""Reads the texts of what was chosen piece by piece, so that they fit into memory.

The engine may build the hash table of a join of either side, and texts can be far larger than
memory. The view ``texts`` has those of the table ``wanted`` alone, which is filled for one piece
after the other, and of the files only what may have them is read.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa

from workbench import progress
from workbench.pieces import TIMES

#: Characters of texts in one piece, about.
CHARACTERS = 10_000_000


def pieces(connection: duckdb.DuckDBPyConnection) -> Iterator[int]:
    """Read the pieces of ``chosen`` one after the other.

    In the end all texts of the slice are wanted again.
    """
    found = connection.execute("SELECT DISTINCT piece FROM chosen ORDER BY piece").fetchall()
    progress.steps(len(found))
    for (number,) in found:
        progress.step()
        read(connection, f"SELECT * FROM chosen WHERE piece = {number}")
        yield int(number)
    connection.execute("CREATE OR REPLACE TEMP TABLE wanted AS SELECT request_id FROM slice_ids")
    connection.execute(f"RESET VARIABLE {TIMES}")


def read(connection: duckdb.DuckDBPyConnection, rows: str) -> None:
    """Fill the tables ``piece``, with the rows of a query, and ``wanted``."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE piece AS {rows}")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE wanted AS SELECT request_id FROM piece "
        "UNION SELECT other_id FROM piece WHERE other_id IS NOT NULL"
    )
    connection.execute(
        f"SET VARIABLE {TIMES} = (SELECT [min(ts), max(ts)] "
        "FROM build.narrow.enriched_inferences SEMI JOIN wanted USING (request_id))"
    )


def stream(connection: duckdb.DuckDBPyConnection, sql: str, rows: int) -> pa.RecordBatchReader:
    """Stream a query over the table ``piece`` for all pieces, in batches of `rows`.

    It runs on the connection itself, whose temporary tables no cursor of it would see: until the
    stream is read to its end nothing else may run there.
    """
    numbers = progress.carried(pieces(connection))
    next(numbers)
    first = connection.execute(sql).to_arrow_reader(rows)

    def batches() -> Iterator[pa.RecordBatch]:
        yield from first
        for _ in numbers:
            yield from connection.execute(sql).to_arrow_reader(rows)

    return pa.RecordBatchReader.from_batches(first.schema, batches())
