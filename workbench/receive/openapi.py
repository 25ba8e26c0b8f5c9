"""The OpenAPI document of the service, made from the schemas that it checks with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench import __version__
from workbench.receive.check import Check

_COUNTS = ("accepted", "duplicates", "refused")
_WHOLE = {"type": "integer", "minimum": 0}
_NEXT = {
    "400": "The body or a header cannot be read.",
    "409": "An id, or the Idempotency-Key, was received with another content before.",
    "413": "The body is too large.",
    "415": "The media type or the encoding is not read.",
    "422": "Events were refused and quarantined; the others are received.",
    "429": "More events than the rate permits.",
    "503": "The disk did not take it, or the service is behind.",
}
_KEYS = {"401": "A key is missing or unknown.", "403": "The key may not write this."}


def document(checks: Mapping[str, Check], *, secured: bool) -> dict[str, Any]:
    """Describe the service.

    Parameters
    ----------
    checks
        How the events of each stream are checked.
    secured
        A key is needed.
    """
    schemas = {
        _title(stream): _embedded(check.by_version[check.newest])
        for stream, check in checks.items()
    }
    problems = _NEXT | (_KEYS if secured else {})
    paths: dict[str, Any] = {
        f"/v1/{stream}": {"post": _post(stream, problems)} for stream in checks
    }
    paths["/v1/traces"] = {"post": _traces(problems)}
    paths["/v1/schema/{stream}"] = {"get": _schema(checks)}
    for path, kind, summary in (
        ("/healthz", "application/json", "Whether the last write succeeded."),
        ("/metrics", "text/plain", "Counts, for Prometheus."),
        ("/openapi.json", "application/json", "This document."),
        ("/widget.js", "text/javascript", "The script for web pages."),
    ):
        answers = {"200": {"description": summary, "content": {kind: {}}}}
        if path == "/healthz":
            answers["503"] = _problem("The last write failed.")
        paths[path] = {"get": {"summary": summary, "responses": answers}}
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Feedback validation service",
            "version": __version__,
            "description": "What is answered with 202 is on the disk.",
        },
        "paths": paths,
        "components": {"schemas": {**schemas, "Counts": _counts(), "Problem": _problem_schema()}},
    }
    if secured:
        described["security"] = [{"bearer": []}, {"header": []}]
        described["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
    return described


def _title(stream: str) -> str:
    return {"feedback": "FeedbackEvent", "inferences": "Inference"}[stream]


def _embedded(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name not in ("$schema", "$id")}


def _post(stream: str, problems: Mapping[str, str]) -> dict[str, Any]:
    one = {"$ref": f"#/components/schemas/{_title(stream)}"}
    return {
        "summary": f"Receive {stream}: one event, or a batch.",
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "Names the request: the same key with another body is refused.",
                "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"oneOf": [one, {"type": "array", "items": one}]}},
                "application/x-ndjson": {"schema": {"type": "string"}},
            },
        },
        "responses": {
            "202": {
                "description": "Everything is received and on the disk.",
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/Counts"}}
                },
            },
            **{status: _problem(meaning) for status, meaning in problems.items()},
        },
    }


def _traces(problems: Mapping[str, str]) -> dict[str, Any]:
    answer = {
        "type": "object",
        "properties": {
            "partialSuccess": {
                "type": "object",
                "properties": {
                    "rejectedSpans": {"type": "string"},
                    "errorMessage": {"type": "string"},
                },
            }
        },
    }
    kept = {
        status: _problem(meaning)
        for status, meaning in problems.items()
        if status not in ("409", "422")
    }
    return {
        "summary": "Receive traces (OTLP/HTTP).",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": {"resourceSpans": {"type": "array"}},
                    }
                },
                "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": {
            "200": {
                "description": "Received and on the disk, but for what partialSuccess says.",
                "content": {
                    "application/json": {"schema": answer},
                    "application/x-protobuf": {},
                },
            },
            **kept,
        },
    }


def _schema(checks: Mapping[str, Check]) -> dict[str, Any]:
    versions = sorted({version for check in checks.values() for version in check.by_version})
    return {
        "summary": "The JSON Schema that events are checked with.",
        "parameters": [
            {
                "name": "stream",
                "in": "path",
                "required": True,
                "schema": {"enum": list(checks)},
            },
            {"name": "version", "in": "query", "schema": {"enum": versions}},
        ],
        "responses": {
            "200": {
                "description": "The schema.",
                "content": {"application/schema+json": {"schema": {"type": "object"}}},
            },
            "404": _problem("There is no such schema."),
        },
    }


def _counts() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict.fromkeys(_COUNTS, _WHOLE),
        "required": list(_COUNTS),
    }


def _problem(meaning: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": meaning, "content": {"application/problem+json": {"schema": schema}}}


def _problem_schema() -> dict[str, Any]:
    error = {
        "type": "object",
        "properties": {
            "index": _WHOLE,
            "field": {"type": ["string", "null"]},
            "reason": {"type": "string"},
            "detail": {"type": "string"},
        },
        "required": ["index", "field", "reason", "detail"],
    }
    return {
        "type": "object",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            **dict.fromkeys(_COUNTS, _WHOLE),
            "errors": {"type": "array", "items": error},
        },
        "required": ["type", "title", "status", "detail"],
    }
