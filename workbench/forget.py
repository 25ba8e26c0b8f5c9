"""Erasure: the one rewrite of the lake.

What a user's rows are is found first, by ids: the inferences of the user, the events by the user,
as user or as rater, those that judge these inferences, and the facts of contexts that are keyed by
either. They are taken out of every table, whose history is dropped; the datasets lose the examples
that were made of them, and their versions are withdrawn; builds are removed and made anew. The
files that the project reads are not touched: what was erased is left out whenever they are read.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from workbench import engine
from workbench.build.lock import writing
from workbench.datasets import store
from workbench.engine import identifier, literal
from workbench.errors import ConfigError, NotFoundError
from workbench.ingest.commit import register
from workbench.ingest.forgotten import FILE, hashes_sql, ids_among
from workbench.ingest.in_place import rows as rows_in_place
from workbench.lake import Lake
from workbench.project import Project

#: What was erased and when, in the state folder; the ids are hashed.
LOG = "forgotten.json"


def forget(
    project: Project, user: str, *, narrate: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Erase a user from all that the program wrote.

    Parameters
    ----------
    project
        The project. Its build has to be made anew afterwards.
    user
        The ``user_id`` or ``rater_id``.
    narrate
        Receives one line per step.

    Returns
    -------
    dict
        ``rows`` (erased, by table), ``versions`` (of datasets, withdrawn), ``artefacts`` and
        ``builds`` (removed), ``mentioned`` (files of the project that name the user and were not
        touched).

    Raises
    ------
    ConfigError
        If no user is named.
    NotFoundError
        If nothing of that user is there.
    LockedError
        If another process writes to the project.
    """
    if not user.strip():
        raise ConfigError("No user is named.", "Write: workbench forget --user ID")
    with writing(project), engine.connect(temp=project.state / "tmp") as connection:
        lake = Lake(project.state)
        in_place = _in_place(connection, project, lake)
        _find(connection, lake, user, in_place)
        known = int(engine.scalar(connection, "SELECT count(*) FROM erased_ids"))
        rows: dict[str, int] = {}
        if in_place is not None:
            condition = _condition(connection, in_place, user)
            kept_out = engine.scalar(
                connection, f"SELECT count(*) FROM {in_place} WHERE {condition}"
            )
            rows |= {"inferences": int(kept_out)} if kept_out else {}
        if known > 1:
            _remember(connection, project.state)
        # The inferences last: by them a run that was killed finds again what belongs to the user.
        order = sorted(lake.tables(), key=lambda name: (name == "inferences", name == "feedback"))
        for table in (name for name in order if name != "ingests"):
            narrate(f"looking through {table}")
            relation = lake.relation(table)
            if relation is None:
                continue
            erased = _erase(connection, lake, table, _condition(connection, relation, user))
            if erased:
                rows[table] = rows.get(table, 0) + erased
        versions = []
        for name in _folders(project.state):
            narrate(f"looking through the dataset {name}")
            versions += _erase_dataset(connection, store.Dataset(project.state, name), user)
        artefacts = _remove(project.state / "artefacts", connection, user)
        if known <= 1 and not rows and not versions and not artefacts:
            raise NotFoundError(
                f"Nothing of a user {user!r} is here.",
                "Look for the right id with: workbench sql 'SELECT DISTINCT user_id FROM "
                "inferences'",
            )
        # What pages prepared for download.
        shutil.rmtree(project.state / "exports", ignore_errors=True)
        builds = _remove_builds(project.state)
        done = {
            "rows": rows,
            "versions": versions,
            "artefacts": artefacts,
            "builds": builds,
        }
        _log(project.state, connection, user, done)
    return {**done, "mentioned": _mentioned(project, user)}


def _in_place(connection: duckdb.DuckDBPyConnection, project: Project, lake: Lake) -> str | None:
    """Relation of the inferences that the lake has no copy of; None where it has all."""
    connection.execute(f"SET VARIABLE root = {literal(f'{project.state}/')}")
    readings = [record for table, record, _ in register(connection, lake) if table == "inferences"]
    found = rows_in_place(connection, project, readings, lake.relation("quarantine"))
    return None if found is None else found.relation


def _find(
    connection: duckdb.DuckDBPyConnection, lake: Lake, user: str, in_place: str | None
) -> None:
    """Make ``erased_ids``: the user, and the inferences and events of the user."""
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE erased_ids AS SELECT {literal(user)}::VARCHAR AS id"
    )
    calls = ("request_id", ("user_id",))
    places = (
        (in_place, *calls),
        (lake.relation("inferences"), *calls),
        (lake.relation("feedback"), "feedback_id", ("user_id", "rater_id", "request_id")),
    )
    for relation, key, by in places:
        if relation is None:
            continue
        columns = engine.columns_of(connection, relation)
        match = " OR ".join(
            f"{name} IN (SELECT id FROM erased_ids)" for name in by if name in columns
        )
        if match and key in columns:
            connection.execute(
                f"INSERT INTO erased_ids SELECT DISTINCT {key} FROM {relation} "
                f"WHERE ({match}) AND {key} IS NOT NULL"
            )


def _condition(connection: duckdb.DuckDBPyConnection, relation: str, user: str) -> str:
    """SQL of whether a row of a table is one of the user's."""
    columns = engine.columns_of(connection, relation)
    parts = [f"{identifier(name)} IN (SELECT id FROM erased_ids)" for name in ids_among(columns)]
    if "raw" in columns:
        parts.append(f"regexp_matches(raw, {literal(_word(user))})")
    return " OR ".join(f"coalesce({part}, false)" for part in parts) or "false"


def _word(user: str) -> str:
    """Regular expression of the id as a word of its own: ``ann`` is not in ``ann.7``."""
    escaped = re.sub(r"([^A-Za-z0-9_])", r"\\\1", user)
    return rf"(^|[^A-Za-z0-9_.@-]){escaped}($|[^A-Za-z0-9_.@-]|\.($|[^A-Za-z0-9]))"


def _erase(connection: duckdb.DuckDBPyConnection, lake: Lake, table: str, condition: str) -> int:
    """Take the rows for which the condition holds out of a table; how many they were."""
    relation = lake.relation(table)
    erased = engine.scalar(connection, f"SELECT count(*) FROM {relation} WHERE {condition}")
    if erased:
        query = f"SELECT * FROM {relation} WHERE NOT ({condition})"
        lake.rewrite(table, connection.execute(query).to_arrow_reader(10_000))
    return int(erased)


def _folders(state: Path) -> list[str]:
    return sorted(
        path.name for path in (state / store.FOLDER).glob("*") if (path / "examples").is_dir()
    )


def _erase_dataset(
    connection: duckdb.DuckDBPyConnection, dataset: store.Dataset, user: str
) -> list[str]:
    """Erase the user from a dataset; the versions that held something of the user."""
    with dataset.writing():
        lake = dataset.lake
        relation = lake.relation("examples")
        choices = lake.relation("choices")
        if relation is None or choices is None:
            return []
        columns = engine.columns_of(connection, relation)
        texts = [name for name, kind in columns.items() if kind == "VARCHAR"]
        mine = [f"{identifier(name)} = {literal(user)}" for name in texts]
        mine += [f"{name} IN (SELECT id FROM erased_ids)" for name in ("request_id", "other_id")]
        mine.append("list_has_any(feedback_ids, (SELECT list(id) FROM erased_ids))")
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE erased_examples AS SELECT DISTINCT example_id "
            f"FROM {relation} WHERE {' OR '.join(f'coalesce({part}, false)' for part in mine)}"
        )
        example = "example_id IN (SELECT example_id FROM erased_examples)"
        inside = f"({example} OR coalesce(split_group = {literal(user)}, false))"
        found = connection.execute(
            f"SELECT compile_id, count(*) FROM {choices} WHERE {inside} GROUP BY 1"
        ).fetchall()
        # First, or a run that was killed in between would leave a version that lacks examples.
        withdrawn = dataset.withdraw(
            dict(found), lambda text: re.sub(_word(user), r"\1[erased]\2", text)
        )
        _erase(connection, lake, "choices", inside)
        _erase(connection, lake, "examples", example)
        return withdrawn


def _remove(folder: Path, connection: duckdb.DuckDBPyConnection, user: str) -> list[str]:
    """Remove the artefacts that name the user, such as the weights of raters."""
    removed = []
    for path in sorted(folder.glob("*.json")):
        table = path.with_suffix(".parquet")
        named = re.search(_word(user), path.read_text(encoding="utf-8")) is not None
        if not named and table.exists():
            relation = f"read_parquet({literal(str(table))})"
            texts = [
                f"{identifier(name)} IN (SELECT id FROM erased_ids)"
                for name, kind in engine.columns_of(connection, relation).items()
                if kind == "VARCHAR"
            ]
            named = bool(texts) and bool(
                engine.scalar(
                    connection, f"SELECT count(*) FROM {relation} WHERE {' OR '.join(texts)}"
                )
            )
        if named and path.name != "pinned.json":
            table.unlink(missing_ok=True)
            path.unlink()
            removed.append(path.stem)
    return removed


def _remove_builds(state: Path) -> int:
    (state / "current").unlink(missing_ok=True)
    builds = list((state / "builds").glob("*.duckdb*"))
    for path in builds:
        path.unlink()
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
    return len(builds)


def _remember(connection: duckdb.DuckDBPyConnection, state: Path) -> None:
    """Keep the hashes of what was erased, so that it is left out when it is read again."""
    before = hashes_sql(state)
    union = f" UNION {before}" if before else ""
    waiting = state / f"{FILE}.unfinished"
    connection.execute(
        f"COPY (SELECT sha256(id) AS hash FROM erased_ids{union} ORDER BY 1) "
        f"TO {literal(str(waiting))} (FORMAT parquet)"
    )
    waiting.replace(state / FILE)


def _log(
    state: Path, connection: duckdb.DuckDBPyConnection, user: str, done: dict[str, Any]
) -> None:
    path = state / LOG
    entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    row = connection.execute("SELECT sha256(?)", [user]).fetchone()
    entries.append(
        {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "user": row[0] if row else "",
            **done,
        }
    )
    store.write_whole(path, entries)


def _mentioned(project: Project, user: str) -> list[str]:
    """Files that people wrote, and that name the user."""
    paths = [
        path
        for pattern in ("*.toml", "slices/*.toml", "queries/*.sql")
        for path in sorted(project.root.glob(pattern))
    ]
    word = re.compile(_word(user))
    return [
        str(path.relative_to(project.root))
        for path in paths
        if word.search(path.read_text(encoding="utf-8", errors="replace"))
    ]
