"""Label Studio: what was exported to it comes back as feedback on the same inferences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

import workbench
from tests.importers.laws import Sample
from workbench.datasets import Slice
from workbench.guess import guess_project

DAY = "2026-02-03T10:00:00Z"


def result(name: str, kind: str, value: dict[str, Any], number: int) -> dict[str, Any]:
    """One control's answer."""
    return {
        "id": f"res{number}", "from_name": name, "to_name": "shown", "type": kind,
        "value": value, "origin": f"by-hand-{number}",
    }  # fmt: skip


def annotation(number: int, *results: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What a person said of a task."""
    return {
        "id": number, "completed_by": {"id": 70 + number, "email": f"rater{number}@example.org"},
        "result": list(results), "was_cancelled": False, "ground_truth": False,
        "created_at": f"2026-02-03T09:00:{number:02d}Z",
        "updated_at": f"2026-02-03T09:01:{number:02d}Z", "lead_time": 3.5 + number, **more,
    }  # fmt: skip


def task(number: int, data: dict[str, Any], annotations: list[Any], **more: Any) -> dict[str, Any]:
    """A task of an export."""
    return {
        "id": 4000 + number, "data": data, "annotations": annotations, "predictions": [],
        "meta": {"batch": f"march-{number}"}, "created_at": DAY, "updated_at": DAY,
        "project": 17, **more,
    }  # fmt: skip


def samples(folder: Path) -> list[Sample]:
    """Every control, a cancelled and an empty annotation, a task that waits, a stranger."""
    own = {"prompt": "Name a colour.", "response": "Seven.", "topic": "colours"}
    tasks = [
        task(1, own, [annotation(
            1, result("verdict", "choices", {"choices": ["wrong"]}, 1),
            result("stars", "rating", {"rating": 2}, 2),
            result("better", "textarea", {"text": ["Blue", "or green."]}, 3),
            result("comment", "textarea", {"text": ["not a colour"]}, 4),
            result("parts", "labels", {"start": 0, "end": 5, "labels": ["number"]}, 5),
            result("tags", "choices", {"choices": ["odd", "short"]}, 6),
        )], predictions=[{"id": 900, "model_version": "judge-3", "score": 0.375,
                          "result": [result("verdict", "choices", {"choices": ["right"]}, 7)],
                          "created_at": DAY}]),
        task(2, {**own, "topic": "cancelled"}, [annotation(
            2, result("verdict", "choices", {"choices": ["right"]}, 8), was_cancelled=True)]),
        task(3, {**own, "topic": "empty"}, [annotation(3)]),
        task(4, {**own, "topic": "waiting"}, []),
        {"id": 4005, "annotations": [], "strange": "row of something else"},
    ]  # fmt: skip
    path = folder / "project-17.json"
    path.write_text(json.dumps(tasks))
    return [
        Sample(importer="label_studio", paths=[path], tables=("inferences", "feedback"),
               across=True, refused=1),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> workbench.Workbench:
    """A log of five calls with one thumb."""
    folder = tmp_path_factory.mktemp("calls")
    duckdb.sql(
        "SELECT 'r' || i AS request_id, TIMESTAMPTZ '2026-02-01 00:00:00Z' + to_seconds(i) AS ts, "
        "'v1' AS model_version, 'question ' || i AS input, 'answer ' || i AS output, "
        "i / 10 AS score FROM range(5) t(i)"
    ).write_parquet(str(folder / "calls.parquet"))
    (folder / "votes").mkdir()
    vote = {"call": "r0", "at": "2026-02-01T01:00:00Z", "up": True}
    (folder / "votes" / "thumbs.jsonl").write_text(json.dumps(vote) + "\n")
    (folder / "workbench.toml").write_text(
        """
[inferences]
source = "calls.parquet"
[feedback]
source = "votes"
format = ["label_studio", "argilla", "auto"]
columns = { request_id = "call", ts = "at", name = "'thumb'", value = "up" }
[feedback.signals.thumb]
kind = "binary"
[feedback.signals.verdict]
kind = "binary"
positive = "value = 'right'"
[feedback.signals.better]
kind = "correction"
"""
    )
    project = workbench.open(folder)
    project.build()
    return project


def test_what_was_exported_comes_back(logged: workbench.Workbench) -> None:
    out = logged.folder / "worth.tasks.json"
    logged.export(Slice(columns=("request_id", "input", "output")), out, format="label_studio")
    tasks = json.loads(out.read_text())
    assert len(tasks) == 5
    verdicts = {}
    for number, exported in enumerate(tasks):
        right = number % 2 == 0
        verdicts[exported["data"]["request_id"]] = right
        exported |= task(number, exported["data"], [annotation(
            number, result("verdict", "choices", {"choices": ["right" if right else "wrong"]}, 1),
            *([] if right else [result("better", "textarea", {"text": [f"not {number}"]}, 2)]),
        )])  # fmt: skip
        exported |= {"id": number}
    (logged.folder / "votes" / "annotated.json").write_text(json.dumps(tasks))
    logged.build()
    rows = logged.sql(
        "SELECT request_id, name, reward, corrected_output, rater_kind, rater_id "
        "FROM enriched_feedback WHERE feedback_source_system = 'label_studio' ORDER BY ALL"
    ).table.to_pylist()
    assert {r["request_id"]: r["reward"] == 1 for r in rows if r["name"] == "verdict"} == verdicts
    assert [(r["request_id"], r["corrected_output"]) for r in rows if r["name"] == "better"] == [
        (name, f"not {name[1:]}") for name, right in verdicts.items() if not right
    ]
    assert {r["rater_kind"] for r in rows} == {"human"}
    status = logged.status()
    assert status["attributed"] == status["received"] == 8
    # The plain file beside it is mapped as the configuration says.
    assert logged.sql("SELECT count(*) AS n FROM feedback WHERE name = 'thumb'").table.to_pylist() \
        == [{"n": 1}]  # fmt: skip
    assert not any(logged.ingest()["rows"].values())


def test_init_asks_for_the_kind_of_what_it_cannot_know(tmp_path: Path) -> None:
    (sample,) = samples(tmp_path)
    guess = guess_project(sample.paths, sample.paths, project_dir=tmp_path)
    assert guess.toml.count('format = "label_studio"') == 2
    assert "[feedback.signals.stars]" in guess.toml
