"""A build of everything: all tables of schema ``narrow``, stage by stage."""

from __future__ import annotations

from collections.abc import Set
from datetime import UTC
from functools import partial
from typing import Any

import duckdb

from workbench import engine, progress, state
from workbench.build import contexts as build_contexts
from workbench.build import events, on_spark, stages
from workbench.build.sources import LakeTable, contract_relation, with_rows_in_place
from workbench.compiled import Parts
from workbench.engine import literal
from workbench.errors import DataError
from workbench.ingest.records import Record, superseded
from workbench.project import Project

#: Its ``as_of``, the reports of its contexts, and the relation of the events that are new in it.
Filled = tuple[str | None, dict[str, Any], str | None]


def fill(
    compiled: Parts,
    project: Project,
    tables: dict[str, LakeTable],
    register: list[tuple[str, Record]],
    as_of: str | None,
    *,
    spark: str | None,
    folder: str,
) -> Filled:
    """Make all tables of a build; its ``as_of``, and the reports of its contexts."""
    connection = compiled.connection
    progress.begin("sort out", steps=2, connection=connection)
    connection.execute("USE build")
    connection.execute("CREATE SCHEMA narrow")
    open_in_place(connection, project, tables, register)
    readings(connection, register)
    progress.step()
    events.inferences(compiled, _received(project, tables["inferences"]))
    progress.step()
    events.feedback(compiled, project, _received(project, tables["feedback"]))
    logged, received = (
        int(engine.scalar(connection, f"SELECT count(*) FROM narrow.{name}"))
        for name in ("inferences", "feedback")
    )
    progress.advance(rows=logged + received)
    begin = partial(progress.begin, unit="rows", connection=connection)
    begin("attribute", total=received, steps=2)
    events.aliases(connection, project, tables.get("aliases"))
    with on_spark.joining(compiled, spark, project.state, folder) as joined:
        progress.step()
        stages.clocks(joined, project)
        progress.step()
        stages.attribute(joined, project)
        begin("label", total=received, steps=1)
        progress.step()
        horizon = known_until(connection, as_of)
        lake = tables["inferences"], tables["feedback"]
        stages.label(joined, project, *lake, clock=horizon is not None)
        # Each context, and what is made of all of them.
        begin("enrich", total=logged, steps=len(project.contexts) + 1)
        reports = build_contexts.join_all(joined, project, tables, horizon)
        progress.step()
        stages.enrich(joined, project, tables["inferences"])
        stages.traces(joined)
        stages.judgements(joined)
    state.create(compiled)
    return horizon, reports, None


def open_in_place(
    connection: duckdb.DuckDBPyConnection,
    project: Project,
    tables: dict[str, LakeTable],
    register: list[tuple[str, Record]],
    quarantine: LakeTable | None = None,
    among: Set[int] | None = None,
) -> None:
    """Add to the inferences those rows that stayed in their own files."""
    logged = [record for table, record in register if table == "inferences"]
    tables["inferences"] = with_rows_in_place(
        connection,
        project,
        tables["inferences"],
        quarantine or tables["quarantine"],
        logged,
        among,
    )


def readings(connection: duckdb.DuckDBPyConnection, register: list[tuple[str, Record]]) -> None:
    """Make ``narrow.readings`` of the register."""
    replaced, continued = superseded([record for _, record in register])
    numbers = [(table, record.ingest_id) for table, record in register]
    events.readings(connection, numbers, replaced, continued)


def _received(project: Project, table: LakeTable) -> str:
    return events.live(contract_relation(project, table))


def known_until(connection: duckdb.DuckDBPyConnection, given: str | None) -> str | None:
    """The build's ``as_of`` as ISO text, and as the variable ``as_of``; None without clocks."""
    if given is None:
        sql = (
            "SELECT coalesce((SELECT max(received_at) FROM narrow.feedback), "
            "(SELECT max(ts) FROM narrow.inferences))"
        )
        moment = engine.scalar(connection, sql)
    else:
        try:
            moment = engine.scalar(connection, f"SELECT CAST({literal(given)} AS TIMESTAMPTZ)")
        except duckdb.Error as error:
            raise DataError(
                f"--as-of {given!r} is not a time.", "Write it as 2026-01-31T12:00:00Z."
            ) from error
    found = None if moment is None else moment.astimezone(UTC).isoformat()
    # A time in the text of a statement would make a text of its own for each build.
    connection.execute(f"SET VARIABLE as_of = CAST({literal(found)} AS TIMESTAMPTZ)")
    return found
