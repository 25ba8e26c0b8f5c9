"""The JSON Schema of the feedback payload: valid, and as strict as ingest is."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

SCHEMA = json.loads(
    (Path(__file__).resolve().parents[2] / "docs" / "feedback.v1.schema.json").read_text("utf-8")
)
EVENT = {"ts": "2026-03-01T12:00:00Z", "request_id": "r1", "name": "thumb", "value": 1}


def errors(event: dict[str, object]) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return [error.message for error in validator.iter_errors(event)]


def test_it_is_a_valid_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "event",
    [
        EVENT,
        {**EVENT, "value": "good", "kind": "label", "rater_kind": "human"},
        {**EVENT, "value": True, "tags": ["a"], "metadata": {"page": 3}, "schema_version": 1},
        {"ts": EVENT["ts"], "name": "edit", "corrected_output": "better"},
        {"ts": EVENT["ts"], "name": "pair", "chosen_id": "a", "rejected_id": "b"},
        {**EVENT, "a_field_of_the_sender": 1},
    ],
)
def test_it_accepts(event: dict[str, object]):
    assert errors(event) == []


@pytest.mark.parametrize(
    "event",
    [
        {key: value for key, value in EVENT.items() if key != "ts"},
        {key: value for key, value in EVENT.items() if key != "value"},
        {"ts": EVENT["ts"], "name": "pair", "chosen_id": "a"},
        {**EVENT, "kind": "thumbs"},
        {**EVENT, "scope": "world"},
        {**EVENT, "schema_version": 2},
        {**EVENT, "request_id": 7},
    ],
)
def test_it_refuses(event: dict[str, object]):
    assert errors(event) != []


def test_every_property_says_what_it_means():
    assert all(entry["description"] for entry in SCHEMA["properties"].values())
