"""A guess without open mandatory questions is read as it is, and no row is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench import configuration as project
from workbench.ingest import Report, ingest

from .conftest import Proposal, write_csv, write_jsonl

Propose = Callable[..., Proposal]


def read(proposal: Proposal, folder: Path) -> Report:
    folder.mkdir(exist_ok=True)
    (folder / "workbench.toml").write_text(proposal.guess.toml, encoding="utf-8")
    return ingest(project.load(folder))


def nested(folder: Path) -> tuple[Path, Path]:
    logs = [
        {
            "meta": {"req": {"id": f"r-{n:04}"}},
            "timestampMs": 1_741_000_000_000 + n,
            "llm": {"name": "m", "version": "2"},
            "tags": {},
        }
        for n in range(80)
    ]
    events = [
        {"payload": {"request": {"id": f"r-{n:04}"}, "verdict": ["up", "down"][n % 2]}}
        for n in range(80)
    ]
    return write_jsonl(folder / "l.jsonl", logs), write_jsonl(folder / "f.jsonl", events)


def german(folder: Path) -> tuple[Path, Path]:
    logs = [
        {
            "Zeitstempel": f"{1 + n % 28:02}.03.2025 12:{n % 60:02}",
            "AnfrageNr": f"AN-{n:05}",
            "Kunde": f"K{n % 9}",
        }
        for n in range(80)
    ]
    events = [
        {"AnfrageNr": f"AN-{n:05}", "Bewertung (1-5)": 1 + n % 5, "Kommentar": "war sehr gut"}
        for n in range(80)
    ]
    return write_csv(folder / "l.csv", logs, ";"), write_csv(folder / "f.csv", events, ";")


def hostile(folder: Path) -> tuple[Path, Path]:
    logs: list[dict[str, Any]] = [
        {'re"q id': f"r-{n:04}", "prediction": "ab"[n % 2], "x'''y\\": n, "# c = 1": n, "a.b": n}
        for n in range(80)
    ]
    events = [{'re"q id': row['re"q id'], 'y\'= "1"': row["prediction"]} for row in logs]
    return write_jsonl(folder / "l '1'.jsonl", logs), write_jsonl(folder / "f.jsonl", events)


def inline(folder: Path) -> tuple[Path, Path]:
    rows = [
        {
            "request_id": f"r-{n:04}",
            "ts": f"2025-03-01T10:00:{n % 60:02}Z",
            "model": "m",
            "thumb": ["", 0, 1][n % 3],
            "stars": 1 + n % 5,
        }
        for n in range(80)
    ]
    path = write_csv(folder / "log.csv", rows)
    return path, path


@pytest.mark.parametrize(
    ("make", "events"), [(nested, 80), (german, 80), (hostile, 80), (inline, 80 + 53)]
)
def test_every_row_is_accepted(
    propose: Propose,
    tmp_path: Path,
    make: Callable[[Path], tuple[Path, Path]],
    events: int,
) -> None:
    logs, feedback = make(tmp_path)
    report = read(propose(logs, feedback, tmp_path / "project"), tmp_path / "project")
    assert report.rows == {"inferences": 80, "feedback": events}
    assert not any(report.refused.values())
