"""Ingest: what is new in the sources goes to the lake, and what is refused to quarantine.

Each batch makes up to three commits: quarantine, the table itself, and the register of readings.
A reading counts from the moment that it stands in the register. The first two commits carry the
readings' keys as Delta transactions and are looked up before writing, so a run that was killed
between two commits is completed by the next one, and nothing is written twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import duckdb

from workbench import engine, progress
from workbench.errors import ConfigError
from workbench.importers import PART, RAW, ROW, Part, Staged
from workbench.ingest import context as context_rows
from workbench.ingest import in_place, mapping
from workbench.ingest.base import base_of, section
from workbench.ingest.commit import (
    FORMAT,
    Commit,
    begin,
    commit_refused,
    commit_rows,
    enter,
    leave_out_known,
    register,
)
from workbench.ingest.files import Reading, find, plan
from workbench.ingest.forgotten import leave_out
from workbench.ingest.records import Record, live
from workbench.ingest.served import as_read, tables
from workbench.lake import Lake
from workbench.project import Context, Project, Source

_BATCH_BYTES = 512 * 1024 * 1024
_BATCH_FILES = 2000


@dataclass(kw_only=True)
class Report:
    """What one ingest did.

    Attributes
    ----------
    files, rows, refused
        Files read, rows accepted and rows refused, by lake table.
    notes
        What a person should know: times without a zone, sources without files.
    """

    files: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def ingest(project: Project, *, narrate: Callable[[str], None] = lambda _: None) -> Report:
    """Read what is new in every source of the project into its lake.

    The caller holds the project's lock.

    Parameters
    ----------
    project
        The project.
    narrate
        Receives one line per step.

    Raises
    ------
    ConfigError
        If a source has no files and never had any, or its mapping does not fit; nothing of that
        source was written then.
    """
    lake = Lake(project.state)
    connection = engine.connect(temp=project.state / "tmp")
    report = Report()
    contexts = {context.table: context for context in project.contexts}
    try:
        readings_so_far = register(connection, lake)
        for source in project.sources:
            records = [record for table, record, _ in readings_so_far if table == source.table]
            known = _known_columns(readings_so_far, source)
            files = find(project, source)
            readings = [*plan(source, files, records), *tables(source, records)]
            if not files and not readings:
                _no_files(source, records, report)
                continue
            context = contexts.get(source.table)
            counted = {record.ingest_id for record in live(records)}
            counted -= {number for reading in readings for number in reading.replaces}
            batches = list(_batches(source, readings))
            if any(reading.known is None for reading in readings):
                size = sum(map(_unread, batches))
                progress.begin(f"ingest {source.table}", total=size, unit="bytes")
            for place, batch in enumerate(batches):
                own = known.setdefault(_form(source, batch[0].importer.name), {})
                try:
                    _read(connection, lake, source, context, batch, counted, own, report, narrate)
                except ConfigError:
                    # A column may be in later files only; a mapping is wrong if it is in none.
                    if place + 1 == len(batches):
                        raise
                    for later in batches[place + 1 :]:
                        theirs = known.setdefault(_form(source, later[0].importer.name), {})
                        theirs |= _columns_of(connection, later, source)
                    _read(connection, lake, source, context, batch, counted, own, report, narrate)
    finally:
        connection.close()
    return report


def _no_files(source: Source, records: Sequence[Record], report: Report) -> None:
    patterns = ", ".join(repr(pattern) for pattern in source.patterns)
    name = section(source)
    if not records:
        raise ConfigError(
            f"[{name}] source = {patterns} matches no files.",
            "Name files, a glob or a folder that holds .jsonl, .csv or .parquet files (.gz too), "
            "relative to the project folder.",
        )
    report.notes.append(f"{name}: {patterns} matches no files now; what was read is kept")


#: Columns that the files of a source had, with their types, by format.
Known = dict[str, dict[str, str]]


def _known_columns(readings: Sequence[tuple[str, Record, dict[str, str]]], source: Source) -> Known:
    known: Known = {}
    for table, _, columns in readings:
        if table == source.table:
            form = _form(source, columns.get(FORMAT, ""))
            own = {name: dtype for name, dtype in columns.items() if name != FORMAT}
            known.setdefault(form, {}).update(own)
    return known


def _form(source: Source, name: str) -> str:
    """What tells the columns of a source apart: several formats have nothing to do with another."""
    return name if len(source.formats) > 1 else ""


def _batches(source: Source, readings: Sequence[Reading]) -> Iterator[list[Reading]]:
    """Readings of one format at a time, bounded in size; a source with a query in one piece."""
    formats = sorted({reading.importer.name for reading in readings})
    for form in formats:
        batch: list[Reading] = []
        size = 0
        for reading in readings:
            if reading.importer.name != form:
                continue
            full = size + reading.size > _BATCH_BYTES or len(batch) >= _BATCH_FILES
            if batch and full and source.sql is None:
                yield batch
                batch, size = [], 0
            batch.append(reading)
            size += reading.size
        if batch:
            yield batch


def _read(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    source: Source,
    context: Context | None,
    batch: Sequence[Reading],
    counted: Set[int],
    known: dict[str, str],
    report: Report,
    narrate: Callable[[str], None],
) -> None:
    """Stage, check and commit one batch; `counted` are the earlier readings whose rows count."""
    to_read = _parts(source, batch)
    importer = batch[0].importer
    mapped = source
    if importer.title and len(source.formats) > 1:
        # The mapping is about the plain files beside the exports.
        mapped = replace(source, columns={})
    # Read, checked, written.
    size = _unread(batch)
    progress.step(size / 3, connection=connection)
    staged = importer.stage(connection, to_read, source.table)
    served = batch[0].url is not None
    if served:
        batch = as_read(batch, staged)
        if not batch:
            return
    commit = begin(connection, lake, source, batch)
    report.notes.extend(f"{section(source)}: {note}" for note in staged.notes)
    if to_read:
        narrate(f"{source.table}: reading {len(to_read)} {importer.name} file(s)")
    progress.step(size / 3)
    columns: dict[str, str] = {}
    stay = 0
    if staged.columns and source.in_place:
        columns, stay = _check_in_place(commit, mapped, staged, known, report)
    elif staged.columns:
        columns = _check(commit, mapped, context, staged, known, report)
        known |= {name: dtype for name, dtype in columns.items() if name not in known}
    else:
        connection.execute(
            f"CREATE OR REPLACE TABLE {mapping.CHECKED} AS SELECT {PART}, {ROW}, {RAW}, "
            f"reason AS {mapping.REASON}, field AS {mapping.FIELD} FROM {staged.refused} LIMIT 0"
        )
    if importer.again:
        leave_out_known(commit, staged.refused, counted)
    erased = leave_out(connection, commit.lake.state, staged.refused)
    if erased:
        report.notes.append(f"{source.table}: {erased:,} rows of erased users were left out")
    if served and not any(reading.replaces for reading in batch):
        rows = f"(SELECT 1 FROM {mapping.CHECKED} UNION ALL SELECT 1 FROM {staged.refused})"
        if engine.scalar(connection, f"SELECT count(*) FROM {rows}") == 0:
            return
    progress.step(size / 3)
    refused = commit_refused(commit, staged)
    accepted = stay if source.in_place else commit_rows(commit)
    enter(commit, source, batch, staged, {**columns, FORMAT: importer.name})
    progress.advance(rows=accepted + refused, bytes=size)
    report.files[source.table] = report.files.get(source.table, 0) + len(to_read)
    report.rows[source.table] = report.rows.get(source.table, 0) + accepted
    report.refused[source.table] = report.refused.get(source.table, 0) + refused


def _unread(batch: Sequence[Reading]) -> int:
    """Bytes of a batch that were never read."""
    return sum(reading.size - reading.offset for reading in batch if reading.known is None)


def _columns_of(
    connection: duckdb.DuckDBPyConnection, batch: Sequence[Reading], source: Source
) -> dict[str, str]:
    """Columns and types of the files of a batch."""
    staged = batch[0].importer.stage(connection, _parts(source, batch), source.table)
    return {name: column.type for name, column in staged.infer().items()}


def _parts(source: Source, batch: Sequence[Reading]) -> list[Part]:
    return [
        Part(
            number=n,
            path=r.path,
            name=r.name,
            offset=r.offset,
            next_row=r.next_row,
            table=source.database_table,
            url=r.url,
        )
        for n, r in enumerate(batch)
        if r.url is not None or (r.known is None and r.size > 0)
    ]


def _check(
    commit: Commit,
    source: Source,
    context: Context | None,
    staged: Staged,
    known: Mapping[str, str],
    report: Report,
) -> dict[str, str]:
    """Check the staged rows into `mapping.CHECKED`; the columns that the source had."""
    connection = commit.connection
    typed = context is not None
    base = base_of(connection, source, staged, known, commit.names, typed=typed)
    if context is None:
        mapping.check(connection, source, base)
    else:
        stored = _stored_types(connection, commit.lake, source)
        context_rows.check(connection, context, base, stored)
    unzoned = engine.scalar(
        connection, f"SELECT count(*) FROM {mapping.CHECKED} WHERE {mapping.NO_ZONE}"
    )
    _note_zone(source, unzoned, report)
    return dict(base.known)


def _check_in_place(
    commit: Commit, source: Source, staged: Staged, known: Mapping[str, str], report: Report
) -> tuple[dict[str, str], int]:
    """Check rows that stay where they are; the columns that the source had, rows accepted."""
    base = base_of(commit.connection, source, staged, known, commit.names)
    accepted, no_zone = in_place.check(commit.connection, source, base)
    _note_zone(source, no_zone, report)
    return dict(base.known), accepted


def _note_zone(source: Source, unzoned: int, report: Report) -> None:
    if unzoned:
        report.notes.append(
            f"{section(source)}: {unzoned:,} times have no zone and were read as UTC"
        )


def _stored_types(
    connection: duckdb.DuckDBPyConnection, lake: Lake, source: Source
) -> dict[str, str]:
    relation = lake.relation(source.table)
    return {} if relation is None else engine.columns_of(connection, relation)
