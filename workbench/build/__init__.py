"""A build: one immutable DuckDB file over pinned versions of the lake.

Everything is made anew in a file of its own and published by replacing the manifest; a reader
keeps the build that it opened, and a build that was killed leaves the previous one in force.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir

from workbench import __version__, attribution, engine, enrich, labels, state, steps
from workbench import ingest as ingesting
from workbench.build import artefacts, events, ledger, macros, manifest, views
from workbench.build import contexts as build_contexts
from workbench.build.lock import writing
from workbench.build.sources import LakeTable, open_table, with_rows_in_place
from workbench.engine import literal
from workbench.errors import DataError
from workbench.ingest import commit
from workbench.ingest.forgotten import FILE as FORGOTTEN
from workbench.ingest.records import superseded
from workbench.lake import Lake
from workbench.project import CONFIG_NAME, Project

#: Number of the layout of a build's tables and views. A build of another number is made anew.
LAYOUT = 2


def build(
    project: Project,
    *,
    as_of: str | None = None,
    narrate: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Read what is new, build, and publish.

    Parameters
    ----------
    project
        The project.
    as_of
        Time to which maturity is measured; the greatest ``received_at`` when None.
    narrate
        Receives one line per step.

    Returns
    -------
    dict
        The manifest in force, with ``notes`` of the ingest and ``fresh``: whether anything was
        new.
    """
    with writing(project):
        seconds: dict[str, float] = {}
        started = time.perf_counter()
        report = ingesting.ingest(project, narrate=narrate)
        seconds["ingest"] = time.perf_counter() - started
        lake = Lake(project.state)
        tables = {
            name: open_table(lake, name)
            for name in (
                "ingests", "inferences", "feedback", "quarantine",
                *(("aliases",) if project.aliases is not None else ()),
                *(context.table for context in project.contexts if context.source is not None),
            )
        }  # fmt: skip
        key = _key(project, tables, as_of)
        current = manifest.read(project)
        if current is not None and current["key"] == key:
            return {**current, "seconds": seconds, "notes": report.notes, "fresh": False}
        narrate("building")
        build_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{key[:8]}"
        folder = project.state / "builds"
        folder.mkdir(exist_ok=True)
        unfinished = folder / f"{build_id}.unfinished"
        made = _make(project, tables, unfinished, as_of, seconds)
        pins = list(tables["inferences"].pins)
        result = {
            "build": build_id,
            "file": f"builds/{build_id}.duckdb",
            "key": key,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "tables": {name: t.version for name, t in tables.items() if t.version is not None},
            "files": sorted(
                file
                for name in ("inferences", "feedback", "quarantine")
                for file in tables[name].files
            )
            + [FORGOTTEN] * (bool(pins) and (project.state / FORGOTTEN).exists()),
            "in_place": pins,
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            **made,
        }
        manifest.publish(project, result, unfinished)
        return {**result, "notes": report.notes + _notes(project, made), "fresh": True}


def _notes(project: Project, made: dict[str, Any]) -> list[str]:
    """What a person should know of a build beside its ledger."""
    notes = [
        f"{n:,} events are called {name!r}, which has no kind: they have no reward; add "
        f"[feedback.signals.{name}]"
        for name, n in made["status"]["signals_without_kind"].items()
    ]
    text = (project.root / CONFIG_NAME).read_text(encoding="utf-8")
    asked = sum(line.lstrip("# ").startswith("QUESTION") for line in text.splitlines())
    notes += artefacts.notes(made["status"]["artefacts"])
    # The head of the file explains what a QUESTION is.
    if asked:
        notes.append(f"{CONFIG_NAME} has {asked} line(s) marked QUESTION: please answer them")
    return notes


def _key(project: Project, tables: dict[str, LakeTable], as_of: str | None) -> str:
    """Identity of what a build is made from; equal keys give equal builds."""
    parts = [
        __version__,
        manifest.FORMAT,
        LAYOUT,
        project.config_id,
        artefacts.pinned(project),
        as_of,
        sorted((name, table.version) for name, table in tables.items()),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _make(
    project: Project,
    tables: dict[str, LakeTable],
    target: Path,
    as_of: str | None,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Fill a build file; what the manifest says of it."""
    connection = engine.connect(temp=project.state / "tmp")
    try:
        backend = engine.backend(connection)
        connection.execute(f"ATTACH {literal(str(target))} AS build")
        connection.execute("USE build")
        connection.execute("CREATE SCHEMA narrow")
        connection.execute(f"SET VARIABLE root = {literal(str(project.state) + '/')}")
        clock = _Stopwatch(seconds)
        register = commit.register(connection, Lake(project.state))
        logged = [record for table, record, _ in register if table == "inferences"]
        tables["inferences"] = with_rows_in_place(
            connection, project, tables["inferences"], tables["quarantine"], logged
        )
        replaced, continued = superseded([record for _, record, _ in register])
        events.readings(
            connection, [(name, r.ingest_id) for name, r, _ in register], replaced, continued
        )
        events.inferences(connection, backend, project, tables["inferences"])
        events.feedback(connection, backend, project, tables["feedback"])
        clock("sort out")
        _attribute(connection, backend, project, tables)
        clock("attribute")
        horizon = _as_of(connection, as_of)
        _label(connection, backend, project, tables, horizon)
        clock("label")
        reports = _enrich(connection, backend, project, tables, horizon)
        applied = artefacts.report(connection, project)
        clock("enrich")
        status = ledger.count(connection, project, tables)
        state.create(connection, backend)
        macros.create(connection, backend)
        views.create(
            connection, project, tables["inferences"], tables["feedback"], tables["quarantine"]
        )
        ledger.assert_grains(connection)
        connection.execute("CHECKPOINT build")
        connection.execute("USE memory")
        connection.execute("DETACH build")
        clock("finish")
        status["contexts"] = reports
        status["artefacts"] = applied
        return {
            "as_of": horizon,
            "ledger": status["ledger"],
            "artefacts": {kind: one["id"] for kind, one in applied.items()},
            "status": status,
        }
    finally:
        connection.close()


class _Stopwatch:
    """Writes down how long each stage took."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds
        self._last = time.perf_counter()

    def __call__(self, stage: str) -> None:
        now = time.perf_counter()
        self._seconds[stage] = now - self._last
        self._last = now


def _attribute(
    connection: duckdb.DuckDBPyConnection,
    backend: Any,
    project: Project,
    tables: dict[str, LakeTable],
) -> None:
    events.aliases(connection, project, tables.get("aliases"))
    feedback = backend.table("feedback", database="narrow").select(
        *attribution.EVENT_COLUMNS, *attribution.CLOCK_COLUMNS
    )
    inferences = backend.table("inferences", database="narrow").select(
        *attribution.INFERENCE_COLUMNS
    )
    aliases = backend.table("aliases", database="narrow") if project.aliases else None
    skews = attribution.clocks(feedback, inferences, aliases)
    connection.execute(f"CREATE TABLE narrow.clocks AS {engine.sql_of(skews)}")
    if project.clock_skew == "correct":
        feedback = attribution.corrected(feedback, backend.table("clocks", database="narrow"))
    found = attribution.attribute(
        feedback,
        inferences,
        fallback=project.fallback,
        window=project.window,
        aliases=aliases,
        credit=project.credit,
        keep=partial(_kept, connection, backend, itertools.count()),
    )
    connection.execute(f"CREATE TABLE narrow.attribution AS {engine.sql_of(found)}")
    credited = attribution.credits(
        backend.table("attribution", database="narrow"),
        feedback,
        inferences,
        rule=project.credit,
        discount=project.discount,
    )
    connection.execute(f"CREATE TABLE narrow.credits AS {engine.sql_of(credited)}")


def _kept(
    connection: duckdb.DuckDBPyConnection, backend: Any, numbers: Iterator[int], table: ir.Table
) -> ir.Table:
    """An intermediate result as a temporary table: read often, worked out and compiled once."""
    name = f"kept_{next(numbers)}"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {engine.sql_of(table)}")
    return backend.table(name)


def _as_of(connection: duckdb.DuckDBPyConnection, given: str | None) -> str | None:
    """The build's ``as_of`` as ISO text; None without clocks."""
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
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _label(
    connection: duckdb.DuckDBPyConnection,
    backend: Any,
    project: Project,
    tables: dict[str, LakeTable],
    as_of: str | None,
) -> None:
    events.same_output(connection, tables)
    feedback = backend.table("feedback", database="narrow")
    found = backend.table("attribution", database="narrow")
    judged = labels.judged(
        feedback, found, backend.table("credits", database="narrow"), backend.table("same_output")
    )
    inferences = backend.table("inferences", database="narrow")
    rewarded = labels.rewarded(judged, inferences)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE rewarded AS {engine.sql_of(rewarded)}")
    horizon = None if as_of is None else ibis.timestamp(as_of).cast("timestamp('UTC')")
    weights = (
        artefacts.rater_weights(backend, project) if project.policy == "rater_weighted" else {}
    )
    resolved = labels.resolve(
        backend.table("rewarded"),
        inferences,
        policy=project.policy,
        signals=project.label_signals,
        class_signals=any(signal.kind == "label" for signal in project.signals.values()),
        maturity=project.maturity,
        as_of=horizon,
        **weights,
    )
    connection.execute(f"CREATE TABLE narrow.labels AS {engine.sql_of(resolved)}")


def _enrich(
    connection: duckdb.DuckDBPyConnection,
    backend: Any,
    project: Project,
    tables: dict[str, LakeTable],
    as_of: str | None,
) -> dict[str, Any]:
    inferences, reports = build_contexts.join_all(connection, backend, project, tables, as_of)
    waits = project.maturity.total_seconds() > 0
    touched = backend.table("rewarded").filter(
        lambda t: t["request_id"].notnull() & ~t["retracted"]
        & (t["reward"].notnull() | t["class"].notnull())
    ).select(__touched="request_id").distinct()  # fmt: skip
    inferences = inferences.left_join(touched, inferences["request_id"] == touched["__touched"])
    logged = (backend.table(n, database="narrow") for n in ("feedback", "attribution", "credits"))
    counts = enrich.event_counts(*logged).rename(__judged="request_id")
    inferences = inferences.left_join(counts, inferences["request_id"] == counts["__judged"])
    inferences = inferences.mutate(n_events=inferences["n_events"].fill_null(0)).drop("__judged")
    reason = ibis.cases(
        (inferences["__touched"].isnull(), "no_feedback"),
        (inferences["ts"].isnull(), "no_clock" if waits else "not_deciding"),
        else_="not_mature" if waits else "not_deciding",
    )
    enriched = enrich.with_labels(
        inferences,
        backend.table("labels", database="narrow"),
        positive_class=project.positive_class,
        unlabelled=reason,
        classes=project.classes,
    ).drop("__touched")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE enriching AS {engine.sql_of(enriched)}")
    fitted = artefacts.add(
        connection, backend, project, tables["inferences"], backend.table("enriching")
    )
    private = ", ".join(engine.identifier(c) for c in build_contexts.private_columns(project))
    connection.execute(
        f"CREATE TABLE narrow.enriched_inferences AS SELECT * EXCLUDE (ingest_id, "
        f"source_file, source_row{', ' + private if private else ''}) "
        f"FROM ({engine.sql_of(fitted)})"
    )
    if private:
        connection.execute(
            f"CREATE TABLE narrow.contexts AS SELECT request_id, {private} FROM enriching"
        )
    _steps(connection, backend)
    rewards = backend.table("rewarded").filter(lambda t: t["main"])
    rewards = rewards.select(__event="feedback_id", __reward="reward")
    events_table = backend.table("feedback", database="narrow")
    events_table = events_table.left_join(
        rewards, events_table["feedback_id"] == rewards["__event"]
    )
    events_table = events_table.mutate(reward=events_table["__reward"]).drop(
        "__event", "__reward", "ingest_id"
    )
    view = enrich.feedback_view(
        events_table,
        backend.table("attribution", database="narrow"),
        backend.table("enriched_inferences", database="narrow"),
    )
    connection.execute(f"CREATE TABLE narrow.enriched_feedback AS {engine.sql_of(view)}")
    return reports


def _steps(connection: duckdb.DuckDBPyConnection, backend: Any) -> None:
    """Make ``narrow.enriched_steps``, without the wide columns."""
    judged = backend.table("rewarded")
    usable = judged.filter(~judged["retracted"], judged["reward"].notnull())
    wide = backend.table("feedback", database="narrow").select("feedback_id", "scope")
    wide = wide.inner_join(
        backend.table("attribution", database="narrow").select("feedback_id", "method"),
        "feedback_id",
    )
    wide = wide.filter((wide["scope"] == "trace").fill_null(False) | (wide["method"] == "trace"))
    found = steps.steps(
        backend.table("inferences", database="narrow"),
        usable,
        usable.filter(usable["main"]).semi_join(wide, "feedback_id"),
        backend.table("labels", database="narrow"),
    )
    connection.execute(f"CREATE TABLE narrow.enriched_steps AS {engine.sql_of(found)}")
