"""What the API of OpenAI really answered, as packages recorded it for their own tests."""

from __future__ import annotations

import base64
import json
import os
import struct
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import workbench
from tests.importers import laws
from tests.importers.laws import Outcome, Sample

WORLD = Path(__file__).with_name("openai_world.py")
PROJECT = """
[inferences]
source = "calls.jsonl"
format = "openai"
[aliases]
source = "calls.jsonl"
format = "openai"
[feedback]
source = "votes.jsonl"
[feedback.signals.thumb]
kind = "binary"
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of the recorded calls, as a proxy before the API would write it."""
    default = Path(__file__).resolve().parents[2] / ".venv-vendors"
    vendors = Path(os.environ.get("WORKBENCH_VENDORS", default))
    if not (vendors / "recorded").is_dir():
        pytest.skip("the environment of other systems is absent: make vendors")
    folder = tmp_path_factory.mktemp("openai")
    subprocess.run([vendors / "bin" / "python", WORLD, vendors / "recorded", folder], check=True)
    return folder / "calls.jsonl"


@pytest.fixture(scope="module")
def read(log: Path) -> Outcome:
    return laws.stage("openai", [log])


def by_tape(read: Outcome, name: str) -> list[tuple[Any, Any]]:
    """The record and the inference of each call on a tape."""
    return [
        (read.records[key], row)
        for key, row in read.rows["inferences"]
        if read.records[key]["tape"].startswith(name)
    ]


def test_every_call_is_an_inference_and_no_value_is_lost(log: Path, read: Outcome) -> None:
    kinds = Counter(str(one["response"].get("object")) for one in read.records.values())
    assert kinds == {"response": 45, "chat.completion": 26, "list": 17, "None": 5}
    assert len(read.rows["inferences"]) == len(read.records) == 93
    laws.check(Sample(importer="openai", paths=[log], tables=("inferences", "aliases")))


def test_answers_tokens_and_models_are_those_of_the_responses(read: Outcome) -> None:
    for key, row in read.rows["inferences"]:
        response = read.records[key]["response"]
        usage = response.get("usage") or {}
        for name, other in (("input_tokens", "prompt_tokens"), ("output_tokens", None)):
            wanted = usage.get(name, usage.get(other or "completion_tokens"))
            assert row[name] == (None if wanted is None else str(wanted))
        assert row["model_version"] == response.get("model", read.records[key]["request"]["model"])
        if response.get("object") == "chat.completion":
            assert row["output"] == response["choices"][0]["message"]["content"]
        if response.get("object") == "response":
            texts = [
                part["text"]
                for item in response["output"]
                for part in (item.get("content") or [] if item["type"] == "message" else [])
            ]
            assert (row["output"] or "") == "".join(texts)


def test_a_call_of_tools_by_each_api(read: Outcome) -> None:
    def calls(name: str) -> list[Any]:
        texts = [row["tool_calls"] for _, row in by_tape(read, name) if row["tool_calls"]]
        return [call for text in texts for call in json.loads(text)]

    places = [
        json.loads(call["function"]["arguments"])["location"]
        for call in calls("test_chat_completion_tool_calls_with_content")
    ]
    assert places == ["Seattle, WA", "San Francisco, CA"]
    found = {call["type"]: call for call in calls("test_function_calling")}
    assert found.keys() == {"function_call", "web_search_call"}
    assert json.loads(found["function_call"]["arguments"]) == {"x": 5, "y": 4}


def test_reasoning_is_apart_from_the_answer(read: Outcome) -> None:
    thought = [row for _, row in read.rows["inferences"] if row["reasoning"]]
    assert [row["reasoning"].split("\n")[0] for row in thought] == [
        "**Considering weather inquiry**",
        "**Crafting a polite response**",
    ]
    assert not any(row["reasoning"] in (row["output"] or "") for row in thought)


def test_embeddings_that_came_as_numbers_and_as_bytes(read: Outcome) -> None:
    found = [
        (record, json.loads(row["embedding"]) if row["embedding"] else None)
        for record, row in by_tape(read, "test_")
        if record["response"].get("object") == "list"
    ]
    for record, embedding in found:
        own = record["response"]["data"]
        given = own[0]["embedding"]
        if len(own) > 1:
            assert embedding is None
        else:
            if isinstance(given, str):
                given = struct.unpack(f"<{len(given) * 3 // 16}f", base64.b64decode(given))
            assert embedding == pytest.approx(given, rel=1e-6)
    kinds = Counter(type(record["response"]["data"][0]["embedding"]) for record, _ in found)
    assert kinds[str] >= 4
    assert kinds[list] >= 8


def test_a_refused_call_is_an_inference_without_an_answer(read: Outcome) -> None:
    refused = [(record, row) for record, row in by_tape(read, "test_") if record["status"] == 404]
    assert len(refused) == 4
    for record, row in refused:
        assert row["output"] is None
        error = record["response"]["error"]
        told = json.loads(row["metadata"])["error"]
        assert told == {key: value for key, value in error.items() if value is not None}


def test_a_vote_finds_a_call_by_the_id_that_the_api_gave(log: Path, read: Outcome) -> None:
    folder = log.parent
    ids = [
        record["response"]["id"]
        for record in read.records.values()
        if record["response"].get("object") == "chat.completion"
    ]
    votes = [
        {"feedback_id": f"f{n}", "request_id": key, "ts": "2026-03-02T00:00:00Z", "name": "thumb",
         "value": n % 2}
        for n, key in enumerate(ids)
    ]  # fmt: skip
    (folder / "votes.jsonl").write_text("".join(json.dumps(vote) + "\n" for vote in votes))
    (folder / "workbench.toml").write_text(PROJECT)
    project = workbench.open(folder)
    project.build()
    status = project.status()
    # Several tapes hold the same answer: whose the vote is nobody can tell.
    once = [key for key in ids if ids.count(key) == 1]
    assert status["attributed"] == len(once) == 17
    assert status["received"] == status["attributed"] + status["ambiguous"] == len(ids) == 26
    assert status["inferences"]["received"] == 93
