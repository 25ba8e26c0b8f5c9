"""Projects for the dashboard: the demo, one without labels, one without rows, one never built."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SETTINGS = """
[project]
name = "tiny"
[inferences]
source = "inferences.jsonl"
[feedback]
source = "feedback.jsonl"
[feedback.signals.note]
kind = "comment"
"""


def workbench(*arguments: str) -> str:
    """Run a command of the command line in the checkout and return what it prints."""
    command = [sys.executable, "-m", "workbench.cli.main", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tiny(folder: Path, inferences: int, *, clock: bool = True) -> Path:
    """Build a project whose inferences have no label, and no time without `clock`."""
    folder.mkdir()
    source = 'source = "inferences.jsonl"'
    said = SETTINGS if clock else SETTINGS.replace(source, f'{source}\nclock = "none"')
    (folder / "workbench.toml").write_text(said)
    calls = [
        {"request_id": f"r{i}", "ts": f"2026-01-0{i + 1}T00:00:00Z", "model_version": "v1"}
        for i in range(inferences)
    ]
    if not clock:
        calls = [{name: value for name, value in call.items() if name != "ts"} for call in calls]
    notes = [
        {"feedback_id": "f0", "request_id": "r0", "ts": "2026-01-02T00:00:00Z"}
        | {"name": "note", "value": "hm"}
    ]
    for name, rows in (("inferences", calls), ("feedback", notes[:inferences])):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text)
    workbench("build", "--project", str(folder))
    return folder


@pytest.fixture(scope="session")
def demo(made_once: Callable[..., Path]) -> Path:
    return made_once(
        "small-demo", lambda folder: workbench("demo", str(folder), "-n", "3000", "--no-serve")
    )


@pytest.fixture(scope="session")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("ui") / "unlabelled", 5)


@pytest.fixture(scope="session")
def without_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("ui") / "without_rows", 0)
