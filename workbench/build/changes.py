"""What changed since a build: rows that were received or count no more, and whom they concern.

Everything here are temporary tables of ids, each small where little changed. ``build`` is the copy
of the last build, and the schema ``narrow`` beside it holds the part of it that is made anew.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import duckdb

from workbench import engine, places
from workbench.build import events, ledger
from workbench.build.sources import LakeTable, contract_relation
from workbench.compiled import Parts
from workbench.engine import identifier, literal
from workbench.ingest.records import Record
from workbench.project import Project


class Unable(Exception):  # noqa: N818
    """Why a build cannot be made of the last one."""


@dataclass(frozen=True, kw_only=True)
class Readings:
    """Readings of one table that count since the last build, and those that count no more."""

    new: frozenset[int]
    gone: frozenset[int]

    @property
    def any(self) -> bool:
        """Whether there is a difference."""
        return bool(self.new or self.gone)


#: No difference.
NONE = Readings(new=frozenset(), gone=frozenset())


@dataclass(frozen=True, kw_only=True)
class Refresh:
    """What a refresh is made of.

    Attributes
    ----------
    compiled, project, tables
        As of a build of everything. The database in use is an empty one with ``narrow.readings``
        and ``narrow.refused``; a copy of the last build is attached as ``build``.
    fresh
        Of the inferences and the feedback the part that the new readings are in.
    changed
        Which readings of each table are new, and which count no more.
    last_as_of, last_reports
        The last build's ``as_of``, and its reports of contexts.
    """

    compiled: Parts
    project: Project
    tables: Mapping[str, LakeTable]
    fresh: Mapping[str, LakeTable]
    changed: Mapping[str, Readings]
    last_as_of: str | None
    last_reports: Mapping[str, Mapping[str, Any]]

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection."""
        return self.compiled.connection

    def moved(self, table: str) -> Readings:
        """The difference between the readings of a table."""
        return self.changed.get(table, NONE)


def readings(
    connection: duckdb.DuckDBPyConnection,
    register: Sequence[tuple[str, Record]],
    replaced: set[int],
) -> dict[str, Readings]:
    """The difference between the readings of the last build and of now, by table."""
    before: dict[str, set[int]] = {}
    now: dict[str, set[int]] = {}
    rows = connection.execute('SELECT "table", ingest_id FROM build.narrow.readings WHERE live')
    for table, number in rows.fetchall():
        before.setdefault(table, set()).add(number)
    for table, record in register:
        if record.ingest_id not in replaced:
            now.setdefault(table, set()).add(record.ingest_id)
    return {
        table: Readings(
            new=frozenset(now.get(table, set()) - before.get(table, set())),
            gone=frozenset(before.get(table, set()) - now.get(table, set())),
        )
        for table in {*before, *now}
    }


def of_new_files(
    connection: duckdb.DuckDBPyConnection,
    table: LakeTable,
    before: Sequence[str],
    new: frozenset[int],
) -> LakeTable:
    """A lake table without the files that it had before, in which no row of `new` readings is."""
    found = replace(table, files=tuple(name for name in table.files if name not in before))
    old = replace(table, files=tuple(name for name in table.files if name in before))
    if old.files and engine.scalar(
        connection,
        f"SELECT EXISTS (FROM {old.relation} WHERE ingest_id IN ({listed(new)}))",
    ):
        # Rows that a killed run had written were entered into the register by a later one.
        found = table
    # A file has the columns that its rows have.
    columns = () if found.empty else tuple(engine.columns_of(connection, found.relation))
    return replace(found, columns=columns)


def temporary(connection: duckdb.DuckDBPyConnection, name: str, query: str) -> None:
    """Make a temporary table."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")


def _received(run: Refresh, name: str, key: str) -> str:
    """Make ``changed_NAME``, the ids whose rows are others now; SQL of all rows of these ids.

    ``known_NAME`` are the numbers of the rows that the build has of them: to look for texts among
    all of them takes long.
    """
    connection, changed = run.connection, run.moved(name)
    fresh, whole = (
        contract_relation(run.project, tables[name]) for tables in (run.fresh, run.tables)
    )
    new = f"(FROM {fresh} WHERE ingest_id IN ({listed(changed.new)}))"
    query = f"SELECT {key} FROM {new}"
    if changed.gone:
        query += f" UNION ALL SELECT {key} FROM {whole} WHERE ingest_id IN ({listed(changed.gone)})"
    temporary(connection, f"changed_{name}", f"SELECT DISTINCT {key} FROM ({query})")
    before = f"build.narrow.{name}"
    if name == "inferences":
        temporary(connection, "maybe_known", places.among("(FROM changed_inferences)"))
        before = f"({_by_number(connection, before, 'maybe_known')})"
    temporary(
        connection,
        f"known_{name}",
        f"SELECT row_id FROM {before} SEMI JOIN changed_{name} USING ({key})",
    )
    known = engine.scalar(
        connection,
        f"SELECT EXISTS (FROM known_{name}) "
        f'OR EXISTS (FROM build.narrow.refused WHERE "table" = {literal(name)} AND id IN '
        f"(SELECT {key} FROM changed_{name}))",
    )
    if not known and not changed.gone:
        return new
    # The rows are found by their ids alone, and read once, by their numbers.
    temporary(
        connection,
        f"rows_of_{name}",
        f"SELECT row_id FROM {events.live(whole)} SEMI JOIN changed_{name} USING ({key}) "
        f"WHERE (ingest_id IN ({listed(changed.new)})) IS NOT true",
    )
    found = f"received_{name}"
    old = _by_number(connection, whole, f"rows_of_{name}")
    temporary(connection, found, f"FROM {new} UNION ALL BY NAME {old}")
    return found


#: So many numbers are named in a query, so that what has none of them need not be read.
_NAMED = 1_000


def _by_number(connection: duckdb.DuckDBPyConnection, rows: str, numbers: str) -> str:
    """Query of those rows whose ``row_id`` is in the table `numbers`."""
    found = connection.execute(f"FROM {numbers} LIMIT {_NAMED + 1}").fetchall()
    if len(found) > _NAMED:
        return f"SELECT l.* FROM {rows} l SEMI JOIN {numbers} USING (row_id)"
    return f"SELECT * FROM {rows} WHERE row_id IN ({listed(frozenset(n for (n,) in found))})"


def is_local(condition: str | None) -> bool:
    """Whether what a condition says of a row depends on that row alone."""
    return condition is None or re.search(r"(?i)\b(over|select|from)\b", condition) is None


def merge(
    connection: duckdb.DuckDBPyConnection, name: str, key: str, old: str, new: str = "true"
) -> None:
    """Put rows of ``narrow.NAME`` in place of those of the build that have a `key` in `old`.

    A table whose rows have one key is found to have it still, among those that are put in.

    Parameters
    ----------
    old
        Relation of keys whose rows are taken out.
    new
        SQL condition on the rows that are put in.

    Raises
    ------
    Unable
        If the columns are not what they were.
    """
    before = engine.columns_of(connection, f"build.narrow.{name}")
    now = engine.columns_of(connection, f"narrow.{name}")
    if before != now:
        others = [c for c in {**before, **now} if before.get(c) != now.get(c)]
        raise Unable(f"{others[0]} of {name} is another column now")
    if name in ledger.GRAINS:
        ledger.assert_one(connection, name, new)
    connection.execute(f"DELETE FROM build.narrow.{name} WHERE {key} IN (SELECT {key} FROM {old})")
    kept = _stored(connection, name)
    connection.execute(f"INSERT INTO build.narrow.{name} BY NAME {kept} WHERE {new}")


def _stored(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    """SQL of ``narrow.NAME`` without the columns that the build does not store."""
    stored = engine.stored_columns(connection, name, database="build")
    empty = [column for column, held in stored.items() if not held]
    filled = sorted({*empty} - {*engine.empty_columns(connection, f"narrow.{name}", empty)})
    if filled:
        raise Unable(f"{filled[0]} of {name} held nothing, and is not stored")
    without = f" EXCLUDE ({', '.join(map(identifier, empty))})" if empty else ""
    return f"SELECT *{without} FROM narrow.{name}"


def inferences(run: Refresh) -> None:
    """Bring ``build.narrow.inferences`` up to date.

    ``was_inferences`` are rows that are no more, ``new_rows`` those in their place and new ones,
    ``changed_rows`` both.
    """
    connection = run.connection
    events.inferences(run.compiled, _received(run, "inferences", "request_id"))
    temporary(
        connection,
        "was_inferences",
        "FROM build.narrow.inferences SEMI JOIN known_inferences USING (row_id)",
    )
    temporary(connection, "new_rows", "FROM narrow.inferences")
    temporary(
        connection,
        "changed_rows",
        "FROM was_inferences UNION ALL BY NAME FROM new_rows",
    )
    merge(connection, "inferences", "row_id", "was_inferences")
    places.replace(connection, "was_inferences")
    _merge_refused(connection, "inferences", "request_id")


def feedback(run: Refresh) -> None:
    """Bring ``build.narrow.feedback`` up to date; ``was_feedback`` are rows that are no more."""
    connection, compiled, project = run.connection, run.compiled, run.project
    conditions = [project.spam, *(signal.positive for signal in project.signals.values())]
    if all(map(is_local, conditions)):
        events.feedback(compiled, project, _received(run, "feedback", "feedback_id"))
    else:
        every = contract_relation(project, run.tables["feedback"])
        events.feedback(compiled, project, events.live(every))
        both = ("build.narrow.feedback", "narrow.feedback")
        one, other = (
            f"(SELECT * FROM {a} EXCEPT ALL SELECT * FROM {b})" for a, b in (both, both[::-1])
        )
        refused = ("build.narrow.refused", "narrow.refused")
        gone, come = (
            f"(SELECT id, reason, source_file, source_row FROM {a} WHERE \"table\" = 'feedback' "
            f"EXCEPT ALL SELECT id, reason, source_file, source_row FROM {b})"
            for a, b in (refused, refused[::-1])
        )
        temporary(
            connection,
            "changed_feedback",
            f"SELECT feedback_id FROM {one} UNION SELECT feedback_id FROM {other} "
            f"UNION SELECT id FROM {gone} UNION SELECT id FROM {come}",
        )
        for name, key in (("feedback", "feedback_id"), ("refused", "id")):
            connection.execute(
                f"DELETE FROM narrow.{name} WHERE {key} NOT IN (FROM changed_feedback)"
            )
        temporary(
            connection,
            "known_feedback",
            "SELECT row_id FROM build.narrow.feedback "
            "SEMI JOIN changed_feedback USING (feedback_id)",
        )
    temporary(
        connection,
        "was_feedback",
        "FROM build.narrow.feedback SEMI JOIN known_feedback USING (row_id)",
    )
    merge(connection, "feedback", "row_id", "was_feedback")
    _merge_refused(connection, "feedback", "feedback_id")


def _merge_refused(connection: duckdb.DuckDBPyConnection, table: str, key: str) -> None:
    connection.execute(
        f'DELETE FROM build.narrow.refused WHERE "table" = {literal(table)} '
        f"AND id IN (SELECT {key} FROM changed_{table})"
    )
    connection.execute("INSERT INTO build.narrow.refused FROM narrow.refused")
    connection.execute("DELETE FROM narrow.refused")


def inference_columns(connection: duckdb.DuckDBPyConnection, read: Container[str]) -> str:
    """SQL of the columns of ``narrow.inferences``, which are NULL but those in `read`."""
    types = engine.columns_of(connection, "build.narrow.inferences")
    return ", ".join(
        identifier(name) if name in read else f"NULL::{dtype} AS {identifier(name)}"
        for name, dtype in types.items()
    )


def only(connection: duckdb.DuckDBPyConnection, name: str, condition: str) -> None:
    """Make ``narrow.NAME`` of those rows of the build for which a condition holds."""
    connection.execute(
        f"CREATE OR REPLACE TABLE narrow.{name} AS FROM build.narrow.{name} WHERE {condition}"
    )


@contextmanager
def using(connection: duckdb.DuckDBPyConnection, database: str) -> Iterator[None]:
    """Use another database for the length of a block."""
    before = engine.scalar(connection, "SELECT current_database()")
    connection.execute(f"USE {database}")
    try:
        yield
    finally:
        connection.execute(f"USE {before}")


def listed(numbers: frozenset[int]) -> str:
    """SQL of a list of numbers."""
    return ", ".join(map(str, sorted(numbers))) or "NULL"


def span(duration: timedelta) -> str:
    """SQL of an interval."""
    return f"to_microseconds({round(duration.total_seconds() * 1_000_000)})"
