"""Where the programs that people label in are installed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def python_of(program: str) -> Path:
    """The Python of a program's own environment."""
    default = Path(__file__).resolve().parents[2] / ".venv"
    beside = os.environ.get("WORKBENCH_ANNOTATORS", default)
    python = Path(f"{beside}-{program}") / "bin" / "python"
    if not python.is_file():
        pytest.skip("the environment of other systems is absent: make annotators")
    return python
