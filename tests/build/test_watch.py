"""Watching a project builds what lands, survives what is wrong, and stops when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import workbench
from tests.ingest.folder import PLAIN, Folder, event, inference, lines
from workbench.build import watch as watching
from workbench.build.lock import writing
from workbench.errors import LockedError, WorkbenchError


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder.make(tmp_path / "project")
    made.write("logs/a.jsonl", lines([inference(0)]))
    return made


def test_what_lands_is_built_and_errors_do_not_end_the_watch(folder: Folder) -> None:
    received: list[int] = []
    errors: list[WorkbenchError] = []

    def break_it() -> None:
        folder.write("workbench.toml", "[inferences]\n")

    def mend_it() -> None:
        folder.write("workbench.toml", PLAIN)
        folder.write("events/second.jsonl", lines([event(1, request_id="r1")]))

    turns: list[Callable[[], None]] = [
        lambda: None,
        lambda: folder.append("logs/a.jsonl", lines([inference(1)])),
        break_it,
        lambda: None,
        mend_it,
    ]

    def wait() -> bool:
        if not turns:
            return False
        turns.pop(0)()
        return True

    for done in workbench.open(folder.path).watch(wait, failed=errors.append):
        received.append(done["ledger"]["received"])
        assert done["fresh"]
    assert received == [1, 1, 2]
    assert len(errors) == 1
    assert "source" in errors[0].message
    assert folder.ids() == ["r0", "r1"]


def test_a_project_that_is_held_is_tried_again(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def build(*_: object, **__: object) -> dict[str, object]:
        tried.append(1)
        if len(tried) == 1:
            raise LockedError("held", "wait")
        return {"fresh": True, "build": "b"}

    monkeypatch.setattr(watching, "build", build)
    waits = iter([True, True, False])
    errors: list[WorkbenchError] = []
    found = list(watching.watch(folder.path, lambda: next(waits), failed=errors.append))
    assert [done["build"] for done in found] == ["b"]
    assert len(tried) == 2
    assert len(errors) == 1


def test_the_command_builds_what_lands_and_ends_when_told(folder: Folder) -> None:
    command = [sys.executable, "-m", "workbench.cli.main", "build", "--watch", "--every", "0.2",
               "--json", "--project", str(folder.path)]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        _until(lambda: (folder.path / ".workbench" / "current").exists())
        # It lands as a receiver lets it land: whole, under its own name.
        hidden = folder.write("logs/.b.jsonl.open", lines([inference(1), inference(2)]))
        hidden.rename(folder.path / "logs" / "b.jsonl")
        _until(lambda: len(folder.ids()) == 3)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert said.count('"build"') == 2
    with writing(workbench.open(folder.path).project):
        pass


def _until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.2)
