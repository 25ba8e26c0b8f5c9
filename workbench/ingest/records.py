"""What the lake's register holds of the readings of files, and which of them count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Record:
    """What the lake's register holds of one reading of a file.

    Attributes
    ----------
    ingest_id
        Number that the rows of the reading carry.
    source_file
        What the file was called.
    mapping_id
        The mapping under which it was read.
    sha, size
        SHA-256 and number of the file's uncompressed bytes at that time.
    stat_size, mtime_ns
        Size of the file itself, and when it was last changed: a file of which both are as they
        were is not looked into.
    offset_end, next_row, terminated
        Where reading ended; see `workbench.importers.End`.
    previous
        The reading that this one continues, or that read the same content under another name.
    replaces
        Readings whose rows this one takes the place of.
    in_place
        Whether the rows stay in the file: the lake has none of them.
    """

    ingest_id: int
    source_file: str
    mapping_id: str
    sha: str
    size: int
    stat_size: int
    mtime_ns: int
    offset_end: int
    next_row: int
    terminated: bool
    previous: int | None
    replaces: Sequence[int]
    in_place: bool = False


def live(records: Sequence[Record]) -> list[Record]:
    """The readings whose rows count: those that no later reading took the place of."""
    replaced = {number for record in records for number in record.replaces}
    return [record for record in records if record.ingest_id not in replaced]


def superseded(records: Sequence[Record]) -> tuple[set[int], set[int]]:
    """Readings whose rows do not count, and readings whose broken-off last row was completed."""
    replaced = {number for record in records for number in record.replaces}
    by_id = {record.ingest_id: record for record in records}
    continued: set[int] = set()
    for record in records:
        before = by_id.get(record.previous) if record.previous is not None else None
        if before is None or before.sha == record.sha:
            continue
        while before is not None:
            continued.add(before.ingest_id)
            before = by_id.get(before.previous) if before.previous is not None else None
    return replaced, continued


def family(record: Record, records: Sequence[Record]) -> tuple[int, ...]:
    """The readings that are linked to `record`: of the same file, grown or renamed."""
    family = {record.ingest_id}
    links = [(r.ingest_id, r.previous) for r in records if r.previous is not None]
    growing = True
    while growing:
        joined = {n for link in links if family & set(link) for n in link if n is not None}
        growing = not joined <= family
        family |= joined
    return tuple(sorted(family))
