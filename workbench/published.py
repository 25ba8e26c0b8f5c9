"""What is in force of a project: read from its manifest alone, without the engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workbench.errors import NotFoundError
from workbench.project import STATE_NAME

BUILD_HINT = "Make one with: workbench build"


def current(project_dir: str | Path) -> dict[str, Any]:
    """Read the manifest of the current build.

    Raises
    ------
    NotFoundError
        If there is no build, or the manifest cannot be read.
    """
    project = Path(project_dir).expanduser().absolute()
    path = project / STATE_NAME / "current"
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFoundError(f"There is no build yet in {project}.", BUILD_HINT) from None
    except (OSError, ValueError) as error:
        raise NotFoundError(f"{path} cannot be read: {error}", BUILD_HINT) from error
    return found
