"""TensorZero: inferences with the calls that they made, metrics of inferences and of episodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import workbench
from tests.importers.laws import Sample
from workbench.guess import guess_project


def uuid7(milliseconds: int, number: int) -> str:
    """An id of version 7, made at a time."""
    stamp = f"{milliseconds:012x}"
    return f"{stamp[:8]}-{stamp[8:]}-7{number:03x}-8000-{number:012x}"


NOON = 1_764_072_000_000  # 2025-11-25T12:00:00Z
CHAT, JSON, BARE, LATE = (uuid7(NOON + n * 1000, n) for n in range(4))
EPISODE, OTHER = uuid7(NOON - 1, 0xAA), uuid7(NOON - 2, 0xBB)


def write(path: Path, rows: list[Any]) -> Path:
    """A table as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def inference(identity: str, name: str, episode: str, said: Any, **more: Any) -> dict[str, Any]:
    """A row of an inference table; ClickHouse keeps JSON as text."""
    asked = {
        "system": {"persona": f"pirate-{name}"},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": f"Where is {name}?"}]},
            {"role": "assistant", "content": [
                {"type": "tool_call", "id": f"call-{name}", "name": "find", "arguments": "{}"},
                {"type": "text", "text": f"Looking for {name}."},
            ]},
            {"role": "user", "content": [{"type": "text", "arguments": {"again": name}}]},
        ],
    }  # fmt: skip
    return {
        "id": identity, "function_name": f"ask_{name}", "variant_name": f"variant_{name}",
        "episode_id": episode, "input": json.dumps(asked), "output": json.dumps(said),
        "inference_params": json.dumps({"chat_completion": {"temperature": 0.25}}),
        "processing_time_ms": 1234, "ttft_ms": 77, "timestamp": "2025-11-25 12:00:00",
        "tags": {"customer": f"acme-{name}"}, **more,
    }  # fmt: skip


def call(identity: str, of: str, model: str, tokens: int) -> dict[str, Any]:
    """A row of the table of model calls."""
    return {
        "id": identity, "inference_id": of, "model_name": model, "model_provider_name": "acme",
        "input_tokens": tokens, "output_tokens": tokens + 1, "response_time_ms": 900 + tokens,
        "raw_request": f"request of {identity}", "raw_response": f"response of {identity}",
        "system": "Talk like a pirate.", "input_messages": "[]", "output": "[]",
        "cached": False, "timestamp": "2025-11-25 12:00:01",
    }  # fmt: skip


def samples(folder: Path) -> list[Sample]:
    """All tables of one deployment, an unknown row among them; and the newer, split tables."""
    said = [
        {"type": "thought", "text": "The map says west.", "signature": "sig-0"},
        {"type": "text", "text": "It is in the west."},
        {"type": "tool_call", "id": "call-1", "name": "sail", "arguments": {"to": "west"},
         "raw_name": "sail", "raw_arguments": '{"to": "west"}'},
    ]  # fmt: skip
    parsed = {"raw": '{"place": "east"}', "parsed": {"place": "east"}}
    odd = {"raw": "no json at all", "parsed": None}
    paths = [
        write(folder / "ChatInference.jsonl", [inference(CHAT, "treasure", EPISODE, said)]),
        write(folder / "JsonInference.jsonl", [
            inference(JSON, "harbour", OTHER, parsed, output_schema='{"type": "object"}'),
            inference(BARE, "ship", OTHER, odd),
        ]),
        write(folder / "ModelInference.jsonl", [
            call(uuid7(NOON + 400, 1), CHAT, "llama-small", 10),
            call(uuid7(NOON + 500, 2), CHAT, "llama-large", 20),
            call(uuid7(NOON + 600, 3), JSON, "llama-large", 30),
            call(uuid7(NOON + 700, 4), uuid7(NOON, 0xFFF), "llama-lost", 40),
        ]),
        write(folder / "BooleanMetricFeedback.jsonl", [
            {"id": uuid7(NOON + 60_000, 5), "target_id": CHAT, "metric_name": "found",
             "value": True, "tags": {"tensorzero::human_feedback": "true"},
             "timestamp": "2025-11-25 12:01:00"},
            {"id": uuid7(NOON + 61_000, 6), "target_id": OTHER, "metric_name": "trip_done",
             "value": False, "timestamp": "2025-11-25 12:01:01"},
        ]),
        write(folder / "FloatMetricFeedback.jsonl", [
            {"id": uuid7(NOON + 62_000, 7), "target_id": JSON, "metric_name": "closeness",
             "value": 0.75, "tags": {"tensorzero::evaluator_inference_id": "judge-9"},
             "timestamp": "2025-11-25 12:01:02"},
        ]),
        write(folder / "CommentFeedback.jsonl", [
            {"id": uuid7(NOON + 63_000, 8), "target_id": EPISODE, "target_type": "episode",
             "value": "a fine trip", "timestamp": "2025-11-25 12:01:03"},
        ]),
        write(folder / "DemonstrationFeedback.jsonl", [
            {"id": uuid7(NOON + 64_000, 9), "inference_id": CHAT,
             "value": json.dumps([{"type": "text", "text": "It is in the south."}]),
             "timestamp": "2025-11-25 12:01:04"},
            {"id": uuid7(NOON + 65_000, 10), "inference_id": JSON,
             "value": json.dumps({"raw": '{"place": "north"}', "parsed": {"place": "north"}}),
             "timestamp": "2025-11-25 12:01:05"},
        ]),
    ]  # fmt: skip
    row = inference(LATE, "anchor", EPISODE, [{"type": "text", "text": "Below."}])
    whole = {key: row.pop(key) for key in ("input", "output", "inference_params")}
    split = [
        write(folder / "chat_inferences.jsonl", [row]),
        write(folder / "chat_inference_data.jsonl", [{"id": LATE, **whole}, {"id": "x", **whole}]),
    ]
    every = ("inferences", "feedback", "aliases")
    return [
        Sample(importer="tensorzero", paths=paths, tables=every, across=True),
        Sample(importer="tensorzero", paths=split, tables=("inferences", "aliases"), across=True,
               refused=1),
    ]  # fmt: skip


def build(folder: Path, source: Path) -> workbench.Workbench:
    """A project that `init` makes of a folder of tables."""
    folder.mkdir()
    guess = guess_project([source], [source], project_dir=folder)
    assert not [q for q in guess.questions if "closeness" not in q and "found" not in q]
    (folder / "workbench.toml").write_text(guess.toml)
    project = workbench.open(folder)
    project.build()
    return project


def ask(project: workbench.Workbench, query: str) -> list[Any]:
    """Rows of a query over the build."""
    return [tuple(row.values()) for row in project.sql(query).table.to_pylist()]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> workbench.Workbench:
    folder = tmp_path_factory.mktemp("tensorzero")
    (folder / "tables").mkdir()
    for path in samples(folder)[0].paths:
        path.rename(folder / "tables" / path.name)
    # It lies beside the tables and is none.
    (folder / "tables" / "tensorzero.toml").write_text("[functions.ask]\n")
    return build(folder / "project", folder / "tables")


def test_a_target_is_an_inference_or_an_episode(project: workbench.Workbench) -> None:
    assert ask(
        project,
        "SELECT f.name, a.status, a.request_id FROM attribution a "
        "JOIN feedback f USING (feedback_id) ORDER BY f.ts, f.feedback_id",
    ) == [
        ("found", "attributed", CHAT),
        # An episode is credited at the last inference before the verdict.
        ("trip_done", "attributed", BARE),
        ("closeness", "attributed", JSON),
        ("comment", "attributed", CHAT),
        ("demonstration", "attributed", CHAT),
        ("demonstration", "attributed", JSON),
    ]


def test_nothing_was_refused_and_no_file_beside_the_tables_was_read(
    project: workbench.Workbench,
) -> None:
    assert project.status()["quarantine"] == {}
    assert project.status()["inferences"]["received"] == 4


def test_calls_give_an_inference_its_model_and_its_tokens(project: workbench.Workbench) -> None:
    assert ask(
        project,
        "SELECT request_id, model, model_version, cohort, input_tokens, output_tokens, parent_id "
        "FROM inferences ORDER BY ts",
    ) == [
        (CHAT, "llama-large", "llama-large", "variant_treasure", 30, 32, None),
        (uuid7(NOON + 700, 4), "llama-lost", "llama-lost", None, 40, 41, uuid7(NOON, 0xFFF)),
        (JSON, "llama-large", "llama-large", "variant_harbour", 30, 31, None),
        (BARE, "variant_ship", "variant_ship", "variant_ship", None, None, None),
    ]


def test_texts_are_texts(project: workbench.Workbench) -> None:
    ((asked, said, thought, calls),) = ask(
        project,
        f"SELECT input, output, reasoning, tool_calls FROM inferences WHERE request_id = '{CHAT}'",
    )
    messages = json.loads(asked)
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
    assert messages[1]["content"] == "Where is treasure?"
    assert json.loads(messages[3]["content"]) == {"again": "treasure"}
    assert (said, thought) == ("It is in the west.", "The map says west.")
    assert json.loads(calls)[0]["function"] == {"name": "sail", "arguments": '{"to":"west"}'}
    assert ask(project, "SELECT corrected_output FROM feedback WHERE kind = 'correction' "
               "ORDER BY ts") == [("It is in the south.",), ('{"place": "north"}',)]  # fmt: skip
    assert ask(project, f"SELECT output FROM inferences WHERE request_id = '{JSON}'") == [
        ('{"place": "east"}',)
    ]


def test_who_judged_is_told_by_the_tags(project: workbench.Workbench) -> None:
    assert ask(
        project, "SELECT name, rater_kind, rater_id FROM feedback WHERE rater_kind IS NOT NULL "
        "ORDER BY name"
    ) == [("closeness", "model", "judge-9"), ("found", "human", None)]  # fmt: skip


def test_haiku_through_init_with_the_folder_alone(real_data: Path, tmp_path: Path) -> None:
    haiku = build(tmp_path / "project", real_data / "tensorzero_haiku")
    assert haiku.status()["attributed"] == haiku.status()["received"] == 500
    assert haiku.status()["inferences"]["received"] == 2000
    assert ask(
        haiku,
        "SELECT count(*), sum(reward), min(d), median(d), max(d), "
        "bool_and(list_contains(tags, 'function=write_haiku')) FROM (SELECT *, "
        "date_diff('second', ts, feedback_ts) AS d FROM enriched_feedback)",
    ) == [(500, 84, 8, 155, 303, True)]
    assert ask(
        haiku,
        "SELECT model, sum(input_tokens)::BIGINT, sum(output_tokens)::BIGINT FROM inferences "
        "GROUP BY 1 ORDER BY 1",
    ) == [
        ("openai::gpt-4o-2024-08-06", 184_415, 117_618),
        ("openai::gpt-4o-mini-2024-07-18", 83_357, 86_552),
    ]
