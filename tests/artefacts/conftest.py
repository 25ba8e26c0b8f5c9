"""A project whose scores are overconfident, built once; tests work on copies of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.artefacts.rows import scores
from tests.ingest.folder import Folder, event, inference, lines

CONFIG = """
[inferences]
source = "logs"
columns = { score = "p" }
[feedback]
source = "events"
[feedback.signals.truth]
kind = "label"
"""

#: Inferences, of which the first 600 are labelled.
N, LABELLED = 800, 600


def log(first: int, last: int, **fields: object) -> str:
    p, _ = scores(N, 11, digits=3)
    return lines(
        inference(n, p=float(p[n]), other=float(p[n] ** 2), prediction="1", **fields)
        for n in range(first, last)
    )


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder.make(tmp_path_factory.mktemp("artefacts") / "a project", CONFIG, events=0)
    _, y = scores(N, 11, digits=3)
    folder.write("logs/a.jsonl", log(0, N))
    truths = (event(n, name="truth", value=str(int(y[n]))) for n in range(LABELLED))
    folder.write("events/a.jsonl", lines(truths))
    folder.build()
    return folder


@pytest.fixture
def project(built: Folder, tmp_path: Path) -> Folder:
    """A copy of the project and its build."""
    shutil.copytree(built.path, tmp_path / "p")
    return Folder(tmp_path / "p")


@pytest.fixture(scope="session")
def given() -> tuple[np.ndarray, np.ndarray]:
    """Scores and outcomes of the labelled inferences."""
    p, y = scores(N, 11, digits=3)
    return p[:LABELLED], y[:LABELLED]
