"""A project folder of a test: its files are written row by row, built, and asked in SQL."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import workbench
from workbench.query import open_build

#: The plainest project: every source column has the name of its contract field.
PLAIN = """
[inferences]
source = "logs"
[feedback]
source = "events"
[feedback.signals.thumb]
kind = "binary"
"""

#: 2026-03-01T00:00:00Z in seconds.
START = 1_772_323_200


def inference(number: int, **fields: Any) -> dict[str, Any]:
    """One logged call; its time is `START` plus `number` seconds."""
    row = {"request_id": f"r{number}", "ts": START + number, "model_version": "v1"}
    return {**row, **fields}


def event(number: int, **fields: Any) -> dict[str, Any]:
    """One thumb for the inference of the same number, a minute later."""
    row = {
        "feedback_id": f"f{number}",
        "request_id": f"r{number}",
        "ts": START + number + 60,
        "name": "thumb",
        "value": number % 2,
    }
    return {**row, **fields}


def lines(rows: Iterable[Mapping[str, Any] | str]) -> str:
    """Rows as JSON lines; texts as they are."""
    return "".join(
        (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n"
        for row in rows
    )


def packed(text: str | bytes) -> bytes:
    """Content as gzip, the same for the same content."""
    return gzip.compress(text.encode() if isinstance(text, str) else text, mtime=0)


@dataclass(frozen=True)
class Folder:
    """A project folder."""

    path: Path

    @classmethod
    def make(cls, path: Path, config: str = PLAIN, *, events: int = 1) -> Folder:
        """A project folder with `events` events in ``events/first.jsonl`` and no logs yet."""
        folder = cls(path)
        folder.write("workbench.toml", config)
        folder.write("events/first.jsonl", lines(event(n) for n in range(events)))
        return folder

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file, in place of what it held."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def append(self, name: str, content: str | bytes) -> None:
        """Write to the end of a file."""
        with (self.path / name).open("ab") as file:
            file.write(content.encode() if isinstance(content, str) else content)

    def build(self, **options: Any) -> dict[str, Any]:
        """Build, and return what the command would print."""
        return workbench.open(self.path).build(**options)

    def ingest(self) -> dict[str, Any]:
        """Read what is new without building: files, rows and refused rows by lake table."""
        return workbench.open(self.path).ingest()

    def status(self) -> dict[str, Any]:
        """The ledger and what belongs to it."""
        return workbench.open(self.path).status()

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query over the build in force."""
        with open_build(self.path) as build:
            return [tuple(row.values()) for row in build.run(sql, limit=None).table.to_pylist()]

    def ids(self) -> list[str]:
        """Accepted inferences, by the number in their name."""
        rows = self.ask("SELECT request_id FROM inferences")
        return sorted((str(row[0]) for row in rows), key=lambda name: (len(name), name))

    def refused(self, table: str = "inferences") -> list[tuple[Any, ...]]:
        """Reason, field, row and raw text of what was refused of `table`."""
        return self.ask(
            "SELECT reason, field, source_row, raw FROM quarantine "
            f"WHERE \"table\" = '{table}' ORDER BY source_file, source_row, reason"
        )
