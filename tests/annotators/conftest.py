"""The programs that people label in: where they are, and a project whose calls go to them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import workbench
from workbench.datasets import Slice


def python_of(program: str) -> Path:
    """The Python of a program's own environment."""
    default = Path(__file__).resolve().parents[2] / ".venv"
    beside = os.environ.get("WORKBENCH_ANNOTATORS", default)
    python = Path(f"{beside}-{program}") / "bin" / "python"
    if not python.is_file():
        pytest.skip("the environment of other systems is absent: make annotators")
    return python


def sent(
    python: Path, folder: Path, script: Path, *, project: str, empty: str, columns: tuple[str, ...],
    export: str, form: str,
) -> None:  # fmt: skip
    """Export eight calls of a project for a program, and let its script do what people do there.

    Parameters
    ----------
    python, script
        The program's own Python, and what it runs with the folder as its argument.
    folder, project
        The project's folder, and its configuration.
    empty
        The file of what came back, while nothing has.
    columns, export, form
        What is exported, to which file and in which format.
    """
    calls = [
        {"request_id": f"r{n}", "ts": f"2026-02-01T00:00:0{n}Z", "model_version": "v1",
         "input": f"question {n}", "output": f"answer {n}", "score": n / 10}
        for n in range(8)
    ]  # fmt: skip
    (folder / "calls.jsonl").write_text("".join(json.dumps(call) + "\n" for call in calls))
    (folder / empty).parent.mkdir()
    (folder / empty).write_text("[]")
    (folder / "workbench.toml").write_text(project)
    opened = workbench.open(folder)
    opened.build()
    opened.export(Slice(columns=columns), folder / export, format=form)
    done = subprocess.run([python, script, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
