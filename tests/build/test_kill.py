"""A build that is killed at any moment loses nothing; the next one finishes the job."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest

import workbench
from tests.build.equality import differences
from tests.build.logs import copy_sources, write_more, write_project
from tests.ingest.folder import Folder, inference, lines
from workbench.lake import Lake
from workbench.query import open_build

#: Of the first build and of the second each, on one project one after the other.
_KILLS = 10


def _command(project: Path) -> list[str]:
    module = [sys.executable, "-m", "workbench.cli.main"]
    return [*module, "build", "--json", "--project", str(project)]


def _run(project: Path) -> dict[str, Any]:
    """Build in a process of its own, undisturbed."""
    done = subprocess.run(_command(project), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _kill_after(project: Path, seconds: float) -> bool:
    """Begin a build and kill it; whether it was still running then."""
    process = subprocess.Popen(
        _command(project), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def _in_force(project: Path) -> tuple[str, dict[str, Any]] | None:
    """The build in force and its ledger, after every view of it was read to its end."""
    if not (project / ".workbench" / "current").exists():
        return None
    status = workbench.open(project).status()
    with open_build(project) as build:
        for relation in ("enriched_inferences", "enriched_feedback", "quarantine", "attribution"):
            build.arrow(f"SELECT count(*), md5(string_agg(t::VARCHAR)) FROM {relation} t")
        accepted = build.count("SELECT request_id, input FROM inferences")
    assert accepted == status["inferences"]["accepted"]
    assert status["received"] == sum(
        status[name]
        for name in ("invalid", "duplicate", "spam", "attributed", "ambiguous", "orphan")
    )
    return build.id, status


def _lake_rows(project: Path) -> dict[str, Counter[tuple[Any, ...]]]:
    """How often the lake holds each source row, by table; straight from its Parquet files."""
    lake = Lake(project / ".workbench")
    found = {}
    for table in lake.tables():
        key = "source_file, size" if table == "ingests" else "source_file, source_row"
        if table == "quarantine":
            key = '"table", reason, source_file, source_row, raw'
        files = [str(lake.state / name) for name in lake.files(table)]
        rows = duckdb.sql(f"SELECT {key} FROM read_parquet({files}, union_by_name = true)")
        found[table] = Counter(rows.fetchall())
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, float]:
    """The same project after its first and its second build, and how long one takes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    first = write_project(folder / "first")
    started = time.perf_counter()
    _run(first)
    seconds = time.perf_counter() - started
    second = folder / "second"
    shutil.copytree(first, second)
    write_more(second)
    _run(second)
    return first, second, seconds


def _moments(seed: int, seconds: float) -> list[float]:
    """When to kill, from the imports of a build to just after its end; not the same everywhere."""
    chosen = random.Random(seed)
    return [chosen.uniform(0.1, 1.1) * seconds for _ in range(_KILLS)]


def test_killed_first_builds(undisturbed: tuple[Path, Path, float], tmp_path: Path) -> None:
    first, _, seconds = undisturbed
    project = copy_sources(first, tmp_path / "project")
    killed = 0
    for moment in _moments(11, seconds):
        killed += _kill_after(project, moment)
        found = _in_force(project)
        if found is not None:
            assert found[1]["received"] == workbench.open(first).status()["received"]
    assert killed > 0
    _run(project)
    assert differences(first, project) == []
    assert _lake_rows(project) == _lake_rows(first)
    leftovers = [path.name for path in (project / ".workbench").rglob("*unfinished*")]
    assert leftovers == []


def test_killed_second_builds(undisturbed: tuple[Path, Path, float], tmp_path: Path) -> None:
    first, second, seconds = undisturbed
    project = tmp_path / "project"
    shutil.copytree(first, project)
    before = _in_force(project)
    assert before is not None
    write_more(project)
    new = workbench.open(second).status()
    killed = 0
    for moment in _moments(12, seconds):
        killed += _kill_after(project, moment)
        found = _in_force(project)
        assert found is not None
        if found[0] == before[0]:
            assert found[1] == before[1]
        else:
            assert {**found[1], "build": new["build"]} == new
    assert killed > 0
    _run(project)
    assert differences(second, project) == []
    assert _lake_rows(project) == _lake_rows(second)


def test_two_builds_equal_one_from_scratch(
    undisturbed: tuple[Path, Path, float], tmp_path: Path
) -> None:
    _, second, _ = undisturbed
    project = copy_sources(second, tmp_path / "project")
    _run(project)
    assert differences(second, project) == []


def test_killed_while_reading(undisturbed: tuple[Path, Path, float], tmp_path: Path) -> None:
    """Reading is soon done and then not repeated, so each of these kills gets a lake of its own."""
    first, _, _ = undisturbed
    expected = _lake_rows(first)
    chosen = random.Random(13)
    for turn in range(5):
        project = copy_sources(first, tmp_path / f"project {turn}")
        for _ in range(2):
            _kill_after(project, chosen.uniform(0.7, 2.2))
        workbench.open(project).ingest()
        assert _lake_rows(project) == expected
        shutil.rmtree(project)


# Each of the commits and renames that a build consists of is followed by death once.
_DIE_AFTER_EACH = """
import os, signal, sys
from pathlib import Path
import workbench
from workbench import lake
from workbench.build import manifest

def deadly(function):
    def call(*args, **kwargs):
        function(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
    return call

def rename(source, target, replace=os.replace):
    replace(source, target)
    # A build is not taken up in its middle, so each of its two renames is deadly only once.
    died = Path(sys.argv[1], "died-" + ("build" if Path(target).suffix else "manifest"))
    if not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)

lake.write_deltalake = deadly(lake.write_deltalake)
manifest.os.replace = rename
workbench.open(sys.argv[1]).build()
"""


def test_killed_after_each_commit(tmp_path: Path) -> None:
    def write(path: Path) -> Folder:
        folder = Folder.make(path, events=20)
        folder.write("logs/a.jsonl", lines(inference(n) for n in range(10)) + "not json\n")
        folder.write("logs/b.csv", "request_id,ts,model_version\nr10,1772323300,v1\ntoo,few\n")
        folder.append("events/first.jsonl", "not json\n")
        return folder

    expected = write(tmp_path / "undisturbed")
    expected.build()
    project = write(tmp_path / "killed")
    codes = []
    while 0 not in codes:
        done = subprocess.run(
            [sys.executable, "-c", _DIE_AFTER_EACH, str(project.path)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        codes.append(done.returncode)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        assert len(codes) < 40
    # Nine commits (the first one of a table makes it), two renames, and the end.
    assert len(codes) == 9 + 2 + 1
    assert differences(expected.path, project.path) == []
    assert _lake_rows(project.path) == _lake_rows(expected.path)


def test_a_killed_build_leaves_no_lock(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    process = subprocess.Popen(
        _command(project), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    # The first line of the narration: the lock is held.
    process.stderr.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert workbench.open(project).ingest()["rows"]["context_user"] == 500
