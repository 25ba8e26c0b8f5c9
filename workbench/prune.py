"""Removes old builds: each is a copy of the narrow tables, and can be made again from the lake."""

from __future__ import annotations

import shutil
from typing import Any

import duckdb

from workbench import engine
from workbench.build.lock import writing
from workbench.datasets.store import Dataset, names
from workbench.engine import literal
from workbench.errors import ConfigError
from workbench.project import Project
from workbench.query import read_manifest


def prune(project: Project, keep: int) -> dict[str, Any]:
    """Remove all but the newest builds.

    The build in force stays, and so does one that a program has open.

    Parameters
    ----------
    project
        The project.
    keep
        How many builds to keep, the one in force among them.

    Returns
    -------
    dict
        ``removed`` and ``kept`` (ids of builds), ``open`` (those of the kept ones that would have
        been removed but are being read), ``bytes`` (freed), and ``versions``: ``name@version`` of
        datasets that can be exported as before, but not made anew, without a removed build.

    Raises
    ------
    ConfigError
        If fewer than one are to be kept.
    NotFoundError
        If there is no build.
    LockedError
        If another process writes to the project.
    """
    if keep < 1:
        raise ConfigError(f"{keep} builds cannot be kept.", "Keep 1 or more.")
    with writing(project):
        current = str(read_manifest(project.root)["build"])
        # Their names begin with the time at which they were made.
        builds = sorted((project.state / "builds").glob("*.duckdb"), reverse=True)
        others = [path for path in builds if path.stem != current]
        removed, busy, freed = [], [], 0
        for path in others[keep - 1 :]:
            if _is_open(str(path)):
                busy.append(path.stem)
                continue
            # What Spark made of a build lies beside it.
            folder = path.with_suffix("")
            freed += sum(one.stat().st_size for one in [path, *folder.rglob("*.parquet")])
            path.unlink()
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(path.stem)
    versions = [
        f"{name}@{manifest['version']}"
        for name in names(project.state)
        for manifest in Dataset(project.state, name).manifests()
        if manifest["build"] in removed
    ]
    kept = [path.stem for path in builds if path.stem not in removed]
    return {
        "removed": removed, "kept": kept, "open": busy, "bytes": freed, "versions": versions,
    }  # fmt: skip


def _is_open(path: str) -> bool:
    """Whether another process has a build open: its lock does not let one open it for writing."""
    with engine.connect() as connection:
        try:
            connection.execute(f"ATTACH {literal(path)} AS pruned")
        except duckdb.IOException as error:
            return "lock" in str(error).lower()
        except duckdb.Error:
            return False
    return False
