"""A real Argilla: what we export to it is answered there, exported by its client, comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import workbench
from tests.annotators.conftest import python_of, sent
from tests.importers import laws
from tests.importers.laws import Outcome, Sample

WORLD = Path(__file__).with_name("argilla_world.py")
FLAT = ("flat.json", "flat.parquet")
PROJECT = """
[inferences]
source = "calls.jsonl"
[feedback]
source = "answered"
format = "argilla"
clock = "none"
[feedback.signals.quality]
kind = "rating"
scale = [1, 5]
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project whose eight calls went to Argilla, and of its exports."""
    python = python_of("argilla")
    folder = tmp_path_factory.mktemp("argilla")
    sent(
        python,
        folder,
        WORLD,
        project=PROJECT,
        empty="answered/worth.json",
        export="worth.records.json",
        form="argilla",
        columns=("request_id", "input", "output", "score", "model_version"),
    )
    return folder


@pytest.fixture(scope="module")
def flat(world: Path) -> Outcome:
    return laws.stage("argilla", [world / "flat.json"])


def told(world: Path) -> dict[tuple[str, str, str], Any]:
    """What was submitted, by record, user and question."""
    said = json.loads((world / "said.json").read_text())
    return {
        (key, said["users"][name], question): value
        for key, one in said["submitted"].items()
        for name, values in one.items()
        for question, value in values.items()
    }


def test_what_was_submitted_is_an_event_and_all_else_is_refused(world: Path, flat: Outcome) -> None:
    wanted = told(world)
    events = {
        (row["request_id"], row["rater_id"], row["name"]): row
        for _, row in flat.rows["feedback"]
        if row["rater_kind"] == "human"
    }
    assert events.keys() == wanted.keys()
    for key, value in wanted.items():
        given = events[key]["value"] or events[key]["corrected_output"]
        if key[2] == "order":
            assert json.loads(given) == ["theirs", "mine"]
        else:
            assert given == value if isinstance(value, str) else json.loads(given) == value
    (judged,) = [row for _, row in flat.rows["feedback"] if row["rater_kind"] == "model"]
    assert (judged["request_id"], judged["value"], judged["rater_id"]) == ("r2", "3", "judge-3")
    refused = [reason for rows in flat.refused.values() for _, reason, _ in rows]
    assert sorted(refused) == ["discarded", "draft", "not_annotated"]


def test_texts_correct_or_comment(flat: Outcome) -> None:
    kinds = {row["name"]: row.get("kind") for _, row in flat.rows["feedback"]}
    assert kinds["better"] == "correction"
    assert kinds["comment"] == "comment"
    assert kinds["quality"] is None


def test_each_way_out_gives_the_same_events(world: Path, flat: Outcome) -> None:
    def by_id(outcome: Outcome) -> dict[str, dict[str, Any]]:
        return {
            row["feedback_id"]: {key: value for key, value in row.items() if key != "metadata"}
            for _, row in outcome.rows["feedback"]
        }

    events = by_id(flat)
    assert by_id(laws.stage("argilla", [world / "flat.parquet"])) == events
    more = by_id(laws.stage("argilla", [world / "records.json"]))
    assert {key: more[key] for key in events} == events
    # Which answers nobody submitted, that one does not tell.
    assert sorted(more[key]["request_id"] for key in more.keys() - events.keys()) == ["r5", "r6"]


@pytest.mark.parametrize("name", ["records.json", *FLAT])
def test_no_value_of_an_export_is_lost(world: Path, name: str) -> None:
    tables = ("inferences", "feedback")
    laws.check(
        Sample(importer="argilla", paths=[world / name], tables=tables, across=True, clock=False)
    )


def test_what_was_answered_is_attributed_and_received_once(world: Path, flat: Outcome) -> None:
    project = workbench.open(world)
    answered = world / "answered" / "worth.json"
    records = json.loads((world / "flat.json").read_text())
    answered.write_text(json.dumps(records[:5]))
    project.build()
    answered.write_text(json.dumps(records))
    project.build()
    rows = project.sql(
        "SELECT request_id, rater_id, reward FROM enriched_feedback "
        "WHERE name = 'quality' AND rater_kind = 'human'"
    ).table.to_pylist()
    found = {(row["request_id"], row["rater_id"]): row["reward"] for row in rows}
    assert found == {
        (key, rater): (value - 1) / 4
        for (key, rater, question), value in told(world).items()
        if question == "quality"
    }
    status = project.status()
    assert status["attributed"] == len(flat.rows["feedback"])
    assert status["received"] == status["attributed"] + 3
    assert status["quarantine"] == {"discarded": 1, "draft": 1, "not_annotated": 1}
