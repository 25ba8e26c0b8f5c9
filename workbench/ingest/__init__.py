"""Ingest: what is new in the sources goes to the lake, and what is refused to quarantine.

Each batch makes up to three commits: quarantine, the table itself, and the register of readings.
A reading counts from the moment that it stands in the register. The first two commits carry the
readings' keys as Delta transactions and are looked up before writing, so a run that was killed
between two commits is completed by the next one, and nothing is written twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from workbench import engine
from workbench.engine import identifier, literal
from workbench.errors import ConfigError
from workbench.importers import PART, RAW, ROW, Part, Staged
from workbench.ingest import context as context_rows
from workbench.ingest import mapping
from workbench.ingest.base import base_of, section
from workbench.ingest.files import Reading, Record, find, plan
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
    contexts = {context.source.table: context for context in project.contexts}
    try:
        readings_so_far = register(connection, lake)
        for source in project.sources:
            records = [record for table, record, _ in readings_so_far if table == source.table]
            known = _known_columns(readings_so_far, source)
            files = find(project, source)
            if not files:
                _no_files(source, records, report)
                continue
            readings = plan(source, files, records)
            context = contexts.get(source.table)
            batches = list(_batches(source, readings))
            for place, batch in enumerate(batches):
                try:
                    _read(connection, lake, source, context, batch, known, report, narrate)
                except ConfigError:
                    # A column may be in later files only; a mapping is wrong if it is in none.
                    if place + 1 == len(batches):
                        raise
                    for later in batches[place + 1 :]:
                        known |= _columns_of(connection, later)
                    _read(connection, lake, source, context, batch, known, report, narrate)
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


def register(
    connection: duckdb.DuckDBPyConnection, lake: Lake
) -> list[tuple[str, Record, dict[str, str]]]:
    """All readings, oldest first: lake table, record, columns of the source."""
    files = [str(lake.state / name) for name in lake.files("ingests")]
    if not files:
        return []
    names = list(Record.__dataclass_fields__)
    listed = ", ".join(names)
    rows = connection.execute(
        f'SELECT "table", columns, {listed} FROM read_parquet({engine.list_literal(files)}) '
        "ORDER BY ingest_id"
    ).fetchall()
    return [
        (table, Record(**dict(zip(names, values, strict=True))), json.loads(columns))
        for table, columns, *values in rows
    ]


def _known_columns(
    readings: Sequence[tuple[str, Record, dict[str, str]]], source: Source
) -> dict[str, str]:
    known: dict[str, str] = {}
    for table, _, columns in readings:
        if table == source.table:
            known |= columns
    return known


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
    known: dict[str, str],
    report: Report,
    narrate: Callable[[str], None],
) -> None:
    """Stage, check and commit one batch."""
    keys = {number: reading.key(source) for number, reading in enumerate(batch)}
    written = {
        table: lake.transactions(table, list(keys.values()))
        for table in (source.table, "quarantine")
    }
    ids = _ids(connection, lake, keys, written)
    to_read = _parts(batch)
    importer = batch[0].importer
    staged = importer.stage(connection, to_read)
    if to_read:
        narrate(f"{source.table}: reading {len(to_read)} {importer.name} file(s)")
    names = {number: reading.name for number, reading in enumerate(batch)}
    columns: dict[str, str] = {}
    if staged.columns:
        columns = _check(connection, lake, source, context, staged, known, names, report)
        known |= {name: dtype for name, dtype in columns.items() if name not in known}
    else:
        connection.execute(
            f"CREATE OR REPLACE TABLE {mapping.CHECKED} AS SELECT * FROM {staged.refused} LIMIT 0"
        )
        connection.execute(
            f"ALTER TABLE {mapping.CHECKED} RENAME COLUMN reason TO {mapping.REASON}"
        )
        connection.execute(f"ALTER TABLE {mapping.CHECKED} RENAME COLUMN field TO {mapping.FIELD}")
    refused = _commit_refused(connection, lake, source, staged, ids, keys, names, written)
    accepted = 0
    if staged.columns:
        accepted = _commit_rows(connection, lake, source, ids, keys, names, written)
    _commit_register(connection, lake, source, batch, staged, ids, columns)
    report.files[source.table] = report.files.get(source.table, 0) + len(to_read)
    report.rows[source.table] = report.rows.get(source.table, 0) + accepted
    report.refused[source.table] = report.refused.get(source.table, 0) + refused


def _columns_of(connection: duckdb.DuckDBPyConnection, batch: Sequence[Reading]) -> dict[str, str]:
    """Columns and types of the files of a batch."""
    staged = batch[0].importer.stage(connection, _parts(batch))
    return {name: column.type for name, column in staged.infer().items()}


def _parts(batch: Sequence[Reading]) -> list[Part]:
    return [
        Part(number=n, path=r.path, name=r.name, offset=r.offset, next_row=r.next_row)
        for n, r in enumerate(batch)
        if r.known is None and r.size > 0
    ]


def _ids(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    keys: Mapping[int, str],
    written: Mapping[str, Mapping[str, int]],
) -> dict[int, int]:
    """Number of each reading: the one it was committed under before a crash, else a fresh one.

    Fresh numbers start at the clock, so that the number of a reading that was begun but can never
    be completed (its file is gone) is not given out again.
    """
    files = [str(lake.state / name) for name in lake.files("ingests")]
    newest = 0
    if files:
        newest = engine.scalar(
            connection, f"SELECT max(ingest_id) FROM read_parquet({engine.list_literal(files)})"
        )
    fresh = max(newest + 1, time.time_ns() // 1000)
    found = {key: number for table in written.values() for key, number in table.items()}
    return {number: found.get(key, fresh + number) for number, key in keys.items()}


def _check(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    source: Source,
    context: Context | None,
    staged: Staged,
    known: Mapping[str, str],
    names: Mapping[int, str],
    report: Report,
) -> dict[str, str]:
    """Check the staged rows into `mapping.CHECKED`; the columns that the source had."""
    if context is None:
        base = base_of(connection, source, staged, known, names)
        mapping.check(connection, source, base)
    else:
        base = base_of(connection, source, staged, known, names, typed=True)
        stored = _stored_types(connection, lake, source)
        context_rows.check(connection, context, base, stored)
    unzoned = engine.scalar(
        connection, f"SELECT count(*) FROM {mapping.CHECKED} WHERE {mapping.NO_ZONE}"
    )
    if unzoned:
        report.notes.append(
            f"{section(source)}: {unzoned:,} times have no zone and were read as UTC"
        )
    return dict(base.known)


def _stored_types(
    connection: duckdb.DuckDBPyConnection, lake: Lake, source: Source
) -> dict[str, str]:
    files = [str(lake.state / name) for name in lake.files(source.table)]
    if not files:
        return {}
    relation = f"read_parquet({engine.list_literal(files)}, union_by_name = true)"
    return engine.columns_of(connection, relation)


def _values(ids: Mapping[int, int], keys: Mapping[int, str], skip: Mapping[str, int],
            names: Mapping[int, str]) -> str:  # fmt: skip
    """The readings of a batch that a table does not hold yet, as a relation."""
    rows = ", ".join(
        f"({number}, {ids[number]}, {literal(names[number])})"
        for number in ids
        if keys[number] not in skip
    )
    if not rows:
        return (
            "(SELECT NULL::INTEGER AS number, NULL::BIGINT AS ingest_id, NULL::VARCHAR AS name "
            "WHERE false)"
        )
    return f"(SELECT * FROM (VALUES {rows}) v(number, ingest_id, name))"


def _transactions(
    ids: Mapping[int, int], keys: Mapping[int, str], skip: Mapping[str, int]
) -> dict[str, int]:
    return {keys[number]: ids[number] for number in ids if keys[number] not in skip}


def _commit_refused(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    source: Source,
    staged: Staged,
    ids: Mapping[int, int],
    keys: Mapping[int, str],
    names: Mapping[int, str],
    written: Mapping[str, Mapping[str, int]],
) -> int:
    """Write the refused rows to quarantine; how many there were."""
    total = int(
        engine.scalar(
            connection,
            f"SELECT (SELECT count(*) FROM {staged.refused}) + (SELECT count(*) FROM "
            f"{mapping.CHECKED} WHERE {mapping.REASON} IS NOT NULL)",
        )
    )
    skip = written["quarantine"]
    if total == 0 or len(skip) == len(keys):
        return total
    refused = (
        f'SELECT v.ingest_id, {literal(source.table)} AS "table", r.reason, r.field, r.raw, '
        f"v.name AS source_file, r.row AS source_row, now() AS ingested_at FROM ("
        f"SELECT {PART} AS part, {ROW} AS row, reason, field, {RAW} AS raw FROM {staged.refused} "
        f"UNION ALL SELECT {PART}, {ROW}, {mapping.REASON}, {mapping.FIELD}, {RAW} "
        f"FROM {mapping.CHECKED} WHERE {mapping.REASON} IS NOT NULL) r "
        f"JOIN {_values(ids, keys, skip, names)} v ON coalesce(r.part, {min(ids)}) = v.number"
    )
    lake.append(
        "quarantine",
        engine.reader(connection, refused),
        transactions=_transactions(ids, keys, skip),
    )
    return total


def _commit_rows(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    source: Source,
    ids: Mapping[int, int],
    keys: Mapping[int, str],
    names: Mapping[int, str],
    written: Mapping[str, Mapping[str, int]],
) -> int:
    """Write the accepted rows to the lake table; how many there were."""
    accepted = f"{mapping.CHECKED} WHERE {mapping.REASON} IS NULL"
    total = int(engine.scalar(connection, f"SELECT count(*) FROM {accepted}"))
    skip = written[source.table]
    if total == 0 or len(skip) == len(keys):
        return total
    base = lake.rows(source.table)
    columns = engine.columns_of(connection, mapping.CHECKED)
    own = {PART, ROW, RAW, mapping.REASON, mapping.FIELD, mapping.NO_ZONE, "__bad"}
    stamps = {
        "feedback": f", now() AS ingested_at, c.{RAW} AS raw",
        "inferences": "",
    }.get(source.table, "")
    listed = "".join(f", c.{identifier(name)}" for name in columns if name not in own)
    rows = (
        f"SELECT {base} + row_number() OVER () AS row_id, v.ingest_id, v.name AS source_file, "
        f"c.{ROW} AS source_row{stamps}{listed} FROM {mapping.CHECKED} c "
        f"JOIN {_values(ids, keys, skip, names)} v ON coalesce(c.{PART}, {min(ids)}) = v.number "
        f"WHERE c.{mapping.REASON} IS NULL"
    )
    lake.append(
        source.table,
        engine.reader(connection, rows),
        transactions=_transactions(ids, keys, skip),
    )
    return total


def _commit_register(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    source: Source,
    batch: Sequence[Reading],
    staged: Staged,
    ids: Mapping[int, int],
    columns: Mapping[str, str],
) -> None:
    """Enter the readings into the register: from here on they count."""
    rows: list[tuple[Any, ...]] = []
    for number, reading in enumerate(batch):
        end = staged.ends.get(number)
        known = reading.known
        offset, next_row, terminated = (
            (known.offset_end, known.next_row, known.terminated)
            if known is not None
            else (end.offset, end.next_row, end.terminated)
            if end is not None
            else (0, 1, True)
        )
        rows.append(
            (
                ids[number], source.table, reading.name, source.mapping_id, reading.sha,
                reading.size, reading.stat_size, reading.mtime_ns, offset, next_row, terminated,
                reading.previous, list(reading.replaces), json.dumps(dict(columns)),
            )
        )  # fmt: skip
    connection.execute(
        'CREATE OR REPLACE TABLE readings (ingest_id BIGINT, "table" VARCHAR, '
        "source_file VARCHAR, mapping_id VARCHAR, sha VARCHAR, size BIGINT, stat_size BIGINT, "
        "mtime_ns BIGINT, offset_end BIGINT, next_row BIGINT, terminated BOOLEAN, previous BIGINT, "
        "replaces BIGINT[], columns VARCHAR)"
    )
    connection.executemany(f"INSERT INTO readings VALUES ({', '.join('?' * 14)})", rows)
    lake.append("ingests", engine.reader(connection, "SELECT * FROM readings"))
