"""Argilla: responses of people and suggestions of models, on records that came from here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import workbench
from tests.importers.laws import Sample
from workbench.datasets import Slice


def record(number: int, **more: Any) -> dict[str, Any]:
    """A record as Argilla's own export writes it."""
    return {
        "id": f"rec-{number}", "_server_id": f"server-{number}", "status": "completed",
        "fields": {"prompt": f"Name colour {number}.", "response": f"Seven {number}."},
        "metadata": {"topic": f"colours-{number}"}, "vectors": {"v": [0.125, 0.5 + number]},
        "inserted_at": f"2026-02-03T10:00:0{number}", "updated_at": f"2026-02-03T11:00:0{number}",
        "responses": {}, "suggestions": {}, **more,
    }  # fmt: skip


def samples(folder: Path) -> list[Sample]:
    """Answers of two people and of a model, one discarded, a record that waits, a stranger."""
    rows = [
        record(1, responses={
            "quality": [{"value": 2, "user_id": "ann-17"}, {"value": 4, "user_id": "bob-18"}],
            "better": [{"value": "Blue or green.", "user_id": "ann-17"}],
            "comment": [{"value": "not a colour", "user_id": "bob-18"}],
            "labels": [{"value": ["odd", "short"], "user_id": "ann-17"}],
        }, suggestions={"quality": {"value": 3, "score": 0.375, "agent": "judge-3"}}),
        record(2, responses={
            "quality": [{"value": 5, "user_id": "cid-19", "status": "discarded"}],
        }),
        record(3),
        {"id": "rec-4", "responses": {}, "other": "row of something else"},
    ]  # fmt: skip
    path = folder / "records.json"
    path.write_text(json.dumps(rows))
    return [
        Sample(importer="argilla", paths=[path], tables=("inferences", "feedback"), across=True,
               refused=1),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> workbench.Workbench:
    folder = tmp_path_factory.mktemp("argilla")
    calls = [
        {"request_id": f"r{n}", "ts": f"2026-02-01T00:00:0{n}Z", "model_version": "v1",
         "input": f"question {n}", "output": f"answer {n}"}
        for n in range(4)
    ]  # fmt: skip
    (folder / "calls.jsonl").write_text("".join(json.dumps(call) + "\n" for call in calls))
    (folder / "answered.json").write_text("[]")
    (folder / "workbench.toml").write_text(
        """
[inferences]
source = "calls.jsonl"
[feedback]
source = "answered.json"
format = "argilla"
clock = "none"
[feedback.signals.quality]
kind = "rating"
scale = [1, 5]
"""
    )
    return workbench.open(folder)


def test_what_was_exported_comes_back(logged: workbench.Workbench) -> None:
    logged.build()
    out = logged.folder / "worth.records.json"
    logged.export(
        Slice(columns=("request_id", "input", "output", "model_version")), out, format="argilla"
    )
    records = json.loads(out.read_text())
    assert [one["fields"] for one in records] == [
        {"input": f"question {n}", "output": f"answer {n}"} for n in range(4)
    ]
    for number, one in enumerate(records):
        one["responses"] = {"quality": [{"value": number + 1, "user_id": "ann"}]}
    (logged.folder / "answered.json").write_text(json.dumps(records))
    logged.build()
    rows = logged.sql(
        "SELECT request_id, reward, rater_id, rater_kind FROM enriched_feedback ORDER BY 1"
    ).table.to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        (f"r{n}", n / 4, "ann", "human") for n in range(4)
    ]
