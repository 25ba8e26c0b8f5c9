"""Committing a batch of readings to the lake: quarantine, the table itself, the register."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import duckdb

from workbench import engine
from workbench.engine import identifier, literal
from workbench.importers import PART, RAW, ROW, Staged
from workbench.ingest import mapping
from workbench.ingest.files import Reading
from workbench.ingest.records import Record
from workbench.lake import Lake
from workbench.project import Source


@dataclass(frozen=True)
class Commit:
    """A batch of readings that is being committed; its readings are known by their place in it.

    Attributes
    ----------
    connection
        Connection in which the rows are staged and checked.
    lake, table
        Where the rows go.
    ids, keys, names
        Number, identity and file name of each reading.
    written
        By table: the identities that it already holds, from a run that was killed.
    """

    connection: duckdb.DuckDBPyConnection
    lake: Lake
    table: str
    ids: Mapping[int, int]
    keys: Mapping[int, str]
    names: Mapping[int, str]
    written: Mapping[str, Mapping[str, int]]

    def open_readings(self, table: str) -> list[int]:
        """The readings whose rows `table` does not hold yet."""
        return [place for place, key in self.keys.items() if key not in self.written[table]]

    def transactions(self, table: str) -> dict[str, int]:
        """What the commit to `table` records."""
        return {self.keys[place]: self.ids[place] for place in self.open_readings(table)}

    def joined(self, table: str, part: str) -> str:
        """SQL join of rows with the open readings they are of.

        A row that its source's own query made of several files belongs to the first of them.
        """
        places = self.open_readings(table)
        rows = ", ".join(f"({n}, {self.ids[n]}, {literal(self.names[n])})" for n in places)
        return (
            f"JOIN (VALUES {rows}) v(number, ingest_id, name) "
            f"ON coalesce({part}, {places[0]}) = v.number"
        )


#: Key under which the register has the format of a reading, among the types of its columns.
FORMAT = "__format"


def begin(
    connection: duckdb.DuckDBPyConnection, lake: Lake, source: Source, batch: Sequence[Reading]
) -> Commit:
    """Number the readings of a batch, and look up what of it was written before a crash.

    A fresh number starts at the clock, so that the number of a reading that was begun but can
    never be completed (its file is gone) is not given out again.
    """
    keys = {place: reading.key(source) for place, reading in enumerate(batch)}
    written = {
        table: lake.transactions(table, list(keys.values()))
        for table in (source.table, "quarantine")
    }
    readings = lake.relation("ingests")
    newest = 0
    if readings:
        newest = engine.scalar(connection, f"SELECT max(ingest_id) FROM {readings}")
    fresh = max(newest + 1, time.time_ns() // 1000)
    found = {key: number for table in written.values() for key, number in table.items()}
    return Commit(
        connection,
        lake,
        source.table,
        ids={place: found.get(key, fresh + place) for place, key in keys.items()},
        keys=keys,
        names={place: reading.name for place, reading in enumerate(batch)},
        written=written,
    )


def leave_out_known(commit: Commit, refused: str, counted: Set[int]) -> None:
    """Leave out what the lake has of these files: a database still holds what was read before.

    A row is known if it is the same in every field; one that changed is received as it now is.

    Parameters
    ----------
    commit
        The batch.
    refused
        Relation of what could not be read.
    counted
        The readings whose rows count, without those that the batch takes the place of.
    """
    if not counted:
        return
    connection, checked = commit.connection, mapping.CHECKED
    files = ", ".join(literal(name) for name in commit.names.values())
    files += f") AND ingest_id IN ({', '.join(map(str, sorted(counted)))}"
    rows = commit.lake.relation(commit.table)
    if rows is not None:
        present = set(engine.columns_of(connection, checked)) - mapping.OWN
        missing = mapping.missing_columns(commit.table, present)
        columns = (present | set(missing)) & set(engine.columns_of(connection, rows))

        def content(absent: Mapping[str, str]) -> str:
            packed = ", ".join(
                f"{identifier(n)} := {'NULL' if n in absent else identifier(n)}"
                for n in sorted(columns)
            )
            return f"md5(CAST(to_json(struct_pack({packed})) AS VARCHAR))"

        connection.execute(
            f"DELETE FROM {checked} WHERE {mapping.REASON} IS NULL AND {content(missing)} IN "
            f"(SELECT {content({})} FROM {rows} WHERE source_file IN ({files}))"
        )
    quarantined = commit.lake.relation("quarantine")
    if quarantined is not None:
        known = (
            f"(SELECT raw FROM {quarantined} WHERE source_file IN ({files}) "
            f'AND "table" = {literal(commit.table)} AND raw IS NOT NULL)'
        )
        connection.execute(
            f"DELETE FROM {checked} WHERE {mapping.REASON} IS NOT NULL AND {RAW} IN {known}"
        )
        connection.execute(f"DELETE FROM {refused} WHERE {RAW} IN {known}")


def commit_refused(commit: Commit, staged: Staged) -> int:
    """Write the refused rows to quarantine; how many there were."""
    checked = f"{mapping.CHECKED} WHERE {mapping.REASON} IS NOT NULL"
    total = int(
        engine.scalar(
            commit.connection,
            f"SELECT (SELECT count(*) FROM {staged.refused}) + (SELECT count(*) FROM {checked})",
        )
    )
    if total == 0 or not commit.open_readings("quarantine"):
        return total
    refused = (
        f'SELECT v.ingest_id, {literal(commit.table)} AS "table", r.reason, r.field, r.raw, '
        "v.name AS source_file, r.row AS source_row, now() AS ingested_at FROM ("
        f"SELECT {PART} AS part, {ROW} AS row, reason, field, {RAW} AS raw FROM {staged.refused} "
        f"UNION ALL SELECT {PART}, {ROW}, {mapping.REASON}, {mapping.FIELD}, {RAW} FROM {checked}"
        f") r {commit.joined('quarantine', 'r.part')}"
    )
    commit.lake.append(
        "quarantine",
        engine.reader(commit.connection, refused),
        transactions=commit.transactions("quarantine"),
    )
    return total


def commit_rows(commit: Commit) -> int:
    """Write the accepted rows to the lake table; how many there were."""
    accepted = f"{mapping.CHECKED} WHERE {mapping.REASON} IS NULL"
    total = int(engine.scalar(commit.connection, f"SELECT count(*) FROM {accepted}"))
    if total == 0 or not commit.open_readings(commit.table):
        return total
    base = commit.lake.last_row_id(commit.table)
    columns = engine.columns_of(commit.connection, mapping.CHECKED)
    stamps = f", now() AS ingested_at, c.{RAW} AS raw" if commit.table == "feedback" else ""
    listed = "".join(f", c.{identifier(name)}" for name in columns if name not in mapping.OWN)
    if not commit.table.startswith("context_"):
        missing = mapping.missing_columns(commit.table, columns)
        listed += "".join(f", NULL::{dtype} AS {identifier(n)}" for n, dtype in missing.items())
    rows = (
        f"SELECT {base} + row_number() OVER () AS row_id, v.ingest_id, v.name AS source_file, "
        f"c.{ROW} AS source_row{stamps}{listed} FROM {mapping.CHECKED} c "
        f"{commit.joined(commit.table, 'c.' + PART)} WHERE c.{mapping.REASON} IS NULL"
    )
    commit.lake.append(
        commit.table,
        engine.counted(engine.reader(commit.connection, rows), total),
        transactions=commit.transactions(commit.table),
    )
    return total


def enter(
    commit: Commit,
    source: Source,
    batch: Sequence[Reading],
    staged: Staged,
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
                commit.ids[number], source.table, reading.name, source.mapping_id, reading.sha,
                reading.size, reading.stat_size, reading.mtime_ns, offset, next_row, terminated,
                reading.previous, list(reading.replaces), source.in_place,
                json.dumps(dict(columns)),
            )
        )  # fmt: skip
    commit.connection.execute(
        'CREATE OR REPLACE TABLE readings (ingest_id BIGINT, "table" VARCHAR, '
        "source_file VARCHAR, mapping_id VARCHAR, sha VARCHAR, size BIGINT, stat_size BIGINT, "
        "mtime_ns BIGINT, offset_end BIGINT, next_row BIGINT, terminated BOOLEAN, previous BIGINT, "
        "replaces BIGINT[], in_place BOOLEAN, columns VARCHAR)"
    )
    engine.insert(commit.connection, "readings", rows)
    commit.lake.append("ingests", engine.reader(commit.connection, "SELECT * FROM readings"))


def register(
    connection: duckdb.DuckDBPyConnection, lake: Lake
) -> list[tuple[str, Record, dict[str, str]]]:
    """All readings, oldest first: lake table, record, columns of the source."""
    readings = lake.relation("ingests")
    if readings is None:
        return []
    names = list(Record.__dataclass_fields__)
    # A register that is older than the column has no reading in place.
    absent = "in_place" not in engine.columns_of(connection, readings)
    listed = ", ".join(
        "false"
        if name == "in_place" and absent
        else f"coalesce({name}, false)"
        if name == "in_place"
        else name
        for name in names
    )
    rows = connection.execute(
        f'SELECT "table", columns, {listed} FROM {readings} ORDER BY ingest_id'
    ).fetchall()
    return [
        (table, Record(**dict(zip(names, values, strict=True))), json.loads(columns))
        for table, columns, *values in rows
    ]
