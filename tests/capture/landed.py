"""What stands in a landing folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def lines(folder: Path, stream: str = "inferences") -> list[dict[str, Any]]:
    """The rows of published files; every line must be whole and strict JSON."""

    def refuse(text: str) -> None:
        raise ValueError(f"{text} is not JSON")

    found = []
    for path in sorted((folder / stream).glob("[!.]*.jsonl")):
        content = path.read_text(encoding="utf-8")
        assert content.endswith("\n")
        found += [json.loads(line, parse_constant=refuse) for line in content.splitlines()]
    return found


def hidden(folder: Path) -> list[str]:
    """Names of files that are still being written, or that nobody recovered."""
    return [path.name for path in folder.rglob("*.open")]
