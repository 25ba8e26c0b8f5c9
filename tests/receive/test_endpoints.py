"""What each address takes and answers."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_rs
import pytest

from tests.receive.conftest import NOW, Client, call, event, key, landed, serving
from workbench import contract
from workbench.receive import check, schemas


def test_an_event_lands_with_the_time_of_its_receipt(client: Client):
    answer = client.post(event(comment="größer \u0000 🎉", tags=["a"], metadata={"page": 3}))
    assert (answer.status, answer.json) == (202, {"accepted": 1, "duplicates": 0, "refused": 0})
    (line,) = landed(client.landing)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:.]+Z", line.pop("received_at"))
    assert line.pop("schema_version") == contract.FEEDBACK_SCHEMA_VERSION
    assert line == event(comment="größer \u0000 🎉", tags=["a"], metadata={"page": 3})


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
def test_a_batch_lands_in_its_order(client: Client, kind: str):
    rows = [event(n) for n in range(5)]
    text = json.dumps(rows) if kind.endswith("/json") else "\n".join(map(json.dumps, rows)) + "\n\n"
    answer = client.post(text.encode(), content_type=f"{kind}; charset=utf-8")
    assert answer.json["accepted"] == 5
    assert [line["feedback_id"] for line in landed(client.landing)] == [f"f{n}" for n in range(5)]


def test_inferences_land(client: Client):
    row = call(
        input=[{"role": "user", "content": "hi"}], probabilities=[0.25, 0.75], ensemble=[[0.5]],
        features={"age": 3}, params={"temperature": 0}, prediction=1, scores={"toxicity": 0.1},
    )  # fmt: skip
    assert client.post([row, call(1)], "inferences").status == 202
    first, _ = landed(client.landing, "inferences")
    del first["received_at"]
    assert first == row


def test_null_is_the_same_as_nothing(client: Client):
    assert client.post(event(user_id=None, kind=None)).status == 202
    assert "user_id" not in landed(client.landing)[0]
    assert client.post(event(ts=None)).faults == [(0, "ts", "missing_value")]


def test_the_time_of_receipt_is_the_services_own(client: Client):
    client.post(event(received_at="2020-01-01T00:00:00Z", idempotency_key="x"))
    (line,) = landed(client.landing)
    assert line["sender_received_at"] == "2020-01-01T00:00:00Z"
    assert line["received_at"] > "2026"
    assert "idempotency_key" not in line


def test_a_packed_body_is_unpacked(client: Client):
    packed = gzip.compress(json.dumps(event()).encode())
    assert client.post(packed, content_encoding="gzip").status == 202
    assert client.post(packed[:-9], content_encoding="gzip").status == 415
    assert client.post(packed + packed, content_encoding="gzip").status == 415
    assert client.post(b"{}", content_encoding="br").status == 415
    assert client.post(b"{}", content_type="text/plain").status == 415
    assert len(landed(client.landing)) == 1


def test_an_empty_batch_is_nothing(client: Client):
    assert client.post([]).json == {"accepted": 0, "duplicates": 0, "refused": 0}
    assert client.post(b"\n", content_type="application/jsonl").status == 202


def test_the_schema_that_is_published_is_the_one_that_is_checked(client: Client):
    for stream, bad in (("feedback", event(kind="thumbs")), ("inferences", call(score=2))):
        answer = client.get(f"/v1/schema/{stream}")
        assert answer.headers["content-type"] == "application/schema+json"
        jsonschema.Draft202012Validator.check_schema(answer.json)
        validator = jsonschema_rs.Draft202012Validator(answer.json)
        assert not validator.is_valid(bad)
        assert client.post(bad, stream).status == 422
    assert client.get("/v1/schema/feedback?version=1").status == 200
    assert client.get("/v1/schema/feedback?version=7").status == 404
    assert client.get("/v1/schema/labels").status == 404


def test_the_schemas_hold_every_column_that_a_sender_may_write():
    own = {*contract.OWN_FEEDBACK_COLUMNS, "received_at"}
    assert set(schemas.feedback()["properties"]) == set(contract.table("feedback").columns) - own
    assert set(schemas.inferences()["properties"]) == set(contract.table("inferences").columns)


def test_an_old_version_stays_accepted_when_a_stricter_one_comes():
    old = schemas.feedback()
    strict = {**old, "required": ["ts", "rater_id"]}
    strict["properties"] = {**old["properties"], "schema_version": {"const": 2}}
    both = check.Check(by_version={1: old, 2: strict}, newest=2)
    assert both.faults(event(schema_version=1)) == []
    assert [fault.field for fault in both.faults(event(schema_version=2))] == ["rater_id"]
    assert [fault.field for fault in both.faults(event())] == ["rater_id"]
    assert [fault.reason for fault in both.faults(event(schema_version=3))] == ["unknown_version"]


def test_an_unknown_path_and_another_method_are_problems(client: Client):
    for answer, status in (
        (client.get("/v1/nothing"), 404),
        (client.get("/v1/feedback"), 405),
        (client.ask("DELETE", "/healthz"), 405),
    ):
        assert answer.status == answer.json["status"] == status
        assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/v1/feedback").headers["allow"] == "POST"


def test_health_and_the_openapi_document(client: Client):
    assert client.get("/healthz").json == {"status": "ok"}
    described = client.get("/openapi.json").json
    assert {path for path in described["paths"] if path.startswith("/v1")} == {
        "/v1/feedback", "/v1/inferences", "/v1/traces", "/v1/schema/{stream}",
    }  # fmt: skip
    assert "security" not in described


def test_the_counts_of_the_metrics_add_up(client: Client):
    client.post([event(0), event(0), event(1), event(1, value=7), {}])
    client.post(b"not json")
    client.get("/nowhere/1")
    client.get("/nowhere/2")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.body.decode().splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert all(
        re.fullmatch(r'[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? \S+', s) for s in samples
    )
    values: dict[str, Any] = dict(sample.rsplit(" ", 1) for sample in samples)
    prefix = 'workbench_receive_events_total{stream="feedback",outcome='
    counts = {o: int(values[f'{prefix}"{o}"}}']) for o in ("accepted", "duplicate", "refused")}
    assert counts == {"accepted": 2, "duplicate": 1, "refused": 3}
    assert values["workbench_receive_committed_lines_total"] == "5"
    assert values['workbench_receive_requests_total{path="other",status="404"}'] == "2"
    assert values['workbench_receive_commit_seconds_bucket{le="+Inf"}'] == "2"


def test_only_known_keys_may_write(tmp_path: Path):
    known = (key("app"), key("page", only=("feedback",)))
    with serving(tmp_path, keys=known) as client:
        for headers in ({}, {"x_api_key": "other"}, {"authorization": "Basic app"}):
            answer = client.post(event(), **headers)
            assert answer.status == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert client.post(event(0), authorization="Bearer app").status == 202
        assert client.post(event(1), x_api_key="page").status == 202
        assert client.post(call(), "inferences", x_api_key="page").status == 403
        assert client.get("/openapi.json").json["security"] == [{"bearer": []}, {"header": []}]
        assert client.get("/healthz").status == 200
    assert len(landed(tmp_path)) == 2
    assert landed(tmp_path, "quarantine") == []


def test_a_body_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path):
    with serving(tmp_path, max_body=5000) as client:
        large = json.dumps(event(comment="x" * 5000)).encode()
        assert client.post(large).status == 413
        assert client.post(large, content_length=str(len(large))).status == 413
        bomb = gzip.compress(b" " * 5_000_000)
        assert client.post(bomb, content_encoding="gzip").status == 413
        assert client.post(event()).status == 202


def test_a_sender_above_the_rate_waits_and_others_do_not(tmp_path: Path):
    with serving(tmp_path, keys=(key("a"), key("b")), rate=10.0) as client:
        assert client.post([event(n) for n in range(30)], x_api_key="a").status == 202
        late = client.post(event(40), x_api_key="a")
        assert late.status == 429
        assert 1 <= int(late.headers["retry-after"]) <= 2
        assert client.post(event(40), x_api_key="b").status == 202


def test_pages_of_configured_origins_may_send(tmp_path: Path):
    page, other = "https://shop.example", "https://other.example"
    asked = {
        "access_control_request_method": "POST",
        "access_control_request_headers": "content-type,x-api-key",
    }
    with serving(tmp_path, origins=(page,), rate=1.0) as client:
        allowed = client.ask("OPTIONS", "/v1/feedback", origin=page, **asked)
        assert allowed.status == 200
        assert allowed.headers["access-control-allow-origin"] == page
        refused = client.ask("OPTIONS", "/v1/feedback", origin=other, **asked)
        assert "access-control-allow-origin" not in refused.headers
        answer = client.post([event(n) for n in range(5)], origin=page)
        assert answer.headers["access-control-allow-origin"] == page
        late = client.post(event(9), origin=page)
        assert (late.status, late.headers["access-control-allow-origin"]) == (429, page)


def test_the_script_for_pages_is_small(client: Client):
    answer = client.get("/widget.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert 0 < len(answer.body) <= 2048


@pytest.mark.parametrize(
    ("bad", "field", "reason"),
    [
        ({"ts": "yesterday"}, "ts", "bad_type"),
        ({"ts": "2026-03-01T12:00:00"}, "ts", "bad_type"),
        ({"ts": "2016-12-31T23:59:60Z"}, "ts", "bad_type"),
        ({"ts": "1989-03-01T12:00:00Z"}, "ts", "ts_out_of_range"),
        ({"ts": "1990-01-01T00:00:00+05:00"}, "ts", "ts_out_of_range"),
        ({"ts": 1772366400}, "ts", "bad_type"),
        ({"ts": None}, "ts", "missing_value"),
        ({"name": None}, "value", "missing_value"),
        ({"name": " "}, "name", "missing_value"),
        ({"value": None}, "value", "missing_value"),
        ({"value": {"a": 1}}, "value", "bad_type"),
        ({"kind": "thumbs"}, "kind", "not_allowed"),
        ({"request_id": 7}, "request_id", "bad_type"),
        ({"request_id": None}, "request_id", "missing_value"),
        ({"request_id": None, "scope": "session"}, "session_id", "missing_value"),
        ({"request_id": None, "scope": "trace"}, "trace_id", "missing_value"),
        ({"tags": ["a", 1]}, "tags/1", "bad_type"),
        ({"schema_version": 9}, "schema_version", "unknown_version"),
    ],
)
def test_a_fault_names_its_field_and_reason(
    client: Client, bad: dict[str, Any], field: str, reason: str
):
    answer = client.post(event(**bad))
    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert (0, field, reason) in answer.faults
    (kept,) = landed(client.landing, "quarantine")
    assert (kept["table"], kept["reason"]) == ("feedback", answer.json["errors"][0]["reason"])
    assert json.loads(kept["raw"]) == event(**bad)
    assert landed(client.landing) == []


def test_the_good_events_of_a_batch_land_and_the_bad_ones_are_named(client: Client):
    answer = client.post([event(0), event(1, kind="thumbs"), 7, event(2)])
    assert answer.status == 422
    assert answer.faults == [(1, "kind", "not_allowed"), (2, None, "not_an_object")]
    counts = {name: answer.json[name] for name in ("accepted", "duplicates", "refused")}
    assert counts == {"accepted": 2, "duplicates": 0, "refused": 2}
    assert [line["feedback_id"] for line in landed(client.landing)] == ["f0", "f2"]


def test_lines_that_are_not_json_are_kept_as_they_were(client: Client):
    text = json.dumps(event()).encode() + b"\n{broken\n\xff\n"
    answer = client.post(text, content_type="application/x-ndjson")
    assert [fault[0] for fault in answer.faults] == [1, 2]
    assert [row["raw"] for row in landed(client.landing, "quarantine")] == ["{broken", "\ufffd"]
    assert client.post(b"\xff{").status == 400
    assert landed(client.landing, "quarantine")[-1]["raw"] == "base64:/3s="


@pytest.mark.parametrize(
    "body", [b"NaN", b'{"value": 1e999}', b'"\\ud800"', b"[" * 2000, b"", b"\x00"]
)
def test_what_is_not_json_is_no_fault_of_the_service(client: Client, body: bytes):
    assert client.post(body, content_type="application/json").status == 400


def test_a_project_that_attributes_by_session_needs_no_request_id(tmp_path: Path):
    bare = {"ts": NOW, "name": "thumb", "value": 1, "session_id": "s"}
    with serving(tmp_path, optional_request_id=True, clocks=("inferences",)) as client:
        assert client.post(bare).status == 202
        assert client.post({"name": "thumb", "value": 0, "user_id": "u"}).status == 202
        assert client.post({"request_id": "r", "model_version": "v"}, "inferences").status == 422
