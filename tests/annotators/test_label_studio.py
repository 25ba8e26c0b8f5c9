"""A real Label Studio: what we export to it is annotated there, exported by it, and comes back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import workbench
from tests.annotators.conftest import python_of, sent
from tests.importers import laws
from tests.importers.laws import Outcome, Sample
from workbench.importers._records import recognise

# What Label Studio counts about a task, and what nobody has handed in.
COUNTED = ("drafts", "updated_at", "updated_by", "total_annotations", "cancelled_annotations",
           "total_predictions", "comment_count", "unresolved_comment_count")  # fmt: skip
WORLD = Path(__file__).with_name("label_studio_world.py")
PROJECT = """
[inferences]
source = "calls.jsonl"
[feedback]
source = "annotated"
format = "label_studio"
[feedback.signals.verdict]
kind = "binary"
positive = "value = 'right'"
[feedback.signals.stars]
kind = "rating"
scale = [1, 5]
[feedback.signals.better]
kind = "correction"
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project whose eight calls went to Label Studio, and of its exports."""
    python = python_of("label-studio")
    folder = tmp_path_factory.mktemp("label-studio")
    sent(
        python,
        folder,
        WORLD,
        project=PROJECT,
        empty="annotated/none.json",
        export="worth.tasks.json",
        form="label_studio",
        columns=("request_id", "input", "output", "score"),
    )
    return folder


@pytest.fixture(scope="module")
def exported(world: Path) -> Outcome:
    return laws.stage("label_studio", [world / "json-all.json"], ("feedback",))


def test_every_answer_is_an_event_and_all_else_is_refused(world: Path, exported: Outcome) -> None:
    said = json.loads((world / "said.json").read_text())
    events = [row for _, row in exported.rows["feedback"]]
    own = [e for e in events if e["rater_id"] == "1" and e["name"] in ("verdict", "stars")]
    found: dict[str, dict[str, Any]] = {}
    for event in own:
        found.setdefault(event["request_id"], {})[event["name"]] = event["value"]
    assert found == {
        key: {"verdict": one["verdict"], "stars": str(one["stars"])} for key, one in said.items()
    }
    # Five other controls of the first task, and the second person's verdict.
    assert len(events) == 2 * len(said) + 5 + 1
    # The one that was skipped, the one that was begun, the one that waits.
    refused = [reason for rows in exported.refused.values() for _, reason, _ in rows]
    assert sorted(refused) == ["cancelled", "not_annotated", "not_annotated"]
    tasks = {key for key, _ in exported.rows["feedback"]} | exported.refused.keys()
    assert len(tasks) == len(exported.records) == 8


def test_each_kind_of_control_is_read(exported: Outcome) -> None:
    first = {row["name"]: row for _, row in exported.rows["feedback"] if row["request_id"] == "r0"}
    assert json.loads(first["faults"]["value"]) == ["short", "rude"]
    assert first["minutes"]["value"] == "2.5"
    assert first["better"]["corrected_output"] == "Two lines:\nthis is the second."
    assert (first["comment"]["kind"], first["comment"]["value"]) == ("comment", "not polite")
    assert json.loads(first["parts"]["value"])["labels"] == ["number"]


def test_of_a_verdict_that_was_changed_the_last_is_exported(exported: Outcome) -> None:
    (bob,) = [row for _, row in exported.rows["feedback"] if row["rater_id"] == "2"]
    assert (bob["request_id"], bob["name"], bob["value"]) == ("r1", "verdict", "wrong")
    annotation = json.loads(bob["metadata"])["annotation"]
    assert annotation["created_at"] < annotation["updated_at"]


@pytest.mark.parametrize(
    ("name", "waiting"), [("json.json", 1), ("json-all.json", 3), ("snapshot.json", 3)]
)
def test_no_value_of_an_export_is_lost(world: Path, name: str, waiting: int) -> None:
    sample = Sample(
        importer="label_studio", paths=[world / name], tables=("feedback",), refused=waiting
    )
    laws.recognised(sample)
    outcome = laws.stage(sample.importer, sample.paths, sample.tables)
    laws.rows_in_are_rows_out(sample, outcome)
    laws.columns_are_of_the_contract(sample, outcome)
    records = {
        key: {name: value for name, value in task.items() if name not in COUNTED}
        for key, task in outcome.records.items()
    }
    laws.no_leaf_is_lost(replace(outcome, records=records))


def test_predictions_are_in_a_snapshot_alone(world: Path, exported: Outcome) -> None:
    assert {row["rater_kind"] for _, row in exported.rows["feedback"]} == {"human"}
    snapshot = laws.stage("label_studio", [world / "snapshot.json"], ("feedback",))
    (judged,) = [row for _, row in snapshot.rows["feedback"] if row["rater_kind"] == "model"]
    assert (judged["request_id"], judged["value"], judged["rater_id"]) == ("r2", "right", "judge-3")


def test_the_short_export_is_left_to_a_mapping(world: Path) -> None:
    # It does not tell answers from what was asked.
    assert recognise(world / "json_min.json") is None


def test_what_was_annotated_is_attributed_and_received_once(world: Path) -> None:
    project = workbench.open(world)
    annotated = world / "annotated" / "worth.json"
    annotated.write_bytes((world / "json.json").read_bytes())
    project.build()
    rows = project.sql(
        "SELECT request_id, reward FROM enriched_feedback WHERE name = 'verdict' "
        "AND rater_id = '1' ORDER BY 1"
    ).table.to_pylist()
    said = json.loads((world / "said.json").read_text())
    assert {row["request_id"]: row["reward"] for row in rows} == {
        key: float(one["verdict"] == "right") for key, one in said.items()
    }
    before = project.status()
    assert before["received"] == before["attributed"] + before["invalid"]
    # A later export has the same annotations again, and what a model said.
    annotated.write_bytes((world / "snapshot.json").read_bytes())
    project.build()
    after = project.status()
    assert after["attributed"] == before["attributed"] + 1
    assert after["duplicate"] == before["duplicate"] == 0
