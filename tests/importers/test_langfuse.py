"""Langfuse's exports by every route, six real traces, and the newcomer's path to the dashboard."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

import workbench
from tests.docs.test_readme import ROOT, blocks, shell
from tests.importers import laws

Row = dict[str, Any]


def write(path: Path, rows: Sequence[Row]) -> Path:
    """Write rows as a blob export does, in the format that the file's name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".jsonl":
        path.write_text(text)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            for row in rows:
                nested = {k: json.dumps(v) for k, v in row.items() if isinstance(v, list | dict)}
                writer.writerow({**row, **nested})
    return path


def observation(**changes: Any) -> Row:
    """A row of the blob table ``observations``."""
    row = {
        "id": "0b5e0000000000a1",
        "trace_id": "7ace0000000000000000000000000001",
        "project_id": "project-1",
        "environment": "production",
        "type": "GENERATION",
        "parent_observation_id": "0b5e0000000000a0",
        "start_time": "2026-05-01 10:00:00.250",
        "end_time": "2026-05-01 10:00:01.500",
        "name": "answer",
        "metadata": {"region": "eu-central"},
        "level": "DEFAULT",
        "status_message": "fine",
        "version": "release-9",
        "input": '[{"role": "user", "content": "Where is my parcel?"}]',
        "output": '{"role": "assistant", "content": "On its way."}',
        "provided_model_name": "gpt-4o-2024-08-06",
        "model_parameters": {"temperature": 0.25},
        "usage_details": {"input": 61, "output": 17, "total": 78},
        "cost_details": {"input": 0.0011, "output": 0.0022, "total": 0.0033},
        "completion_start_time": "2026-05-01 10:00:00.750",
        "prompt_name": "support",
        "prompt_version": 12,
        "total_cost": 0.0033,
        "latency": 1.25,
        "time_to_first_token": 0.5,
        "model_id": "model-77",
        "created_at": "2026-05-01 10:00:03.000",
        "updated_at": "2026-05-01 10:00:04.000",
    }
    return {**row, **changes}


def observation_v2(**changes: Any) -> Row:
    """A row of ``observations_v2`` of an integration that is told in milliseconds."""
    row = observation(
        latency=1250.0,
        time_to_first_token=500.0,
        user_id="user-5",
        session_id="session-5",
        trace_name="chat",
        tags=["beta"],
        release="2026.5",
        is_root_observation=False,
        usage_pricing_tier_name="Standard",
        tool_calls=['{"id":"call-1","arguments":"{\\"parcel\\":8}","type":"function","index":0}'],
        tool_call_names=["track_parcel"],
        output="",
    )
    return {**row, **changes}


def trace(**changes: Any) -> Row:
    """A row of the blob table ``traces``."""
    row = {
        "id": "7ace0000000000000000000000000001",
        "timestamp": "2026-05-01 10:00:00.125",
        "name": "support-chat",
        "environment": "production",
        "project_id": "project-1",
        "metadata": {"channel": "widget"},
        "user_id": "user-3",
        "session_id": "session-3",
        "release": "2026.4",
        "version": "v-trace",
        "public": False,
        "bookmarked": True,
        "tags": ["premium"],
        "input": "Where is it?",
        "output": "It comes.",
        "created_at": "2026-05-01 10:00:05.000",
        "updated_at": "2026-05-01 10:00:06.000",
    }
    return {**row, **changes}


def score(**changes: Any) -> Row:
    """A row of the blob table ``scores``."""
    row = {
        "id": "5c0e-1",
        "timestamp": "2026-05-01 10:05:00.000",
        "project_id": "project-1",
        "environment": "production",
        "trace_id": "7ace0000000000000000000000000001",
        "observation_id": "0b5e0000000000a1",
        "session_id": None,
        "dataset_run_id": None,
        "name": "helpful",
        "value": 1,
        "source": "API",
        "comment": "good answer",
        "data_type": "BOOLEAN",
        "string_value": "True",
        "created_at": "2026-05-01 10:05:02.000",
        "updated_at": "2026-05-01 10:05:03.000",
    }
    return {**row, **changes}


def page(*rows: Row) -> str:
    """A page of the API; its rows are in camel case."""
    meta = {"page": 41, "limit": 50, "totalItems": 1999, "totalPages": 42}
    return json.dumps({"data": [camel(row) for row in rows], "meta": meta})


def camel(row: Row) -> Row:
    """Rename the fields of a row as the API and the pages write them."""

    def renamed(name: str) -> str:
        head, *tail = name.split("_")
        return head + "".join(part.title() for part in tail)

    return {renamed(name): value for name, value in row.items()}


def ui_row(row: Row, **scores: Sequence[Any]) -> Row:
    """A row as the pages of Langfuse export it: comments, and a column of means for each score."""
    note = {
        "id": "note-1",
        "content": "please look at this",
        "author_email": "ann@example.com",
        "created_at": "2026-05-02T08:00:00.000Z",
    }
    gone = ("created_at", "updated_at", "latency", "time_to_first_token", "project_id")
    kept = {name: value for name, value in row.items() if name not in gone}
    return {**camel(kept), "comments": [note], **scores}


def correction(**changes: Any) -> Row:
    """A correction as API v3 gives it."""
    row = {
        "id": "c0ec-1",
        "name": "output",
        "value": "It is with the courier.",
        "dataType": "CORRECTION",
        "source": "ANNOTATION",
        "timestamp": "2026-05-01T11:00:00.000Z",
        "environment": "staging",
        "createdAt": "2026-05-01T11:00:01.000Z",
        "updatedAt": "2026-05-01T11:00:02.000Z",
        "subject": {
            "kind": "observation",
            "id": "0b5e0000000000a1",
            "traceId": "7ace0000000000000000000000000001",
        },
        "authorUserId": "author-8",
        "queueId": "queue-4",
        "metadata": {"why": "stale"},
    }
    return {**row, **changes}


def samples(folder: Path) -> list[laws.Sample]:
    """A sample of each route."""
    older = observation(updated_at="2026-05-01 10:00:03.500", status_message="running")
    lonely = trace(id="7ace0000000000000000000000000009", name="lonely")
    blob = [
        write(folder / "blob/traces/1.jsonl", [trace(), lonely]),
        write(folder / "blob/observations/1.csv", [older]),
        write(folder / "blob/observations/2.csv", [observation()]),
        write(folder / "blob/scores/1.jsonl.gz", [score(), score(id="5c0e-2", value=0)]),
    ]
    second = [
        write(folder / "v2/observations_v2/1.parquet", [observation_v2()]),
        write(folder / "v2/scores/1.json", [score(), score(id="5c0e-2", name="slow")]),
    ]
    ui = [
        write(folder / "ui/observations.csv", [ui_row(observation(), quality=[0.625, 0.875])]),
        write(folder / "ui/traces.jsonl", [ui_row(lonely, tone=["calm"])]),
    ]
    api = [folder / "scores.json", folder / "observations.json", folder / "traces.json"]
    api[0].write_text(page(correction(), correction(id="c0ec-2", value="Elsewhere.")))
    api[1].write_text(page(observation(), observation(id="0b5e0000000000a2")))
    listed = {"observations": ["0b5e0000000000a1"], "scores": ["5c0e-1"]}
    api[2].write_text(page({**trace(), **listed}))
    whole = folder / "whole.json"
    inner = camel(observation(input=None, output=None, metadata={}))
    whole.write_text(
        json.dumps(
            {
                "trace": {
                    **camel(trace()),
                    "scores": [camel(score())],
                    "corrections": [camel(score(id="5c0e-3", data_type="CORRECTION", value=0))],
                    "observations": [inner],
                },
                "observations": [camel(observation()), camel(observation(id="0b5e0000000000a2"))],
                "exportedBy": "someone",
            }
        )
    )
    one = write(
        folder / "one.json",
        [{**camel(trace()), "observations": [camel(observation())], "scores": [camel(score())]}],
    )
    both = ("inferences", "feedback")
    return [
        laws.Sample(importer="langfuse", paths=paths, tables=tables, across=across, refused=n)
        for paths, tables, across, n in (
            (blob, both, True, 1),
            (second, both, False, 0),
            (ui, both, False, 0),
            (api, both, True, 0),
            ([whole], both, False, 0),
            ([one], both, False, 0),
        )
    ]


def staged(*paths: Path, tables: Sequence[str] = laws.TABLES) -> laws.Outcome:
    return laws.stage("langfuse", paths, tables)


def calls_of(outcome: laws.Outcome) -> dict[str, Mapping[str, Any]]:
    return {row["request_id"]: row for _, row in outcome.rows["inferences"]}


def events_of(outcome: laws.Outcome) -> list[Mapping[str, Any]]:
    found = [row for _, row in outcome.rows["feedback"]]
    return sorted(found, key=lambda row: str(row["feedback_id"]))


def calls(*paths: Path) -> dict[str, Mapping[str, Any]]:
    return calls_of(staged(*paths, tables=["inferences"]))


def call(path: Path) -> Mapping[str, Any]:
    (found,) = calls(path).values()
    return found


def events(*paths: Path) -> list[Mapping[str, Any]]:
    return events_of(staged(*paths, tables=["feedback"]))


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".json", ".csv", ".parquet"])
def test_a_blob_export_says_the_same_in_every_format(tmp_path: Path, suffix: str) -> None:
    found = call(write(tmp_path / f"observations{suffix}", [observation()]))
    assert (found["model"], found["model_version"]) == ("gpt-4o-2024-08-06",) * 2
    assert found["parent_id"] == "0b5e0000000000a0"
    assert found["trace_id"] == "7ace0000000000000000000000000001"
    assert found["ts"].isoformat() == "2026-05-01T10:00:00.250000+00:00"
    assert (found["input_tokens"], found["output_tokens"], found["cost"]) == (61, 17, 0.0033)
    assert json.loads(found["params"]) == {"temperature": 0.25}
    assert json.loads(found["input"]) == [{"role": "user", "content": "Where is my parcel?"}]
    assert found["output"] == "On its way."
    assert json.loads(found["metadata"])["metadata"] == {"region": "eu-central"}
    assert json.loads(found["metadata"])["type"] == "GENERATION"


def test_latency_comes_from_the_times_whatever_the_unit_of_the_export(tmp_path: Path) -> None:
    rows = [
        observation(id="seconds"),
        observation_v2(id="milliseconds"),
        observation(id="open", end_time=None),
        observation(id="skewed", end_time="2026-05-01 09:59:00"),
        observation(id="named", end_time=None, latency_ms=99),
    ]
    found = calls(write(tmp_path / "observations.jsonl", rows))
    assert {key: row["latency_ms"] for key, row in found.items()} == {
        "seconds": 1250,
        "milliseconds": 1250,
        "open": None,
        "skewed": None,
        "named": 99,
    }
    assert json.loads(found["milliseconds"]["metadata"])["latency"] == 1250


def test_overlapping_windows_hold_a_row_twice_and_the_newest_is_kept(tmp_path: Path) -> None:
    first = write(tmp_path / "1.jsonl", [observation(updated_at="2026-05-01 10:00:03.500")])
    second = write(tmp_path / "2.jsonl", [observation(status_message="retried")])
    again = write(tmp_path / "3.jsonl", [observation(status_message="retried")])
    outcome = staged(first, second, again)
    assert (
        json.loads(calls_of(outcome)["0b5e0000000000a1"]["metadata"])["status_message"] == "retried"
    )
    reasons = [(table, reason) for found in outcome.refused.values() for table, reason, _ in found]
    assert reasons == [("inferences", "superseded")] * 2


def test_a_score_that_was_changed_is_another_event(tmp_path: Path) -> None:
    before = events(write(tmp_path / "1.jsonl", [score()]))
    changed = score(value=0, updated_at="2026-05-03 09:00:00.5")
    after = events(write(tmp_path / "2.jsonl", [changed]))
    assert before[0]["feedback_id"] == "5c0e-1@2026-05-01T10:05:03.000Z"
    assert after[0]["feedback_id"] == "5c0e-1@2026-05-03T09:00:00.500Z"
    api = tmp_path / "3.json"
    api.write_text(page(score(updated_at="2026-05-01T10:05:03.000Z")))
    assert events(api)[0]["feedback_id"] == before[0]["feedback_id"]


def test_a_trace_gives_its_user_and_session_to_its_observations(tmp_path: Path) -> None:
    root = observation(id="0b5e0000000000a0", parent_observation_id=None, type="SPAN")
    paths = [
        write(tmp_path / "traces.jsonl", [trace()]),
        write(tmp_path / "observations.csv", [observation(), root]),
    ]
    rows = calls(*paths)
    assert set(rows) == {"0b5e0000000000a0", "0b5e0000000000a1"}
    assert {row["user_id"] for row in rows.values()} == {"user-3"}
    assert {row["session_id"] for row in rows.values()} == {"session-3"}
    assert [row["tags"] for row in rows.values()] == [["premium"]] * 2
    left = json.loads(rows["0b5e0000000000a0"]["metadata"])["trace"]
    assert left["metadata"] == {"channel": "widget"}
    assert (left["input"], left["output"]) == ("Where is it?", "It comes.")
    assert "trace" not in json.loads(rows["0b5e0000000000a1"]["metadata"])


def test_a_trace_without_observations_is_a_call_that_its_verdict_finds(tmp_path: Path) -> None:
    found = call(write(tmp_path / "traces.jsonl", [trace()]))
    assert found["request_id"] == found["trace_id"] == trace()["id"]
    assert found["model"] is None
    assert found["model_version"] == "v-trace"
    assert (found["input"], found["output"]) == ("Where is it?", "It comes.")
    assert json.loads(found["metadata"])["type"] == "TRACE"


def test_a_row_of_the_newer_table_is_preferred_because_it_knows_its_user(tmp_path: Path) -> None:
    old = write(tmp_path / "observations.jsonl", [observation()])
    new = write(tmp_path / "observations_v2.parquet", [observation_v2()])
    (row,) = calls(old, new).values()
    assert (row["user_id"], row["session_id"], row["tags"]) == ("user-5", "session-5", ["beta"])
    assert json.loads(row["tool_calls"]) == [
        {
            "id": "call-1",
            "type": "function",
            "function": {"name": "track_parcel", "arguments": '{"parcel":8}'},
        }
    ]


def test_a_score_is_what_its_data_type_says(tmp_path: Path) -> None:
    rows = [
        score(id="1", data_type="BOOLEAN", value=0, string_value="False"),
        score(id="2", data_type="NUMERIC", value=0.75, string_value=None),
        # Without a configured scale Langfuse stores 0 for each category.
        score(id="3", data_type="CATEGORICAL", value=0, string_value="rude"),
        score(id="4", data_type="TEXT", value=0, string_value="too long"),
    ]
    found = events(write(tmp_path / "scores.jsonl", rows))
    assert [(event["kind"], event["value"]) for event in found] == [
        ("binary", "0"),
        (None, "0.75"),
        (None, "rude"),
        ("comment", "too long"),
    ]
    for event in found:
        assert event["ts"].isoformat() == "2026-05-01T10:05:00+00:00"
        assert event["received_at"].isoformat() == "2026-05-01T10:05:03+00:00"
        assert event["comment"] == "good answer"


def test_a_score_judges_what_it_was_given_to(tmp_path: Path) -> None:
    rows = [
        score(id="1"),
        score(id="2", observation_id=None),
        score(id="3", observation_id=None, trace_id=None, session_id="session-3"),
        score(id="4", observation_id=None, trace_id=None, dataset_run_id="run-1"),
    ]
    outcome = staged(write(tmp_path / "scores.csv", rows))
    found = [
        (e["scope"], e["request_id"], e["trace_id"], e["session_id"]) for e in events_of(outcome)
    ]
    observed, traced = score()["observation_id"], score()["trace_id"]
    assert found == [
        ("inference", observed, traced, None),
        ("trace", None, traced, None),
        ("session", None, None, "session-3"),
    ]
    ((_, reason, raw),) = next(iter(outcome.refused.values()))
    assert reason == "no_target"
    assert "run-1" in raw
    subjects = [
        correction(id="1"),
        correction(id="2", subject={"kind": "trace", "id": traced}),
        correction(id="3", subject={"kind": "session", "id": "session-3"}),
    ]
    api = tmp_path / "v3.json"
    api.write_text(json.dumps({"data": subjects, "meta": {"cursor": None}}))
    answered = [(e["scope"], e["request_id"], e["trace_id"], e["session_id"]) for e in events(api)]
    assert answered == found


def test_a_correction_is_the_output_that_should_have_been(tmp_path: Path) -> None:
    path = tmp_path / "v3.json"
    messages = '{"role":"assistant","content":"With the courier."}'
    path.write_text(json.dumps({"data": [correction(), correction(id="c2", value=messages)]}))
    first, second = events(path)
    assert first["kind"] == second["kind"] == "correction"
    assert first["corrected_output"] == "It is with the courier."
    assert second["corrected_output"] == "With the courier."
    assert first["value"] is None
    assert (first["rater_id"], first["rater_kind"]) == ("author-8", "human")


def test_means_of_scores_are_marked_and_give_way_to_the_scores(tmp_path: Path) -> None:
    exported = write(
        tmp_path / "ui.jsonl", [ui_row(observation(), quality=[0.5, 1.0], helpful=[1])]
    )
    outcome = staged(exported)
    means = [e for e in events_of(outcome) if e["name"] != "comment"]
    assert [(e["name"], e["value"]) for e in means] == [
        ("helpful", "1"),
        ("quality", "0.5"),
        ("quality", "1.0"),
    ]
    assert {e["metadata"] for e in means} == {'{"lossy":true}'}
    assert {e["request_id"] for e in means} == {"0b5e0000000000a1"}
    both = staged(exported, write(tmp_path / "scores.jsonl", [score()]))
    assert [e["value"] for e in events_of(both) if e["name"] == "helpful"] == ["1"]
    assert [r for found in both.refused.values() for _, r, _ in found] == ["superseded"]


def test_comments_are_events_of_what_they_were_written_on(tmp_path: Path) -> None:
    (event,) = events(write(tmp_path / "ui.csv", [ui_row(trace())]))
    assert (event["scope"], event["trace_id"]) == ("trace", trace()["id"])
    assert (event["kind"], event["value"]) == ("comment", "please look at this")
    assert event["rater_id"] == "ann@example.com"
    page_of_api = tmp_path / "comments.json"
    comment = {
        "id": "note-2",
        "objectType": "OBSERVATION",
        "objectId": "0b5e0000000000a1",
        "content": "looks wrong",
        "authorUserId": "author-8",
        "createdAt": "2026-05-02T08:00:00.000Z",
        "updatedAt": "2026-05-02T08:00:00.000Z",
    }
    page_of_api.write_text(json.dumps({"data": [comment], "meta": {"page": 1}}))
    (event,) = events(page_of_api)
    assert (event["scope"], event["request_id"]) == ("inference", "0b5e0000000000a1")


def test_what_langfuse_fills_in_is_not_a_measurement(tmp_path: Path) -> None:
    empty = {"usage_details": {}, "cost_details": {}, "total_cost": 0, "input_usage": 0}
    letters = {"input": 900, "unit": "CHARACTERS"}
    rows = [
        observation(id="span", type="SPAN", provided_model_name=None, **empty),
        observation(id="letters", usage_details=None, usage=letters),
        observation(id="free", cost_details={"total": 0}),
    ]
    found = calls(write(tmp_path / "o.jsonl", rows))
    span = found["span"]
    assert (span["input_tokens"], span["output_tokens"], span["cost"]) == (None, None, None)
    assert (span["model"], span["model_version"]) == (None, "release-9")
    assert found["letters"]["input_tokens"] is None
    assert found["free"]["cost"] == 0


def test_what_is_no_item_is_refused_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "mixed.jsonl", [observation(), {"hello": "world"}, {"data": []}])
    outcome = staged(path)
    assert len(outcome.rows["inferences"]) == 1
    assert sorted(found[0][1:] for found in outcome.refused.values()) == [
        ("unknown_record", '{"data": []}'),
        ("unknown_record", '{"hello": "world"}'),
    ]


@pytest.fixture(scope="module")
def traces(real_data: Path) -> list[Path]:
    """The real traces."""
    return sorted((real_data / "traces_langfuse").glob("*.trace.json"))


@pytest.fixture(scope="module")
def real(traces: list[Path]) -> laws.Outcome:
    return staged(*traces)


def test_every_real_observation_is_imported_with_nothing_lost(
    traces: list[Path], real: laws.Outcome
) -> None:
    stored = {o["id"]: o for path in traces for o in json.loads(path.read_text())["observations"]}
    found = calls_of(real)
    assert len(traces) == 6
    assert found.keys() == stored.keys()
    assert len(real.rows["inferences"]) == len(stored) == 33
    assert not real.refused
    for key, row in found.items():
        usage = stored[key]["usageDetails"]
        assert (row["input_tokens"], row["output_tokens"]) == (
            usage.get("input"),
            usage.get("output"),
        )
        assert row["model"] == stored[key]["model"]
        assert row["latency_ms"] == pytest.approx(stored[key]["latency"] * 1000)
    laws.check(laws.Sample(importer="langfuse", paths=traces, tables=("inferences", "feedback")))


def test_the_real_scores_and_the_real_correction_are_events(real: laws.Outcome) -> None:
    found = events_of(real)
    assert len(found) == 12
    assert {event["scope"] for event in found} == {"trace"}
    assert [event["rater_kind"] for event in found].count("model") == 11
    (corrected,) = [event for event in found if event["kind"] == "correction"]
    answer = next(
        row["output"] for row in calls_of(real).values() if row["request_id"] == "5cb389a3bdd21a6e"
    )
    assert corrected["corrected_output"].startswith("Langfuse is a tool")
    assert answer.startswith("Langfuse is a tool")


def plain(value: Any) -> Any:
    """A content as it reads: parts that are texts as one text, JSON texts as what they say."""
    if isinstance(value, list) and value and all(part.get("type") == "text" for part in value):
        return "".join(part["text"] for part in value)
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def said(message: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a message says, in our shape or in upstream's."""
    made = [
        (call["id"], call.get("function", call)["name"], call.get("function", call)["arguments"])
        for call in message.get("tool_calls", [])
    ]
    keys = ("role", "name", "tool_call_id")
    return (*(message.get(key) for key in keys), plain(message.get("content")), made)


def conversation(text: str, side: str) -> list[Any]:
    """The messages of an input or output as it is stored by us."""
    try:
        found = json.loads(text)
    except ValueError:
        found = [{"role": "assistant", "content": text}]
    return [said(message) for message in (found if isinstance(found, list) else [found])]


def test_the_messages_are_those_that_langfuse_itself_makes_of_them(
    traces: list[Path], real: laws.Outcome
) -> None:
    found = calls_of(real)
    equal, refused_upstream, unlike = 0, 0, []
    for path in traces:
        upstream = json.loads(path.with_name(path.name.replace(".trace.", ".chatml.")).read_text())
        for key, sides in upstream.items():
            for side, result in sides.items():
                if not result["success"]:
                    refused_upstream += 1
                elif conversation(found[key][side], side) == [said(m) for m in result["data"]]:
                    equal += 1
                else:
                    unlike.append((key, side))
    # Upstream leaves the choice of a chat answer as it is; its message is taken out of it here.
    assert unlike == [("5cb389a3bdd21a6e", "output")]
    assert (equal, refused_upstream) == (34, 17)


def test_the_newcomers_path_leads_to_the_dashboard(
    traces: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "langfuse-export"
    folder.mkdir()
    for path in traces:
        shutil.copy(path, folder)
    init, build, serve = blocks("docs/importers/langfuse.md", "bash")[0].splitlines()
    shell(init, tmp_path)
    settings = (tmp_path / "my-project" / "workbench.toml").read_text()
    assert settings.count('format = "langfuse"') == 2
    assert "[feedback.signals.toxicity]" in settings
    ledger = json.loads(shell(f"{build} --json", tmp_path))["ledger"]
    assert (ledger["received"], ledger["attributed"], ledger["ambiguous"]) == (12, 12, 0)
    # The correction is of a trace whose steps all began in one millisecond: of the one model call.
    corrected = workbench.open(tmp_path / "my-project").sql(
        "SELECT request_id, output FROM enriched_feedback WHERE corrected_output IS NOT NULL"
    )
    assert corrected.table["request_id"].to_pylist() == ["5cb389a3bdd21a6e"]
    assert corrected.table["output"][0].as_py().startswith("Langfuse is a tool")
    assert serve == "workbench serve --project my-project"
    monkeypatch.setenv("WORKBENCH_PROJECT", str(tmp_path / "my-project"))
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    assert not app.exception
    shown = [str(line.value) for line in app.markdown]
    assert "**12 feedback events** were received about **33 inferences**." in shown
