"""What a published build promises: its grains, its ledger, and that nothing disturbs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

import workbench
from tests.build.equality import differences
from tests.ingest.folder import PLAIN, START, Folder, event, inference, lines
from workbench import contract, engine
from workbench.build import contexts, manifest
from workbench.build.lock import writing
from workbench.configuration import load
from workbench.errors import DataError, LockedError
from workbench.macros import macros
from workbench.query import open_build

CONFIG = (
    PLAIN
    + """
[feedback.signals.stars]
kind = "rating"
scale = [1, 5]
[attribution]
fallback = ["user"]
[labels]
maturity = "1h"
[context.user]
source = "users.csv"
on = "user_id"
"""
)

#: Statuses of a received event, in the order in which they are tested.
STATUSES = ("invalid", "duplicate", "spam", "attributed", "ambiguous", "orphan")


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(START, UTC) + timedelta(seconds=seconds)


def _write(path: Path) -> Folder:
    """Ten inferences and an event of each status."""
    folder = Folder.make(
        path, CONFIG.replace('"events"\n', '"events"\nspam = "rater_id = \'x\'"\n')
    )
    rows = [
        inference(n, user_id=f"u{n % 3}", input=f"question {n}", output=f"answer {n}",
                  probabilities=[0.25, 0.75], features={"a": n})
        for n in range(10)
    ]  # fmt: skip
    folder.write(
        "logs/a.jsonl", lines([*rows, inference(0, ts=START + 1, output="again")]) + "not json\n"
    )
    nameless = event(20, user_id="u0", ts=START + 9)
    del nameless["request_id"]
    folder.write(
        "events/first.jsonl",
        lines(
            [
                *(event(n) for n in range(4)),
                {**event(0), "value": 1},
                event(4, value="maybe"),
                event(5, rater_id="x"),
                event(6, request_id="unknown", ts=START + 7200),
                event(7, name="stars", value=4),
                nameless,
            ]
        ),
    )
    folder.write("users.csv", "user_id,tier\nu0,gold\nu1,free\n")
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A project that was built once; tests only read it."""
    folder = _write(tmp_path_factory.mktemp("project") / "my project")
    folder.build()
    return folder


def _published(folder: Folder) -> list[str]:
    return sorted(path.name for path in (folder.path / ".workbench" / "builds").iterdir())


def _files(folder: Folder) -> dict[str, tuple[int, int]]:
    """Every file that the program wrote, with its size and time of change."""
    return {
        str(path.relative_to(folder.path)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in (folder.path / ".workbench").rglob("*")
        if path.is_file() and path.name != "lock"
    }


# --- laws -------------------------------------------------------------------------------------


def test_every_event_has_one_status_and_the_ledger_adds_up(project: Folder) -> None:
    status = project.status()
    assert {name: status[name] for name in STATUSES} == {
        "invalid": 1, "duplicate": 1, "spam": 1, "attributed": 6, "ambiguous": 0, "orphan": 1,
    }  # fmt: skip
    assert status["received"] == sum(status[name] for name in STATUSES) == 10
    ledger = dict(project.ask("SELECT status, n FROM ledger WHERE \"table\" = 'feedback'"))
    assert ledger == {name: status[name] for name in ("received", *STATUSES)}
    attributed = dict(project.ask("SELECT status, count(*) FROM attribution GROUP BY 1"))
    assert attributed == {name: status[name] for name in ("attributed", "orphan")}
    refused = project.ask("SELECT count(*) FROM quarantine WHERE \"table\" = 'feedback'")
    assert refused == [(status["invalid"] + status["duplicate"] + status["spam"],)]
    inferences = status["inferences"]
    assert inferences["received"] == 12
    assert inferences["received"] == sum(
        inferences[name] for name in ("invalid", "duplicate", "accepted")
    )
    assert inferences["accepted"] == inferences["labelled"] + inferences["unlabelled"] == 10


@pytest.mark.parametrize(
    ("relation", "key", "rows"),
    [
        ("inferences", "request_id", 10),
        ("feedback", "feedback_id", 7),
        ("attribution", "feedback_id", 7),
        ("credits", "(feedback_id, request_id)", 6),
        ("labels", "request_id", 6),
        ("enriched_inferences", "request_id", 10),
        ("enriched_feedback", "feedback_id", 6),
        ("ledger", '("table", status)', 11),
        ("quarantine", "(source_file, source_row, reason)", 5),
    ],
)
def test_grains(project: Folder, relation: str, key: str, rows: int) -> None:
    found = project.ask(f"SELECT count(*), count(DISTINCT {key}) FROM {relation}")
    assert found == [(rows, rows)]


def test_credits_add_up_to_one_per_event(project: Folder) -> None:
    weights = project.ask("SELECT feedback_id, sum(weight) FROM credits GROUP BY 1")
    assert {weight for _, weight in weights} == {1.0}


def test_comments_of_view_columns_are_the_contract_s(project: Folder) -> None:
    tables = contract.tables()
    with open_build(project.path) as build:
        rows = build.relations()
    assert [row for row in rows if not row["comment"] and row["column"] != "user"] == []
    for row in rows:
        known = tables.get(row["relation"])
        if known is not None and row["column"] in known.columns:
            assert row["comment"] == known.columns[row["column"]].comment, row
    enriched = {row["column"]: row["comment"] for row in rows
                if row["relation"] == "enriched_feedback"}  # fmt: skip
    assert enriched["feedback_ts"] == tables["feedback"].columns["ts"].comment
    assert enriched["ts"] == tables["inferences"].columns["ts"].comment
    assert enriched["method"] == tables["attribution"].columns["method"].comment


@pytest.mark.parametrize("name", macros.names())
def test_views_with_parameters_have_the_columns_of_the_contract(project: Folder, name: str) -> None:
    declared = {column.name: column.type for column in contract.table(name).columns.values()}
    with open_build(project.path) as build:
        assert build.columns(name) == declared
        assert build.run(f"FROM {name}()").columns == tuple(declared)


# --- publication ------------------------------------------------------------------------------


def test_a_build_is_published_as_one_file_and_a_manifest(project: Folder) -> None:
    state = project.path / ".workbench"
    current = json.loads((state / "current").read_text())
    assert current["file"] == f"builds/{current['build']}.duckdb"
    assert _published(project) == [f"{current['build']}.duckdb"]
    assert all((state / file).is_file() for file in current["files"])
    assert not any(Path(file).is_absolute() for file in current["files"])
    assert list((state / "tmp").iterdir()) == []


def test_nothing_new_leaves_the_build_and_every_file(project: Folder) -> None:
    before = _files(project)
    build = project.status()["build"]
    done = project.build()
    assert (done["build"], done["fresh"]) == (build, False)
    assert _files(project) == before


def test_a_failed_build_leaves_the_previous_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder.make(tmp_path / "project")
    folder.write("logs/a.jsonl", lines([inference(0)]))
    before = folder.build()["build"]
    published = _published(folder)
    folder.append("logs/a.jsonl", lines([inference(1)]))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(manifest.os, "replace", full)
        with pytest.raises(DataError, match="No space left on device"):
            folder.build()
    assert folder.status()["build"] == before
    assert folder.ids() == ["r0"]
    # What was left behind is swept away by the next build, which finishes the job.
    folder.build()
    assert folder.ids() == ["r0", "r1"]
    assert set(_published(folder)) == {*published, f"{folder.status()['build']}.duckdb"}


def test_an_open_reader_keeps_its_build(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "project", events=2)
    folder.write("logs/a.jsonl", lines([inference(0, input="a"), inference(1, input="b")]))
    folder.build()
    question = "SELECT count(*), count(input), avg(reward), max(ts) FROM enriched_inferences"
    with open_build(folder.path) as reader:
        before = reader.run(question).table.to_pylist()
        stream = reader.stream("SELECT request_id, input FROM inferences")
        folder.append("logs/a.jsonl", lines([inference(2, input="c")]))
        folder.write("events/more.jsonl", lines([event(2, value=1), event(0, feedback_id="z")]))
        built = folder.build()
        assert built["build"] != reader.id
        assert reader.run(question).table.to_pylist() == before
        assert stream.read_all().num_rows == 2
        assert reader.manifest["ledger"]["received"] == 2
        with open_build(folder.path) as new:
            assert new.id == built["build"]
            assert new.run(question).table.to_pylist() != before
        # An older build can be opened by its name, too.
        with open_build(folder.path, reader.id) as old:
            assert old.run(question).table.to_pylist() == before


_HOLD = """
import sys
from pathlib import Path
from workbench.build.lock import writing
from workbench.configuration import load
with writing(load(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def writer(project: Folder) -> Iterator[int]:
    """Number of another process that is writing to the project."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(project.path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process.pid
    process.communicate("")


def test_a_second_writer_is_told_of_the_first(project: Folder, writer: int) -> None:
    for write in (project.build, project.ingest):
        with pytest.raises(LockedError, match=rf"\b{writer}\b") as caught:
            write()
        assert caught.value.exit_code == 3
    # Readers are not kept out.
    assert len(project.ids()) == 10


def test_the_lock_of_this_process_is_let_go(project: Folder) -> None:
    with writing(load(project.path)):
        pass
    with writing(load(project.path)):
        assert (project.path / ".workbench" / "lock").read_text() == str(os.getpid())


# --- moving and other clients -----------------------------------------------------------------


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A project that was built, and then moved to another place."""
    home = tmp_path_factory.mktemp("moved")
    folder = _write(home / "here")
    folder.build()
    (home / "there").mkdir()
    return Folder(Path(shutil.move(folder.path, home / "there" / "it's elsewhere")))


def test_a_moved_project_still_works(moved: Folder, project: Folder) -> None:
    everything = (
        'SELECT request_id, input, output, probabilities, metadata, reward, "user".tier '
        "FROM enriched_inferences ORDER BY 1"
    )
    assert moved.ask(everything) == project.ask(everything)
    assert moved.ask("SELECT count(input) FROM enriched_feedback") == [(6,)]
    assert moved.ask("SELECT count(raw) FROM attribution") == [(7,)]
    before = moved.status()
    assert moved.build()["fresh"] is False
    moved.append("events/first.jsonl", lines([event(8)]))
    moved.build()
    after = moved.status()
    assert after["received"] == before["received"] + 1
    assert after["duplicate"] == before["duplicate"]


def test_no_path_of_the_machine_is_written(project: Folder) -> None:
    needle = str(project.path.parent).encode()
    found = [
        path.relative_to(project.path)
        for path in (project.path / ".workbench").rglob("*")
        if path.is_file() and needle in path.read_bytes()
    ]
    assert found == []
    # Parquet compresses its pages, so the lake's values are looked at besides.
    for relation in ("feedback", "quarantine"):
        [(rows,)] = project.ask(
            f"SELECT count(*) FROM {relation} t WHERE contains(t::VARCHAR, '{needle.decode()}')"
        )
        assert rows == 0
    assert {file for (file,) in project.ask("SELECT DISTINCT source_file FROM feedback")} == {
        "events/first.jsonl"
    }


def _attached(state: Path) -> duckdb.DuckDBPyConnection:
    """A build in a client of its own, as the guide shows it."""
    build = state / json.loads((state / "current").read_text())["file"]
    connection = duckdb.connect()
    connection.execute(f"ATTACH '{build}' AS build (READ_ONLY)")
    connection.execute("USE build")
    connection.execute(f"SET VARIABLE root = '{state}/'")
    return connection


def test_any_duckdb_client_reads_every_view(project: Folder) -> None:
    with _attached(project.path / ".workbench") as client:
        for relation in (
            "inferences", "feedback", "quarantine", "attribution", "credits", "labels", "ledger",
            "enriched_inferences", "enriched_feedback",
        ):  # fmt: skip
            [(rows,)] = project.ask(f"SELECT count(*) FROM {relation}")
            assert len(client.sql(f"FROM {relation}").fetchall()) == rows > 0
        with pytest.raises(duckdb.Error):
            client.execute("DELETE FROM narrow.labels")


# --- time -------------------------------------------------------------------------------------


def _labels(folder: Folder) -> dict[str, str | None]:
    rows = folder.ask("SELECT request_id, label_reason FROM enriched_inferences "
                      "WHERE request_id IN ('r0', 'r3', 'r8')")  # fmt: skip
    return dict(rows)


def test_as_of_decides_which_labels_are_mature(tmp_path: Path) -> None:
    folder = _write(tmp_path / "project")
    built = folder.build()
    # The latest event is that of two hours later.
    assert datetime.fromisoformat(folder.status()["as_of"]) == _time(7200)
    assert _labels(folder) == {"r0": None, "r3": None, "r8": "no_feedback"}
    # r0 is an hour old, ends included; r3 is three seconds younger.
    early = folder.build(as_of=_time(3600).isoformat())
    assert early["build"] != built["build"]
    assert datetime.fromisoformat(folder.status()["as_of"]) == _time(3600)
    assert _labels(folder) == {"r0": None, "r3": "not_mature", "r8": "no_feedback"}
    assert folder.status()["inferences"]["labelled"] == 1
    assert folder.build(as_of=_time(3600).isoformat())["fresh"] is False
    # The whole ledger is that of all events all the same.
    assert early["ledger"] == built["ledger"]
    with pytest.raises(DataError, match="soon"):
        workbench.open(folder.path).build(as_of="soon")
    assert folder.status()["build"] == early["build"]


def test_an_orphan_is_attributed_when_its_inference_arrives(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "project", events=2)
    folder.write("logs/a.jsonl", lines([inference(0)]))
    ledger: dict[str, Any] = folder.build()["ledger"]
    assert (ledger["attributed"], ledger["orphan"]) == (1, 1)
    folder.append("logs/a.jsonl", lines([inference(1)]))
    ledger = folder.build()["ledger"]
    assert (ledger["attributed"], ledger["orphan"], ledger["received"]) == (2, 0, 2)


def test_a_build_in_pieces_has_the_rows_of_one_at_once(
    project: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(engine.MEMORY_LIMIT, "1GB")
    monkeypatch.setattr(contexts, "_ROW_BYTES", 300_000_000)
    found, cut = [], contexts.cut

    def noted(*given: Any) -> int:
        found.append(cut(*given))
        return found[-1]

    monkeypatch.setattr(contexts, "cut", noted)
    other = _write(tmp_path)
    other.build()
    *inferences, judging = found
    assert set(inferences) == {4}
    assert judging == 2
    assert differences(project.path, other.path) == []
