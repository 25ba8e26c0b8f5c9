"""Traces: what is sent in protobuf lands as the same that is sent in JSON."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.ingest.folder import PLAIN, Folder
from tests.receive.conftest import Client, call, landed, serving

PROTOBUF = "application/x-protobuf"
IDS = {"traceId", "spanId", "parentSpanId"}
TRACE, SPAN, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"


def span(**fields: Any) -> dict[str, Any]:
    """A span with something of everything."""
    return {
        "traceId": TRACE, "spanId": SPAN, "parentSpanId": PARENT, "name": "chat", "kind": 3,
        "startTimeUnixNano": "1772366400000000001", "endTimeUnixNano": "1772366401000000000",
        "attributes": [
            {"key": "gen_ai.request.model", "value": {"stringValue": "m-1"}},
            {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "9007199254740993"}},
            {"key": "raw", "value": {"bytesValue": base64.b64encode(b"\xff\x00").decode()}},
            {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": True}]}}},
        ],
        "events": [{"timeUnixNano": "1772366400500000000", "name": "gen_ai.evaluation.result"}],
        "links": [{"traceId": TRACE, "spanId": PARENT}],
        "status": {"code": 2, "message": "no"},
        **fields,
    }  # fmt: skip


def request(*spans: Any) -> dict[str, Any]:
    """An export request with these spans."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "app"}}]}
    scope = {"scope": {"name": "lib"}, "spans": list(spans)}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}


def in_protobuf(document: dict[str, Any]) -> ExportTraceServiceRequest:
    """The document in protobuf; protobuf's own JSON has ids in base64, so they are put there."""

    def packed(part: Any) -> Any:
        if isinstance(part, list):
            return [packed(entry) for entry in part]
        if not isinstance(part, dict):
            return part
        ids = {
            name: base64.b64encode(bytes.fromhex(part[name])).decode() for name in IDS & set(part)
        }
        return {name: packed(value) for name, value in part.items()} | ids

    return Parse(json.dumps(packed(document)), ExportTraceServiceRequest())


def test_protobuf_lands_as_the_json_does(client: Client):
    document = request(span())
    binary = client.post(in_protobuf(document).SerializeToString(), "traces", content_type=PROTOBUF)
    assert binary.status == 200
    assert binary.headers["content-type"] == PROTOBUF
    assert not ExportTraceServiceResponse.FromString(binary.body).HasField("partial_success")
    assert landed(client.landing, "traces") == [document]
    # The same in JSON is the same request, and so is known.
    text = client.post(document, "traces")
    assert (text.status, text.json) == (200, {})
    assert landed(client.landing, "traces") == [document]


def test_spans_that_are_none_are_refused_and_the_others_land(client: Client):
    bad = [span(traceId="0" * 32), span(spanId="xyz"), {"name": "no ids"}, 7]
    answer = client.post(request(span(), *bad), "traces")
    assert answer.status == 200
    assert answer.json["partialSuccess"]["rejectedSpans"] == "4"
    assert (
        "resourceSpans/0/scopeSpans/0/spans/1/traceId"
        in answer.json["partialSuccess"]["errorMessage"]
    )
    assert landed(client.landing, "traces") == [request(span())]
    kept = landed(client.landing, "quarantine")
    assert [json.loads(row["raw"]) for row in kept] == bad
    assert [row["reason"] for row in kept] == [
        "bad_type", "bad_type", "missing_value", "not_an_object",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "document",
    [{"resourceSpans": 7}, {"resourceSpans": [7]}, {"resourceSpans": [{"scopeSpans": {}}]}],
)
def test_what_has_not_the_shape_of_an_export_is_quarantined(client: Client, document: Any):
    answer = client.post(document, "traces")
    assert answer.json["partialSuccess"]["rejectedSpans"] == "1"
    assert landed(client.landing, "traces") == []
    assert len(landed(client.landing, "quarantine")) == 1


def test_what_cannot_be_read_is_kept(client: Client):
    assert client.post(b"\xff\xff", "traces", content_type=PROTOBUF).status == 400
    assert client.post(b"[1]", "traces").status == 400
    assert client.post(b"x", "traces", content_type="text/plain").status == 415
    raws = [row["raw"] for row in landed(client.landing, "quarantine")]
    assert raws == ["base64:" + base64.b64encode(b"\xff\xff").decode(), "[1]"]


def test_an_export_without_spans_is_fine(client: Client):
    assert client.post({}, "traces").json == {}
    assert client.post(b"", "traces", content_type=PROTOBUF).status == 200
    assert landed(client.landing, "traces") == []


def test_what_landed_is_what_the_importer_reads(tmp_path: Path):
    read = 'source = ["landing/inferences", "landing/traces"]\nformat = ["otlp", "auto"]'
    config = PLAIN.replace('source = "logs"', read)
    folder = Folder.make(tmp_path, config)
    with serving(tmp_path / "landing") as client:
        message = in_protobuf(request(span(), span(spanId=PARENT, parentSpanId="")))
        client.post(message.SerializeToString(), "traces", content_type=PROTOBUF)
        client.post([call(n) for n in range(3)], "inferences")
    done = folder.ingest()
    assert (done["rows"]["inferences"], done["refused"]["inferences"]) == (5, 0)


@pytest.mark.real_data
def test_the_example_of_opentelemetry_lands_unchanged(client: Client, real_data: Path):
    document = json.loads((real_data / "traces_otlp" / "trace.json").read_text("utf-8"))
    message = in_protobuf(document)
    assert client.post(document, "traces").json == {}
    client.post(message.SerializeToString(), "traces", content_type=PROTOBUF)
    text, binary = landed(client.landing, "traces")
    assert text == document
    # What has its default value is not written in protobuf, so the two may differ in that.
    assert in_protobuf(binary) == message
