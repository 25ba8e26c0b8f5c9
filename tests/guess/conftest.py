from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from workbench.guess import Guess, guess_project


@dataclass(frozen=True)
class Proposal:
    """A guess and its configuration, parsed."""

    guess: Guess
    config: dict[str, Any]

    def columns(self, table: str) -> dict[str, str]:
        return dict(self.config[table].get("columns", {}))

    def mapped(self, table: str) -> dict[str, str]:
        """Mappings to columns: no constants, nothing that was kept from being mapped."""
        return {
            field: expression
            for field, expression in self.columns(table).items()
            if expression != "NULL" and not expression.startswith("'")
        }

    def asks(self, field: str) -> str:
        """The question about `field`, or an empty text."""
        found = [q for q in self.guess.questions if q.startswith(f"{field}:")]
        assert len(found) <= 1
        return found[0] if found else ""

    def signal(self, name: str) -> dict[str, Any] | None:
        return self.config["feedback"].get("signals", {}).get(name)


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_csv(path: Path, rows: list[dict[str, Any]], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def propose(tmp_path: Path) -> Callable[..., Proposal]:
    def run(inferences: Any, feedback: Any, project_dir: Path | None = None) -> Proposal:
        as_list = [x if isinstance(x, list) else [x] for x in (inferences, feedback)]
        guess = guess_project(*as_list, project_dir=project_dir or tmp_path, name="case")
        return Proposal(guess, tomllib.loads(guess.toml))

    return run
