"""Logs of APIs in OpenAI's style."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import workbench
from tests.importers import laws
from tests.importers.laws import Sample
from workbench.guess import guess_project

NOON = 1_764_072_000  # 2025-11-25T12:00:00Z


def completion(number: int, content: str | None, **more: Any) -> dict[str, Any]:
    """A response of chat completions; what is not given is as the API fills it."""
    message = {"role": "assistant", "content": content, "refusal": None, **more.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": "stop", **more.pop("choice", {})}
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": NOON + number,
        "model": "gpt-4o-2024-08-06",
        "choices": [choice, *more.pop("others", [])],
        "usage": {"prompt_tokens": 400 + number, "completion_tokens": 500 + number},
        "system_fingerprint": "fp_a1b2c3",
        **more,
    }


def asked(text: str, **more: Any) -> dict[str, Any]:
    """A request of chat completions."""
    messages = [
        {"role": "system", "content": "Answer in one word."},
        {"role": "user", "content": [{"type": "text", "text": text}]},
    ]
    return {"model": "gpt-4o", "messages": messages, "temperature": 0.35, **more}


LOGPROBS = {"logprobs": {"content": [
    {"token": "Four", "logprob": -0.0625, "bytes": [70], "top_logprobs": []},
    {"token": "teen", "logprob": -1.5, "bytes": [116], "top_logprobs": []},
], "refusal": None}}  # fmt: skip
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a":71}'}}

NESTED = [
    {"request_id": "req-1", "timestamp": "2025-11-25T12:00:01.250Z", "user_id": "ann",
     "latency_ms": 812.5, "tenant": "north",
     "request": asked("Seven and seven?", seed=90210),
     "response": completion(1, "Fourteen", choice=LOGPROBS)},
    {"request": {"method": "POST", "body": asked("Which tool?", user="bob")},
     "response": {"status_code": 200, "body": completion(2, None, message={"tool_calls": [CALL]})}},
    {"request": asked("Something bad?"),
     "response": completion(3, None, message={"refusal": "I cannot help with that."})},
    {"request_id": "req-4", "timestamp": NOON + 4, "request": asked("Too much?"),
     "response": {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}},
    {"request": asked("Two answers?", n=2),
     "response": completion(5, "One of them",
                            others=[{"index": 1, "finish_reason": "length",
                                     "message": {"role": "assistant", "content": "The other"}}])},
]  # fmt: skip
FLAT = [
    {**completion(21, "From the response alone"), "service_tier": "default"},
    {**completion(22, "With its messages"), "messages": [{"role": "user", "content": "Flat?"}]},
    {"id": "cmpl-23", "object": "text_completion", "created": NOON + 23, "model": "davinci-002",
     "prompt": "Once upon", "choices": [{"text": " a time", "index": 0, "finish_reason": "length",
     "logprobs": {"tokens": ["a", "time"], "token_logprobs": [None, -2.25]}}]},
]  # fmt: skip
RESPONSES = [
    {"request": {"model": "o4-mini", "instructions": "Think first.", "input": "Is 91 prime?"},
     "response": {
        "id": "resp_31", "object": "response", "created_at": NOON + 31, "model": "o4-mini-2025",
        "error": None, "status": "completed", "conversation": {"id": "conv_31"},
        "output": [
            {"type": "reasoning", "id": "rs_1",
             "summary": [{"type": "summary_text", "text": "Seven times thirteen."}]},
            {"type": "function_call", "call_id": "call_7", "name": "factor", "arguments": "{}"},
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
             "content": [{"type": "output_text", "text": "No, ", "annotations": []},
                         {"type": "output_text", "text": "it is 7 x 13."}]}],
        "usage": {"input_tokens": 331, "output_tokens": 332}}},
]  # fmt: skip
SENT = [{"custom_id": "row-41", "method": "POST", "url": "/v1/chat/completions",
         "body": asked("In a batch?")}]  # fmt: skip
RETURNED = [
    {"id": "batch_req_41", "custom_id": "row-41", "error": None,
     "response": {"status_code": 200, "request_id": "upstream-41", "body": completion(41, "Yes.")}},
    {"id": "batch_req_42", "custom_id": "row-42", "response": None,
     "error": {"code": "batch_expired", "message": "This request was not executed in time."}},
]  # fmt: skip


def write(path: Path, records: list[Any]) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def samples(folder: Path) -> list[Sample]:
    """Each shape of log."""
    batch = [write(folder / "sent.jsonl", SENT), write(folder / "returned.jsonl", RETURNED)]
    return [
        Sample(importer="openai", paths=[write(folder / "nested.jsonl", NESTED)],
               tables=("inferences", "aliases")),
        Sample(importer="openai", paths=[write(folder / "flat.jsonl", FLAT)]),
        Sample(importer="openai", paths=[write(folder / "responses.jsonl", RESPONSES)]),
        Sample(importer="openai", paths=batch, tables=("inferences", "aliases"), refused=1,
               clock=False),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, Any]]:
    """All calls by their ids."""
    found: dict[str, Mapping[str, Any]] = {}
    for sample in samples(tmp_path_factory.mktemp("openai")):
        staged = laws.stage("openai", sample.paths).rows["inferences"]
        found |= {row["request_id"]: row for _, row in staged}
    return found


def test_a_request_with_its_response(rows: Any) -> None:
    row = rows["req-1"]
    assert json.loads(row["input"]) == [
        {"role": "system", "content": "Answer in one word."},
        {"role": "user", "content": "Seven and seven?"},
    ]
    assert (row["output"], row["user_id"]) == ("Fourteen", "ann")
    assert json.loads(row["params"]) == {"temperature": 0.35, "seed": 90210}
    assert (row["model"], row["model_version"]) == ("gpt-4o", "gpt-4o-2024-08-06")
    assert (int(row["input_tokens"]), int(row["output_tokens"])) == (401, 501)
    assert json.loads(row["metadata"])["record"] == {
        "timestamp": "2025-11-25T12:00:01.250Z",
        "tenant": "north",
    }


def test_probabilities_of_tokens(rows: Any) -> None:
    assert math.fsum(json.loads(rows["req-1"]["token_logprobs"])) == -1.5625
    assert json.loads(rows["cmpl-23"]["token_logprobs"]) == [-2.25]


def test_calls_of_tools(rows: Any) -> None:
    row = rows["chatcmpl-2"]
    assert (row["output"], json.loads(row["tool_calls"])) == (None, [CALL])
    assert row["user_id"] == "bob"


def test_a_refusal_is_what_the_user_saw(rows: Any) -> None:
    assert rows["chatcmpl-3"]["output"] == "I cannot help with that."
    assert "I cannot help with that." in rows["chatcmpl-3"]["metadata"]


def test_an_error_is_a_call_without_an_answer(rows: Any) -> None:
    row = rows["req-4"]
    assert (row["output"], row["model_version"]) == (None, "gpt-4o")
    assert json.loads(row["metadata"])["error"]["code"] == "rate_limit_exceeded"


def test_of_several_answers_the_first_is_the_output(rows: Any) -> None:
    row = rows["chatcmpl-5"]
    assert row["output"] == "One of them"
    assert "The other" in row["metadata"]


def test_flat_records(rows: Any) -> None:
    assert rows["chatcmpl-21"]["output"] == "From the response alone"
    assert json.loads(rows["chatcmpl-22"]["input"]) == [{"role": "user", "content": "Flat?"}]
    assert (rows["cmpl-23"]["input"], rows["cmpl-23"]["output"]) == ("Once upon", " a time")


def test_the_responses_api(rows: Any) -> None:
    row = rows["resp_31"]
    assert row["output"] == "No, it is 7 x 13."
    assert row["reasoning"] == "Seven times thirteen."
    assert [m["role"] for m in json.loads(row["input"])] == ["system", "user"]
    assert json.loads(row["tool_calls"])[0]["name"] == "factor"
    assert (row["session_id"], int(row["output_tokens"])) == ("conv_31", 332)


def test_a_batch_is_asked_and_answered_in_two_files(rows: Any) -> None:
    row = rows["chatcmpl-41"]
    assert (json.loads(row["input"])[1]["content"], row["output"]) == ("In a batch?", "Yes.")
    assert rows["row-42"]["output"] is None


def test_a_call_has_the_names_that_its_sender_gave_it(tmp_path: Path) -> None:
    outcome = laws.stage("openai", samples(tmp_path)[3].paths)
    names = {(row["alias"], row["request_id"]) for _, row in outcome.rows["aliases"]}
    assert {("row-41", "chatcmpl-41"), ("batch_req_42", "row-42")} <= names
    assert [reason for rows in outcome.refused.values() for _, reason, _ in rows] == ["no_response"]


def test_a_name_that_two_batches_used_tells_nothing(tmp_path: Path) -> None:
    again = {**SENT[0], "body": asked("In another batch?")}
    sent = write(tmp_path / "sent.jsonl", [*SENT, again])
    outcome = laws.stage("openai", [sent, write(tmp_path / "returned.jsonl", RETURNED)])
    rows = {row["request_id"]: row for _, row in outcome.rows["inferences"]}
    assert rows["chatcmpl-41"]["input"] is None


def test_votes_find_the_calls_by_any_of_their_names(tmp_path: Path) -> None:
    log = write(tmp_path / "calls.jsonl", NESTED)
    votes = write(tmp_path / "votes.jsonl", [
        {"feedback_id": "f1", "request_id": "req-1", "ts": NOON + 60, "name": "thumb", "value": 1},
        {"feedback_id": "f2", "request_id": "chatcmpl-1", "ts": NOON + 61, "name": "thumb",
         "value": 0},
        {"feedback_id": "f3", "request_id": "chatcmpl-5", "ts": NOON + 62, "name": "thumb",
         "value": 1},
    ])  # fmt: skip
    guess = guess_project([log], [votes], project_dir=tmp_path)
    (tmp_path / "workbench.toml").write_text(guess.toml)
    project = workbench.open(tmp_path)
    project.build()
    found = project.sql("SELECT feedback_id, request_id, method FROM attribution ORDER BY 1").table
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        ("f1", "req-1", "request_id"),
        ("f2", "req-1", "alias"),
        ("f3", "chatcmpl-5", "request_id"),
    ]
    calls = project.sql("SELECT request_id, token_logprobs FROM inferences").table.to_pylist()
    assert len(calls) == len(NESTED)
    logprobs = {row["request_id"]: row["token_logprobs"] for row in calls}
    assert logprobs["req-1"] == [-0.0625, -1.5]
