"""One small project with labels, a protected group and every command's data."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ingest.folder import PLAIN, Folder, event, inference, lines
from workbench.cli.main import main

CONFIG = (
    PLAIN
    + """
[feedback.signals.truth]
kind = "label"
[labels]
signals = ["truth"]
[context.user]
source = "users.csv"
on = "user_id"
"""
)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


def run(*arguments: object) -> Done:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main([str(argument) for argument in arguments])
    code = ended.value.code
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())


def write(path: Path) -> Folder:
    """Forty inferences, every second one with its true class; predictions err every fourth time."""
    folder = Folder.make(path, CONFIG, events=0)
    folder.write(
        "logs/a.jsonl",
        lines(
            inference(
                n, user_id=f"u{n % 4}", model_version=f"v{n % 2 + 1}", input=f"question {n}",
                output='grüß "you", 🎉\nbye', prediction=str(n % 2), confidence=(n % 10) / 10,
                probabilities=[0.25, 0.75],
            )
            for n in range(40)
        ),
    )  # fmt: skip
    folder.write(
        "events/a.jsonl",
        lines(
            event(n, name="truth", value=str(n % 2 if n % 8 else 1 - n % 2))
            for n in range(0, 40, 2)
        )
        + lines([event(1), event(3, value="maybe"), event(5, request_id="unknown")])
        + "not json\n",
    )
    folder.write("users.csv", "user_id,tier\nu0,gold\nu2,free\n")
    return folder


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A project that was built once; tests only read it."""
    folder = write(tmp_path_factory.mktemp("cli") / "a project")
    folder.build()
    return folder


@pytest.fixture
def at(project: Folder, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in the project's folder."""
    monkeypatch.chdir(project.path)
    return run
