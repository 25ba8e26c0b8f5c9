"""Columns of a large log that hold nothing take no room, and nobody can tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.build import history
from tests.build.equality import differences
from tests.ingest.folder import Folder, inference, lines
from workbench.build import build, events
from workbench.configuration import load
from workbench.query import open_build


def _project(folder: Path) -> Path:
    folder.mkdir()
    history.write_config(folder, 7)
    for number, batch in enumerate(history.batches(7, 1)):
        history.write(folder, number, batch)
    build(load(folder))
    return folder


def test_columns_without_values_are_not_stored_and_read_like_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = _project(tmp_path / "plain")
    monkeypatch.setattr(events, "MANY", 1)
    spared = _project(tmp_path / "spared")
    assert differences(plain, spared) == []
    with open_build(spared) as found:
        empty = {
            (row["table_name"], row["column_name"])
            for row in found.arrow(
                "SELECT table_name, column_name FROM duckdb_columns() "
                "WHERE schema_name = 'narrow' AND column_default LIKE 'CAST(NULL AS%'"
            ).to_pylist()
        }
        for table, column in empty:
            assert found.count(f"SELECT 1 FROM narrow.{table} WHERE {column} IS NOT NULL") == 0
    assert {table for table, _ in empty} == {
        "inferences", "feedback", "enriched_inferences", "enriched_feedback"
    }  # fmt: skip


def test_a_first_value_of_a_column_builds_everything_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MANY", 1)
    folder = Folder.make(tmp_path / "project")
    folder.write("logs/one.jsonl", lines([inference(n) for n in range(9)]))
    build(load(folder.path))
    folder.write("logs/two.jsonl", lines([inference(20)]))
    assert build(load(folder.path))["refreshed"] is not None
    folder.write("logs/three.jsonl", lines([inference(21, item_id="shoe")]))
    assert build(load(folder.path))["refreshed"] is None
    found = folder.ask("SELECT request_id FROM enriched_inferences WHERE item_id = 'shoe'")
    assert len(found) == 1
