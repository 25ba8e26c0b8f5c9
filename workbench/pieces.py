"""A large relation in pieces by ``row_id``, so that what is made of one piece fits into memory.

A chain of joins, and the table that is written of it, cannot spill all of what they hold.
"""

from __future__ import annotations

import math

import duckdb

from workbench import engine

#: Variables of the first row of the piece whose turn it is, and of the one after its last.
FIRST, END = "first_row", "end_row"


def cut(connection: duckdb.DuckDBPyConnection, relation: str, row_bytes: int) -> int:
    """Cut a relation; the number of pieces.

    Parameters
    ----------
    row_bytes
        Memory that a row takes. The rows of a piece may take all that there is.
    """
    rows = engine.scalar(connection, f"SELECT count(*) FROM {relation}")
    pieces = math.ceil(rows * row_bytes / engine.memory(connection)) or 1
    if pieces > 1:
        # Where exactly they are cut does not matter, as long as it is the same for all.
        inner = [piece / pieces for piece in range(1, pieces)]
        connection.execute(
            f"SET VARIABLE cuts = (SELECT [0] || approx_quantile(row_id, {inner}) || [{1 << 62}] "
            f"FROM {relation})"
        )
    return pieces


def in_turn(statement: str, pieces: int) -> list[str]:
    """SQL that runs a statement for one piece after the other."""
    return [
        sql
        for piece in range(1, pieces + 1)
        for sql in (
            f"SET VARIABLE {FIRST} = getvariable('cuts')[{piece}]",
            f"SET VARIABLE {END} = getvariable('cuts')[{piece + 1}]",
            statement,
        )
    ]
