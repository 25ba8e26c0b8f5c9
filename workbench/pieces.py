"""A large relation in pieces, so that what is made of one piece fits into memory.

A chain of joins, and the table that is written of it, cannot spill all of what they hold. A build
cuts its rows by ``row_id``. What needs texts is cut by time, for files are written in the order of
time, and the texts of a piece are then in few of their row groups.
"""

from __future__ import annotations

import math

import duckdb

from workbench import engine

#: Variables of the first row of the piece whose turn it is, and of the one after its last.
FIRST, END = "first_row", "end_row"
#: Variable of the first and the last time of the rows of the enriched views; NULL for all.
TIMES = "wanted_times"
#: Memory that a row takes beside which its texts are laid.
_ROW_BYTES = 600
#: Part of the memory that such rows may take: the rest is for the reader of the texts.
_SHARE = 0.25


def cut(
    connection: duckdb.DuckDBPyConnection, relation: str, row_bytes: int, by: str = "row_id"
) -> int:
    """Cut a relation by a number of its rows; how many pieces there are.

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
            f"SET VARIABLE cuts = (SELECT [0] || approx_quantile({by}, {inner}) || [{1 << 62}] "
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


def in_time(time: str) -> str:
    """SQL of whether an inference is of the times that are wanted, or of none.

    A condition on a column of a file spares most of its row groups, where a join with the rows that
    are wanted does not.
    """
    first, last = (f"getvariable('{TIMES}')[{number}]" for number in (1, 2))
    return f"({first} IS NULL OR {time} IS NULL OR {time} BETWEEN {first} AND {last})"


def by_time(connection: duckdb.DuckDBPyConnection, relation: str) -> list[tuple[str, str]]:
    """Cut a relation with a column ``ts``; for each piece a condition and the value of `TIMES`.

    Both are SQL. There is nothing to cut, and no piece, where all rows fit into memory at once.
    """
    rows = engine.scalar(connection, f"SELECT count(*) FROM {relation}")
    n = math.ceil(rows * _ROW_BYTES / (_SHARE * engine.memory(connection)))
    if n < 2:
        return []
    parts = [piece / n for piece in range(1, n)]
    cuts = engine.scalar(
        connection,
        f"SELECT approx_quantile(epoch_us(ts), {parts}) FROM {relation} WHERE isfinite(ts)",
    )
    edges = [f"make_timestamptz({cut})" for cut in dict.fromkeys(cuts or ())]
    firsts = ["'-infinity'::TIMESTAMPTZ", *edges]
    lasts = [*(f"{edge} - INTERVAL 1 MICROSECOND" for edge in edges), "'infinity'::TIMESTAMPTZ"]
    timed = [
        (f"ts BETWEEN {first} AND {last}", f"[{first}, {last}]")
        for first, last in zip(firsts, lasts, strict=True)
    ]
    return [*timed, ("ts IS NULL", "['infinity'::TIMESTAMPTZ, '-infinity'::TIMESTAMPTZ]")]
