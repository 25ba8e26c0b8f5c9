"""OTLP JSON by hand: exports of traces and logs, as the Collector's file exporter writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NOON = 1_764_072_000  # 2025-11-25T12:00:00Z
TRACE = "0af7651916cd43dd8448eb211c80319c"
RESOURCE = {"service.name": "shop-assistant", "service.version": "4.2.1"}


def any_value(value: Any) -> dict[str, Any]:
    """A value as OTLP writes it: integers as texts, maps as lists of pairs."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(inner) for inner in value]}}
    return {"kvlistValue": {"values": pairs(value)}}


def pairs(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Attributes as a list of pairs."""
    return [{"key": key, "value": any_value(value)} for key, value in attributes.items()]


def meaning(value: Any) -> Any:
    """What a record of OTLP says, with attributes by their names."""
    if isinstance(value, list):
        if value and all(isinstance(v, dict) and v.keys() == {"key", "value"} for v in value):
            return {pair["key"]: meaning(pair["value"]) for pair in value}
        return [meaning(inner) for inner in value]
    if isinstance(value, dict):
        return {key: meaning(inner) for key, inner in value.items()}
    return value


def nanos(seconds: float) -> str:
    """A time after noon."""
    return str(NOON * 10**9 + round(seconds * 10**9))


def span(number: int, attributes: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A span of a quarter of a second."""
    return {
        "traceId": TRACE,
        "spanId": span_id(number),
        "name": f"operation {number}",
        "kind": 3,
        "startTimeUnixNano": nanos(number),
        "endTimeUnixNano": nanos(number + 0.25),
        "attributes": pairs(attributes),
        **more,
    }


def span_id(number: int) -> str:
    """The id of a span."""
    return f"b7ad6b71692{number:05d}"


def event(name: str, seconds: float, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """An event of a span."""
    return {"name": name, "timeUnixNano": nanos(seconds), "attributes": pairs(attributes)}


def log(name: str | None, seconds: float, attributes: Mapping[str, Any], **more: Any) -> Any:
    """A log record, observed a second after it happened."""
    named = {} if name is None else {"eventName": name}
    times = {"timeUnixNano": nanos(seconds), "observedTimeUnixNano": nanos(seconds + 1)}
    return {**named, **times, "attributes": pairs(attributes), **more}


def traces(*spans: Any) -> dict[str, Any]:
    """An export of spans."""
    return _export("Spans", "spans", spans)


def logs(*records: Any) -> dict[str, Any]:
    """An export of log records."""
    return _export("Logs", "logRecords", records)


def _export(signal: str, items: str, rows: Any) -> dict[str, Any]:
    scoped = {"scope": {"name": "instrumentation.of.llms", "version": "0.61"}, items: list(rows)}
    resource = {"attributes": pairs(RESOURCE)}
    return {f"resource{signal}": [{"resource": resource, f"scope{signal}": [scoped]}]}


def write(path: Path, *records: Any) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path
