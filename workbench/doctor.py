"""Checks of the installation and of a project, each with what was found."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from workbench import __version__, contract
from workbench.configuration import load
from workbench.errors import WorkbenchError
from workbench.project import CONFIG_NAME
from workbench.query import open_build

_LEAST_FREE_BYTES = 1024**3


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes
    ----------
    name
        What was checked.
    ok
        Whether it is as it should be.
    found
        What was found; where it is wrong, what to do.
    """

    name: str
    ok: bool
    found: str


def examine(folder: Path) -> list[Check]:
    """Check the installation, and the project in `folder` if there is one."""
    checks = [Check("workbench", True, f"{__version__} on Python {platform.python_version()}")]
    checks += _packages()
    checks.append(_contract())
    root = folder.expanduser().absolute()
    if (root / CONFIG_NAME).is_file():
        checks += _project(root)
    else:
        checks.append(Check("project", True, f"none in {root}"))
    return checks


def _packages() -> Iterator[Check]:
    for text in requires("feedback-workbench") or []:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            yield Check(requirement.name, False, f"missing; install {requirement}")
            continue
        fits = requirement.specifier.contains(found, prereleases=True)
        yield Check(requirement.name, fits, found if fits else f"{found}; install {requirement}")


def _contract() -> Check:
    tables = contract.tables()
    columns = sum(len(table.columns) for table in tables.values())
    return Check("contract", True, f"{len(tables)} tables, {columns} columns")


def _project(root: Path) -> Iterator[Check]:
    try:
        project = load(root)
    except WorkbenchError as error:
        yield Check("configuration", False, str(error))
        return
    yield Check("configuration", True, f"{project.name}: {len(project.contexts)} contexts")
    free = shutil.disk_usage(root).free
    yield Check("disk", free >= _LEAST_FREE_BYTES, f"{free / 1024**3:.1f} GiB free")
    try:
        with open_build(root) as build:
            rows = build.count("SELECT 1 FROM enriched_inferences")
            yield Check("build", True, f"{build.id}: {rows:,} inferences, all payload readable")
    except WorkbenchError as error:
        yield Check("build", False, str(error))
