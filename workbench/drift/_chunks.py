"""Which chunk of time a row belongs to, and which chunks are the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.engine import identifier
from workbench.errors import ConfigError, suggest
from workbench.query import Build
from workbench.scratch import Scratch

RELATION = "enriched_inferences"

#: Chunks by calendar, in UTC.
UNITS = ("day", "week", "month", "quarter", "year")

Every = str | int


def checked(every: Every) -> Every:
    """`every` as a unit of `UNITS` or a number of rows.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    text = str(every).strip().lower()
    if text.isdecimal() and int(text) > 0:
        return int(text)
    if text in UNITS:
        return text
    raise ConfigError(
        f"There are no chunks of {every!r}.",
        suggest(text, UNITS) or f"Use one of {', '.join(UNITS)}, or a number of rows.",
    )


def bucket(unit: str, time: str) -> str:
    """SQL of the start of the chunk of a calendar `unit` that a time is in, in UTC."""
    # Without the calendar of the time's zone, which takes ten times as long.
    return f"date_trunc('{unit}', make_timestamp(epoch_us({time})))"


def chunked(
    build: Build,
    columns: Mapping[str, str],
    every: Every,
    reference: str | None,
    where: str | None,
) -> str:
    """Query of the rows with their ``chunk``, whether it is ``reference``, and `columns`.

    Parameters
    ----------
    build
        The build to read.
    columns
        SQL by name.
    every
        As `checked` returns it. A number cuts the rows in the order of ``ts``, then of
        ``request_id``; where no row has a time, in the order of the log. What is left over is a
        shorter last chunk. Chunks by calendar leave out rows without a time.
    reference
        SQL condition of the rows to compare with: they are cut into chunks of their own. None for
        the first third of the chunks.
    where
        SQL condition of the rows to look at.
    """
    condition = build.expression(where) if where and where.strip() else None
    chosen = build.expression(reference) if reference and reference.strip() else None
    conditions = [sql for sql in (condition, chosen) if sql]
    source = build.narrowest(RELATION, *columns.values(), *conditions)
    place, joined = "request_id", ""
    if isinstance(every, int) and not _has_clock(build):
        place = "row_id"
        joined = (
            "" if source.startswith("narrow.")
            else f" JOIN (SELECT request_id, row_id FROM narrow.{RELATION}) USING (request_id)"
        )  # fmt: skip
    listed = "".join(f", {sql} AS {identifier(name)}" for name, sql in columns.items())
    filtered = f" WHERE {condition}" if condition else ""
    read = (
        f"SELECT ts AS row_ts, {place} AS row_place, "
        f"{f'coalesce({chosen}, false)' if chosen else 'false'} AS row_chosen{listed} "
        f"FROM {source}{joined}{filtered}"
    )
    names = "".join(f", {identifier(name)}" for name in columns)
    if isinstance(every, int):
        numbered = (
            "SELECT *, (row_number() OVER (PARTITION BY row_chosen ORDER BY row_ts, row_place) "
            f"- 1) // {every} AS row_bucket FROM ({read})"
        )
        ranked = (
            "SELECT *, dense_rank() OVER (ORDER BY row_chosen DESC, row_bucket) - 1 AS chunk "
            f"FROM ({numbered})"
        )
        n_chunks = "max(chunk) OVER () + 1"
    else:
        # The few chunks are put in order before they are given to the rows: to sort those takes
        # longer than all else here.
        timed = f"SELECT *, {bucket(every, 'row_ts')} AS row_bucket FROM ({read})"
        found = f"SELECT DISTINCT row_chosen, row_bucket FROM ({timed}) WHERE row_ts IS NOT NULL"
        ranked = (
            f"SELECT * FROM ({timed}) JOIN (SELECT *, row_number() OVER (ORDER BY row_chosen DESC, "
            "row_bucket) - 1 AS chunk, count(*) OVER () AS n_chunks "
            f"FROM ({found})) USING (row_chosen, row_bucket)"
        )
        n_chunks = "n_chunks"
    is_reference = "row_chosen" if chosen else f"chunk < greatest(({n_chunks}) // 3, 1)"
    return f"SELECT chunk, {is_reference} AS reference, row_ts{names} FROM ({ranked})"


def _has_clock(build: Build) -> bool:
    return bool(build.count(f"SELECT 1 AS one FROM narrow.{RELATION} WHERE ts IS NOT NULL LIMIT 1"))


def summaries(rows: Scratch, every: Every) -> list[dict[str, Any]]:
    """What is known of each chunk: its number, period, first and last time, and rows.

    ``whole`` is false for the shorter chunk that is left over at the end of a period.
    """
    found = rows.run(
        "SELECT chunk, reference, min(row_ts) AS first, max(row_ts) AS last, count(*) AS n "
        f"FROM {rows.name} GROUP BY ALL ORDER BY chunk"
    ).to_pylist()
    return [{**row, "whole": not isinstance(every, int) or row["n"] == every} for row in found]
