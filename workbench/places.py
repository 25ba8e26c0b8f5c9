"""Where the row of an inference is, by its id: found without reading all ids, or a filter of each.

A Bloom filter in each row group of the lake takes 15 milliseconds for ten million rows; in the
order of this table a few kilobytes are read.
"""

from __future__ import annotations

import duckdb


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``narrow.places`` of ``narrow.inferences``."""
    connection.execute(
        "CREATE TABLE narrow.places AS SELECT CAST(hash(request_id) >> 32 AS UINTEGER) AS place, "
        "row_id FROM narrow.inferences ORDER BY place"
    )


def replace(connection: duckdb.DuckDBPyConnection, old: str) -> None:
    """Put the places of new rows in place of those of rows in the relation `old`, in ``build``.

    They come after the others, in an order of their own.
    """
    connection.execute(
        f"DELETE FROM build.narrow.places WHERE row_id IN (SELECT row_id FROM {old})"
    )
    connection.execute("INSERT INTO build.narrow.places FROM narrow.places ORDER BY place")


def find(cursor: duckdb.DuckDBPyConnection, request_id: str) -> list[int]:
    """Numbers of rows, among them that of an id if it is there; very few others have its place."""
    found = cursor.execute(
        "SELECT row_id FROM narrow.places WHERE place = CAST(hash($1::VARCHAR) >> 32 AS UINTEGER)",
        [request_id],
    ).fetchall()
    return [number for (number,) in found]
