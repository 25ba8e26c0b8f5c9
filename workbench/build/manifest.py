"""The manifest ``current``: which build is in force. Replacing it is the only publication."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from workbench.project import Project

FORMAT = 1


def read(project: Project) -> dict[str, Any] | None:
    """The manifest in force, None before the first build."""
    try:
        manifest = json.loads((project.state / "current").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    if manifest.get("format") != FORMAT or not (project.state / manifest["file"]).is_file():
        return None
    return dict(manifest)


def publish(project: Project, manifest: dict[str, Any], made: Path) -> None:
    """Bring a finished build file to its name, and put it in force.

    Parameters
    ----------
    project
        The project.
    manifest
        What to publish; ``file`` is where the build goes.
    made
        The finished build under its unfinished name.
    """
    target = project.state / manifest["file"]
    _sync(made)
    os.replace(made, target)
    _sync(target.parent)
    text = json.dumps({"format": FORMAT, **manifest}, indent=1)
    waiting = project.state / "current.unfinished"
    waiting.write_text(text + "\n", encoding="utf-8")
    _sync(waiting)
    os.replace(waiting, project.state / "current")
    _sync(project.state)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
