"""Where the row of an inference is, by its id: found without reading all ids, or a filter of each.

A Bloom filter in each row group of the lake takes 15 milliseconds for ten million rows; in the
order of this table a few kilobytes are read.
"""

from __future__ import annotations

import duckdb


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``narrow.places`` of ``narrow.inferences``."""
    connection.execute(
        f"CREATE TABLE narrow.places AS SELECT {_of('request_id')} AS place, "
        "row_id FROM narrow.inferences ORDER BY place"
    )


def _of(request_id: str) -> str:
    return f"CAST(hash({request_id}) >> 32 AS UINTEGER)"


def replace(connection: duckdb.DuckDBPyConnection, old: str) -> None:
    """Put the places of new rows in place of those of rows in the relation `old`, in ``build``.

    They come after the others, in an order of their own.
    """
    connection.execute(
        f"DELETE FROM build.narrow.places WHERE row_id IN (SELECT row_id FROM {old})"
    )
    connection.execute("INSERT INTO build.narrow.places FROM narrow.places ORDER BY place")


def among(ids: str) -> str:
    """Query of numbers of rows of ``build``: those of the ids in a relation of them, and few more.

    It reads four bytes of each row, where a search for the ids would read all of each id.
    """
    named = f"SELECT {_of('named.id')} FROM {ids} named(id)"
    return f"SELECT row_id FROM build.narrow.places WHERE place IN ({named})"


def find(cursor: duckdb.DuckDBPyConnection, *request_ids: str) -> list[int]:
    """Numbers of rows, among them those of the ids that are there; very few others have a place."""
    places = ", ".join(_of(f"${n}::VARCHAR") for n in range(1, len(request_ids) + 1))
    found = cursor.execute(
        f"SELECT row_id FROM narrow.places WHERE place IN ({places})", [*request_ids]
    ).fetchall()
    return [number for (number,) in found]
