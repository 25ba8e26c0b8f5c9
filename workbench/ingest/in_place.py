"""Logs that stay where they are: checked and pinned when first seen, and read there ever after.

The lake has no copy of such rows. What it has is a reading of each file with its pin, and the
refused rows in quarantine; the rows are what the mapping makes of the files, as a query.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import accumulate

import duckdb

from workbench import engine
from workbench.engine import identifier, literal
from workbench.errors import DataError
from workbench.importers import PART, RAW, ROW, Staged, typed_columns
from workbench.ingest import mapping
from workbench.ingest.base import Base, base_of
from workbench.ingest.forgotten import FILE, ids_among
from workbench.ingest.pins import verify
from workbench.ingest.records import Record, live
from workbench.project import Project, Source

#: Rows of the lake are counted from 1; those that are not in it begin here.
_FIRST_ROW = 1 << 40
_BAD = "bad_in_place"


@dataclass(frozen=True, kw_only=True)
class InPlace:
    """The accepted rows of a log that stays where it is.

    Attributes
    ----------
    relation
        SQL of the rows, with the columns that the lake table would have, and `PART`: the place of
        their file among `files`, by which it alone is read. Reads the variable ``root``.
    columns
        Names of these columns.
    files
        The files, relative to the state folder; those outside of the project absolute.
    pins
        What each file must still be: `path`, ``size``, ``mtime_ns`` and ``sha``.
    """

    relation: str
    columns: tuple[str, ...]
    files: tuple[str, ...]
    pins: tuple[Mapping[str, str | int], ...]


def check(connection: duckdb.DuckDBPyConnection, source: Source, base: Base) -> tuple[int, int]:
    """Check the rows of `base`; only those that are refused are put into `mapping.CHECKED`.

    Returns
    -------
    tuple of int
        How many rows are accepted, and how many times have no zone.
    """
    checked, _ = mapping.checked(connection, source, base)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_BAD} AS SELECT {PART}, {ROW} FROM ({checked}) "
        f"WHERE {mapping.REASON} IS NOT NULL"
    )
    # What a row was is worked out for the refused ones alone.
    only = f"(SELECT b.* FROM {base.relation} b SEMI JOIN {_BAD} USING ({PART}, {ROW}))"
    refused, _ = mapping.checked(connection, source, replace(base, relation=only))
    connection.execute(f"CREATE OR REPLACE TABLE {mapping.CHECKED} AS {refused}")
    (accepted, no_zone) = connection.execute(
        f"SELECT count(*) - (SELECT count(*) FROM {_BAD}), "
        f"count(*) FILTER ({mapping.NO_ZONE}) FROM ({checked})"
    ).fetchall()[0]
    return int(accepted), int(no_zone)


def rows(
    connection: duckdb.DuckDBPyConnection,
    project: Project,
    register: Sequence[Record],
    quarantine: str | None,
    among: Set[int] | None = None,
) -> InPlace | None:
    """The rows of the project's inferences that stay in their files; None where there are none.

    Parameters
    ----------
    connection
        Where the files are looked into.
    project
        The project.
    register
        All readings of inferences, oldest first.
    quarantine
        SQL relation of the refused rows, which reads the variable ``root``.
    among
        Readings whose rows are wanted; None for all.

    Raises
    ------
    DataError
        If a file is not what it was when it was read.
    """
    source = project.inferences
    stayed = [r for r in register if r.in_place]
    starts = accumulate((r.next_row - 1 for r in stayed), initial=_FIRST_ROW)
    first = {r.ingest_id: n for r, n in zip(stayed, starts, strict=False)}
    records = [r for r in live(register) if r.in_place and r.size > 0 and r.next_row > 1]
    records = [r for r in records if r.previous is None or r.replaces]
    if among is not None:
        records = [r for r in records if r.ingest_id in among]
    if not records:
        return None
    files = tuple(_relative(project, record.source_file) for record in records)
    pins: tuple[Mapping[str, str | int], ...] = tuple(
        {"path": file, "size": r.stat_size, "mtime_ns": r.mtime_ns, "sha": r.sha}
        for file, r in zip(files, records, strict=True)
    )
    for record in records:
        if record.mapping_id != source.mapping_id:
            raise DataError(
                f"{record.source_file} was read in place under another mapping, and is not among "
                "the files of [inferences] now.",
                "Name it in source again, or start a new project folder.",
            )
    verify(project.state, pins)
    staged = _staged(connection, files)
    base = base_of(connection, source, staged, {}, {})
    checked, _ = mapping.checked(connection, source, base)
    columns = engine.columns_of(connection, f"({checked})")
    kept = [name for name in columns if name not in mapping.OWN]
    listed = "".join(f", c.{identifier(name)}" for name in kept)
    places = ", ".join(
        f"({n}, {r.ingest_id}, {first[r.ingest_id]}, {literal(r.source_file)})"
        for n, r in enumerate(records)
    )
    conditions = _left_out(project, kept, records, quarantine)
    relation = (
        f"(SELECT v.first + c.{ROW} AS row_id, v.ingest_id, v.name AS source_file, "
        f"c.{ROW} AS source_row, c.{PART}{listed} FROM ({checked}) c "
        f"JOIN (VALUES {places}) v(part, ingest_id, first, name) ON c.{PART} = v.part{conditions})"
    )
    return InPlace(
        relation=relation,
        columns=("row_id", "ingest_id", "source_file", "source_row", *kept),
        files=files,
        pins=pins,
    )


def _left_out(
    project: Project, columns: Iterable[str], records: Sequence[Record], quarantine: str | None
) -> str:
    """SQL that leaves out the rows that were refused, and those of users who were erased."""
    sql = ""
    if quarantine is not None:
        ids = ", ".join(str(record.ingest_id) for record in records)
        sql += (
            f" ANTI JOIN (SELECT ingest_id, source_row FROM {quarantine} "
            f"WHERE ingest_id IN ({ids})) q "
            f"ON v.ingest_id = q.ingest_id AND c.{ROW} = q.source_row"
        )
    if (project.state / FILE).exists():
        hashes = f"SELECT hash FROM read_parquet({located([FILE])})"
        named = [
            f"coalesce(sha256(c.{identifier(name)}) IN ({hashes}), false)"
            for name in ids_among(columns)
        ]
        sql += f" WHERE NOT ({' OR '.join(named)})"
    return sql


def _staged(connection: duckdb.DuckDBPyConnection, files: Sequence[str]) -> Staged:
    """The rows of Parquet files where they are, as a query alone."""
    paths = located(files)
    source = f"read_parquet({paths}, union_by_name = true, filename = '__file')"
    types = engine.columns_of(connection, source)
    types.pop("__file")
    listed = "".join(f", s.{identifier(name)}" for name in types)
    columns = typed_columns(types)
    # A name with signs that match several files is not in its own place among those that are read.
    plain = not any(sign in name for name in files for sign in "*?[")
    place = "s.file_index" if plain else f"list_position({paths}, s.__file) - 1"
    return Staged(
        relation=f"(SELECT {place} AS {PART}, s.file_row_number + 1 AS {ROW}, "
        f"NULL::VARCHAR AS {RAW}{listed} FROM {source} s)",
        refused="",
        columns=columns,
        infer=lambda: columns,
        native=True,
        ends={},
    )


def located(files: Iterable[str]) -> str:
    """SQL of the list of files' paths: relative ones from the variable ``root``."""
    return (
        f"list_transform({engine.list_literal(files)}, "
        "lambda f: CASE WHEN f[1] = '/' THEN f ELSE getvariable('root') || f END)"
    )


def _relative(project: Project, name: str) -> str:
    """A source file's name as a path from the state folder; one outside of the project absolute."""
    return name if os.path.isabs(name) else f"../{name}"
