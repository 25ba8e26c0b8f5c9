"""The project that most tests of datasets share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.datasets import world
from tests.datasets.world import Row
from tests.ingest.folder import Folder
from workbench.datasets.split import parse_split


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The project, built; each test compiles datasets with names of its own."""
    return world.write(tmp_path_factory.mktemp("datasets") / "project")


@pytest.fixture(scope="session")
def versions(built: Folder) -> dict[str, Row]:
    """The manifest of a version in each training format, of all that the log gives."""
    split = parse_split("user_id: train=0.8, test=0.2")
    return {call: world.compiled(built, call, split=split) for call in world.FORMATS}


@pytest.fixture
def own(built: Folder, tmp_path: Path) -> Folder:
    """A copy without datasets, for a test that changes it."""
    shutil.copytree(
        built.path, tmp_path / "project", ignore=shutil.ignore_patterns("datasets", "tmp")
    )
    return Folder(tmp_path / "project")
