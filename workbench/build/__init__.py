"""A build: one immutable DuckDB file over pinned versions of the lake.

It is made in a file of its own, of everything or of a copy of the last one, and published by
replacing the manifest; a reader keeps the build that it opened, and a build that was killed leaves
the previous one in force.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from workbench import __version__, engine, progress
from workbench import ingest as ingesting
from workbench.build import (
    artefacts,
    ledger,
    macros,
    manifest,
    on_spark,
    refresh,
    views,
    whole,
)
from workbench.build.changes import Unable
from workbench.build.lock import writing
from workbench.build.sources import LakeTable, open_table
from workbench.compiled import Parts
from workbench.engine import literal
from workbench.ingest import commit
from workbench.ingest.forgotten import FILE as FORGOTTEN
from workbench.lake import Lake
from workbench.project import CONFIG_NAME, Project

#: Number of the layout of a build's tables and views. A build of another number is made anew.
LAYOUT = 5


def build(
    project: Project,
    *,
    as_of: str | None = None,
    spark: str | None = None,
    narrate: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Read what is new, build, and publish.

    Parameters
    ----------
    project
        The project.
    as_of
        Time to which maturity is measured; the greatest ``received_at`` when None.
    spark
        Address of the Spark Connect server that attributes, labels and enriches, always all rows;
        DuckDB does when None.
    narrate
        Receives one line per step.

    Returns
    -------
    dict
        The manifest in force, with ``notes`` of the ingest and ``fresh``: whether anything was
        new, and its ``stages``; see `workbench.progress.recording`.
    """
    if spark is not None:
        on_spark.check(spark)
    with writing(project), progress.recording() as stages_so_far:
        progress.begin("ingest")
        report = ingesting.ingest(project, narrate=narrate)
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
            taken = stages_so_far()
            return {
                **current, "seconds": progress.seconds(taken), "stages": taken,
                "notes": report.notes, "fresh": False,
            }  # fmt: skip
        narrate("building")
        build_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{key[:8]}"
        folder = project.state / "builds"
        folder.mkdir(exist_ok=True)
        unfinished = folder / f"{build_id}.unfinished"
        basis = _basis(project, as_of)
        last = current if current is not None and current.get("basis") == basis else None
        if spark is not None or (last is not None and last.get("engine") == "spark"):
            # What Spark made is not in the build's file, where rows could be replaced.
            last = None
        try:
            made = _make(project, dict(tables), unfinished, as_of, last, spark)
        except Unable as why:
            narrate(f"building everything: {why}")
            last = None
            made = _make(project, dict(tables), unfinished, as_of)
        pins = made.pop("pins")
        taken = stages_so_far()
        by_spark = Lake(project.state, folder=f"builds/{build_id}")
        result = {
            "build": build_id,
            "file": f"builds/{build_id}.duckdb",
            "key": key,
            "basis": basis,
            "refreshed": None if last is None else last["build"],
            "lake": {name: list(table.files) for name, table in tables.items()},
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "tables": {name: t.version for name, t in tables.items() if t.version is not None},
            "files": sorted(
                file
                for name in ("inferences", "feedback", "quarantine")
                for file in tables[name].files
            )
            + [file for name in by_spark.tables() for file in by_spark.files(name)]
            + [FORGOTTEN] * (bool(pins) and (project.state / FORGOTTEN).exists()),
            "in_place": pins,
            "seconds": progress.seconds(taken),
            **made,
        }
        manifest.publish(project, result, unfinished)
        notes = report.notes + _notes(project, made)
        return {**result, "stages": taken, "notes": notes, "fresh": True}


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
    return _digest(
        _basis(project, as_of), sorted((name, table.version) for name, table in tables.items())
    )


def _basis(project: Project, as_of: str | None) -> str:
    """Identity of all that a build is made from but the rows."""
    forgotten = project.state / FORGOTTEN
    return _digest(
        __version__,
        manifest.FORMAT,
        LAYOUT,
        # `workbench.places` holds hashes as this engine makes them.
        engine.VERSION,
        project.config_id,
        artefacts.pinned(project),
        as_of,
        hashlib.sha256(forgotten.read_bytes()).hexdigest() if forgotten.exists() else None,
    )


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _make(
    project: Project,
    tables: dict[str, LakeTable],
    target: Path,
    as_of: str | None,
    last: dict[str, Any] | None = None,
    spark: str | None = None,
) -> dict[str, Any]:
    """Fill a build file, out of the `last` build where one is given; what the manifest says of it.

    Raises
    ------
    Unable
        If it cannot be made out of the last one.
    """
    connection = engine.connect(temp=project.state / "tmp")
    try:
        # Tables have no order, and to keep one takes memory and waits for the slowest thread.
        connection.execute("SET preserve_insertion_order = false")
        compiled = Parts(
            connection=connection,
            backend=engine.backend(connection),
            file=project.state / "compiled.json",
        )
        if last is not None:
            refresh.check_files(tables, last)
            shutil.copyfile(project.state / last["file"], target)
        # A file that is not whole is thrown away: what a log of it would recover is of no use.
        connection.execute(f"ATTACH {literal(str(target))} AS build (RECOVERY_MODE no_wal_writes)")
        connection.execute(f"SET VARIABLE root = {literal(str(project.state) + '/')}")
        register = [(t, r) for t, r, _ in commit.register(connection, Lake(project.state))]
        anew = partial(whole.fill, spark=spark, folder=f"builds/{target.stem}")
        fill = anew if last is None else partial(refresh.refill, last=last)
        horizon, reports, among = fill(compiled, project, tables, register, as_of)
        connection.execute("USE build")
        applied = artefacts.report(connection, project)
        progress.begin("finish", connection=connection)
        status = ledger.count(connection, project, tables)
        macros.create(compiled)
        views.create(
            connection, project, tables["inferences"], tables["feedback"], tables["quarantine"]
        )
        ledger.assert_grains(connection, among)
        connection.execute("CHECKPOINT build")
        connection.execute("USE memory")
        connection.execute("DETACH build")
        compiled.save(beside=last is not None)
        progress.advance(bytes=target.stat().st_size)
        status["contexts"] = reports
        status["artefacts"] = applied
        return {
            "as_of": horizon,
            "engine": "duckdb" if spark is None else "spark",
            "ledger": status["ledger"],
            "artefacts": {kind: one["id"] for kind, one in applied.items()},
            "status": status,
            "pins": list(tables["inferences"].pins),
        }
    except Unable:
        target.unlink(missing_ok=True)
        raise
    finally:
        connection.close()
