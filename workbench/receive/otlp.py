"""OTLP traces in JSON and in protobuf, both kept as OTLP JSON with ids in hex."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from workbench.receive.check import Fault

_TRACE = re.compile(r"(?!0{32})[0-9a-fA-F]{32}")
_SPAN = re.compile(r"(?!0{16})[0-9a-fA-F]{16}")
_LEVELS = ("resourceSpans", "scopeSpans", "spans")


def from_protobuf(content: bytes) -> dict[str, Any]:
    """Read an export request; the same in OTLP JSON.

    Raises
    ------
    ValueError
        If `content` is no export request.
    """
    message = ExportTraceServiceRequest()
    try:
        message.ParseFromString(content)
    except DecodeError as error:
        raise ValueError("the body is no ExportTraceServiceRequest") from error
    document: dict[str, Any] = MessageToDict(message, use_integers_for_enums=True)
    for resource in document.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                for part in (span, *span.get("links", ())):
                    _ids_in_hex(part)
    return document


def separate(document: Mapping[str, Any]) -> tuple[dict[str, Any], int, list[tuple[Any, Fault]]]:
    """Take out of an export request what is no span.

    Returns
    -------
    tuple
        The request with the spans that may land, how many those are, and the others, each with
        what is wrong with it.
    """
    refused: list[tuple[Any, Fault]] = []
    kept, spans = _sift(document, 0, "", refused)
    return kept, spans, refused


def answer(rejected: int, message: str) -> ExportTraceServiceResponse:
    """The response to an export request of which `rejected` spans were refused."""
    response = ExportTraceServiceResponse()
    if rejected:
        response.partial_success.rejected_spans = rejected
        response.partial_success.error_message = message
    return response


def _ids_in_hex(part: dict[str, Any]) -> None:
    """Rewrite the ids of a span or a link: the JSON of protobuf has bytes in base64."""
    for name in ("traceId", "spanId", "parentSpanId"):
        if name in part:
            part[name] = base64.b64decode(part[name]).hex()


def _sift(
    holder: Mapping[str, Any], level: int, path: str, refused: list[tuple[Any, Fault]]
) -> tuple[dict[str, Any], int]:
    """Keep of one level what can be read; the holder with it, and the spans below it."""
    name = _LEVELS[level]
    where = f"{path}{name}"
    listed = holder.get(name, [])
    if not isinstance(listed, list):
        refused.append((holder, Fault(where, "bad_type", f"{name} is a list")))
        return {**holder, name: []}, 0
    kept: list[Any] = []
    spans = 0
    for place, entry in enumerate(listed):
        here = f"{where}/{place}"
        fault = (
            Fault(here, "not_an_object", f"an entry of {name} is an object")
            if not isinstance(entry, dict)
            else _span_fault(entry, here)
            if level == len(_LEVELS) - 1
            else None
        )
        if fault is not None:
            refused.append((entry, fault))
        elif level == len(_LEVELS) - 1:
            kept.append(entry)
            spans += 1
        else:
            inner, below = _sift(entry, level + 1, f"{here}/", refused)
            kept.append(inner)
            spans += below
    return {**holder, name: kept}, spans


def _span_fault(span: Mapping[str, Any], where: str) -> Fault | None:
    for name, pattern in (("traceId", _TRACE), ("spanId", _SPAN)):
        value = span.get(name)
        if value is None:
            return Fault(f"{where}/{name}", "missing_value", "a span has a traceId and a spanId")
        if not isinstance(value, str) or not pattern.fullmatch(value):
            digits = 32 if name == "traceId" else 16
            detail = f"{name} is {digits} hexadecimal digits, not all of them 0"
            return Fault(f"{where}/{name}", "bad_type", detail)
    return None
