"""JSON Schemas of what the service accepts, made from the contract and as strict as ingest is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench import contract

#: Texts that name something; nothing but blanks names nothing.
_NAMES = {
    "feedback": (
        "feedback_id", "request_id", "model_version", "name", "chosen_id", "rejected_id",
        "retracts", "rater_id", "user_id", "session_id", "trace_id",
    ),
    "inferences": (
        "request_id", "model_version", "model", "user_id", "session_id", "trace_id", "parent_id",
        "item_id",
    ),
}  # fmt: skip

#: ISO 8601 with a zone; the years that ingest takes for a time.
_YEARS = "^(199[0-9]|20[0-9]{2})-"
_BOUNDS = {"INTEGER": 2**31, "BIGINT": 2**63}
_FLOAT = 3.4e38
_TEXT = {"type": "string"}
_JSON_TEXT = {"type": ["string", "object", "array"]}


@dataclass(frozen=True)
class Rule:
    """A condition over several fields: the field to name, what to say, and the schema."""

    field: str
    detail: str
    schema: Mapping[str, Any]


def feedback_rules(*, optional_request_id: bool) -> tuple[Rule, ...]:
    """What an event must hold beyond the types of its fields; none where its version has none."""
    rules = [
        Rule(
            "session_id",
            "a scope of session or conversation needs session_id",
            _if_scope(["session", "conversation"], _any_of("session_id", "request_id")),
        ),
        Rule(
            "trace_id",
            "a scope of trace needs trace_id",
            _if_scope(["trace"], _any_of("trace_id", "request_id")),
        ),
    ]
    if not optional_request_id:
        wider = {"properties": {"scope": {"not": {"const": "inference"}}}, "required": ["scope"]}
        named = _any_of("request_id", "retracts", "chosen_id", "rejected_id")["anyOf"]
        rules.append(
            Rule("request_id", "say which inference is judged", {"anyOf": [wider, *named]})
        )
    return tuple(rules)


def feedback(*, optional_request_id: bool = False, clock: bool = True) -> dict[str, Any]:
    """The schema of a feedback event in the version of the contract.

    Parameters
    ----------
    optional_request_id
        The project attributes events without a ``request_id`` by session or user.
    clock
        An event must say when it happened.
    """
    schema = contract.feedback_json_schema()
    # The service says itself when it received an event.
    del schema["properties"]["received_at"]
    schema["properties"] = {
        name: _tighten("feedback", name, entry) for name, entry in schema["properties"].items()
    }
    schema["required"] = ["ts"] if clock else []
    rules = feedback_rules(optional_request_id=optional_request_id)
    schema["allOf"] = [dict(rule.schema) for rule in rules]
    return schema


def inferences(*, clock: bool = True) -> dict[str, Any]:
    """The schema of a logged model call.

    Parameters
    ----------
    clock
        A call must say when it was made.
    """
    columns = contract.table("inferences").columns
    required = [name for name, column in columns.items() if column.required]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:feedback-workbench:inferences:1",
        "title": "Inference",
        "description": contract.table("inferences").comment,
        "type": "object",
        "properties": {
            name: _tighten("inferences", name, {"description": column.comment, **_typed(column)})
            for name, column in columns.items()
        },
        "required": [name for name in required if clock or name != "ts"],
        "additionalProperties": True,
    }


def _if_scope(scopes: list[str], then: Mapping[str, Any]) -> dict[str, Any]:
    condition = {"properties": {"scope": {"enum": scopes}}, "required": ["scope"]}
    return {"if": condition, "then": then}


def _any_of(*names: str) -> dict[str, Any]:
    return {"anyOf": [{"required": [name]} for name in names]}


def _tighten(table: str, name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    if name == "ts":
        return {**entry, "pattern": _YEARS}
    if name in _NAMES[table]:
        return {**entry, "pattern": r"\S"}
    return dict(entry)


def _typed(column: contract.Column) -> dict[str, Any]:
    if column.name == "features":
        return {"type": "object"}
    if column.name == "prediction":
        return {"type": ["string", "number", "boolean"]}
    if column.type == "VARCHAR":
        named = column.name in _NAMES["inferences"]
        return _TEXT if named or "JSON text" not in column.comment else _JSON_TEXT
    return _of_type(column.type, _range(column.check))


def _range(check: str | None) -> dict[str, float]:
    """The bounds that a CHECK sets."""
    found = {sign: float(bound) for sign, bound in re.findall(r"([<>])= (\d+)", check or "")}
    limits = {">": "minimum", "<": "maximum"}
    return {limits[sign]: bound for sign, bound in found.items()}


def _of_type(dtype: str, bounds: Mapping[str, float]) -> dict[str, Any]:
    if dtype.endswith("[]"):
        items = _of_type(dtype[:-2], bounds)
        if dtype == 'STRUCT("name" VARCHAR, "value" DOUBLE)[]':
            return {
                "type": ["array", "object"],
                "items": items,
                "additionalProperties": _number({}),
            }
        return {"type": "array", "items": items}
    if dtype.startswith("STRUCT("):
        fields = (field.split(" ", 1) for field in dtype[7:-1].split(", "))
        return {
            "type": "object",
            "properties": {name.strip('"'): _of_type(kind, {}) for name, kind in fields},
        }
    if dtype in _BOUNDS:
        whole = {"minimum": -_BOUNDS[dtype], "maximum": _BOUNDS[dtype] - 1}
        return {"type": "integer", **whole, **{name: int(value) for name, value in bounds.items()}}
    if dtype == "FLOAT":
        return _number({"minimum": -_FLOAT, "maximum": _FLOAT})
    if dtype == "DOUBLE":
        return _number(bounds)
    if dtype == "TIMESTAMP WITH TIME ZONE":
        return {"type": "string", "format": "date-time"}
    return _TEXT


def _number(bounds: Mapping[str, float]) -> dict[str, Any]:
    return {"type": "number", **bounds}
