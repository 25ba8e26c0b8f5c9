"""MLflow: one trace with judged spans, by each of the ways in which it leaves MLflow."""

from __future__ import annotations

import base64
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import workbench
from tests.importers import laws
from tests.importers.laws import Outcome, Sample
from workbench.guess import guess_project

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
CHAT_IN = {
    "messages": [{"role": "user", "content": "How high is the Zugspitze?"}],
    "model": "gpt-z",
    "temperature": 0.25,
}
CHAT_OUT = {
    "id": "chatcmpl-9",
    "model": "gpt-z-2026-02",
    "choices": [
        {
            "index": 7,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "2,962 metres."},
            "logprobs": {"content": [{"token": "2,962", "logprob": -0.125}]},
        }
    ],
    "usage": {"prompt_tokens": 31, "completion_tokens": 17},
}
CALL_OUT = {
    "choices": [
        {
            "index": 0,
            "message": {"content": None, "tool_calls": [{"id": "call-5", "function": "height"}]},
        }
    ]
}
DOCUMENTS = [{"page_content": "Its summit is at 2962 m.", "metadata": {"doc_uri": "alps.md"}}]


def millis(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def nanos(at: datetime) -> int:
    return millis(at) * 1_000_000


def hexed(number: int, size: int) -> str:
    return f"{0xAB0000 + number:0{size}x}"


def encoded(text: str | None) -> str | None:
    return None if text is None else base64.b64encode(bytes.fromhex(text)).decode()


def span(
    trace: int, place: int, kind: str, asked: Any, answered: Any, **attributes: Any
) -> dict[str, Any]:
    """A span as MLflow 3 writes it; attributes are JSON texts."""
    start = NOON + timedelta(seconds=60 * trace + place)
    values = {
        "mlflow.traceRequestId": f"tr-{hexed(trace, 32)}",
        "mlflow.spanType": kind,
        "mlflow.spanInputs": asked,
        "mlflow.spanOutputs": answered,
        **attributes,
    }
    return {
        "trace_id": encoded(hexed(trace, 32)),
        "span_id": encoded(hexed(16 * trace + place, 16)),
        "parent_span_id": encoded(hexed(16 * trace, 16)) if place else None,
        "name": f"{kind.lower()}-step",
        "start_time_unix_nano": nanos(start),
        "end_time_unix_nano": nanos(start + timedelta(milliseconds=250)),
        "events": [],
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "attributes": {name: json.dumps(value) for name, value in values.items()},
        "links": [],
    }


def assessment(
    name: str, place: int, says: dict[str, Any], source: str = "HUMAN:ann", **more: Any
) -> dict[str, Any]:
    """An assessment as a trace's JSON has it."""
    kind, _, who = source.partition(":")
    at = (NOON + timedelta(hours=1, seconds=place)).isoformat().replace("+00:00", "Z")
    return {
        "assessment_id": f"a-{name}-{place}",
        "assessment_name": name,
        "source": {"source_type": kind, "source_id": who},
        "create_time": at,
        "last_update_time": at,
        **says,
        "valid": True,
        **more,
    }


def feedback(value: Any) -> dict[str, Any]:
    return {"feedback": {"value": value}}


ASSESSMENTS = [
    assessment("thumb", 1, feedback(True), rationale="looks right", valid=False),
    assessment("thumb", 2, feedback(False), "HUMAN:ben", overrides="a-thumb-1",
               metadata={"form": "survey-3"}, valid=False),
    assessment("thumb", 3, feedback(True), "HUMAN:ann", overrides="a-thumb-2"),
    assessment("relevance", 4, feedback(0.75), "LLM_JUDGE:judge-x", span_id=hexed(18, 16)),
    assessment("stars", 5, feedback(4.0), "HUMAN:default",
               last_update_time="2026-03-04T13:30:00Z"),
    assessment("aspects", 6, feedback({"tone": "kind", "length": 12.5}), "CODE:scorer.py"),
    assessment("remark", 7, feedback(None), rationale="I liked it"),
    assessment("safety", 8, {"feedback": {"value": None, "error": {
        "error_code": "RATE_LIMIT", "error_message": "too many requests"}}}, "LLM_JUDGE:judge-y"),
    assessment("expected_response", 9, {"expectation": {"value": "2,962 m above the sea"}}),
    assessment("expected_facts", 10, {"expectation": {"serialized_value": {
        "serialization_format": "JSON_FORMAT", "value": '["2962", "Bavaria"]'}}}),
    assessment("should_refuse", 11, {"expectation": {"value": False}}),
    assessment("iss-77", 12, {"issue": {"issue_name": "wrong unit"}}, "LLM_JUDGE:finder"),
]  # fmt: skip


def trace(number: int, assessments: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A trace of an agent that searches, answers, and calls a tool."""
    name = f"tr-{hexed(number, 32)}"
    return {
        "info": {
            "trace_id": name,
            "client_request_id": f"web-{number}",
            "trace_location": {
                "type": "MLFLOW_EXPERIMENT",
                "mlflow_experiment": {"experiment_id": "41"},
            },
            "request_time": (NOON + timedelta(seconds=60 * number)).isoformat(),
            "execution_duration_ms": 4321,
            "state": "OK",
            "request_preview": "How high is",
            "response_preview": "2,962 metres.",
            "trace_metadata": {
                "mlflow.trace.user": "user-eva",
                "mlflow.trace.session": "chat-8",
                "mlflow.modelId": "m-release-6",
            },
            "tags": {"mlflow.traceName": "agent", "tier": "gold"},
            "assessments": [{**one, "trace_id": name} for one in assessments or []],
        },
        "data": {
            "spans": [
                span(number, 0, "AGENT", {"question": "How high is it?"}, "2,962 metres."),
                span(number, 1, "RETRIEVER", {"query": "Zugspitze"}, DOCUMENTS),
                span(
                    number, 2, "CHAT_MODEL", CHAT_IN, CHAT_OUT,
                    **{"mlflow.chat.tokenUsage": {"input_tokens": 31, "output_tokens": 17},
                       "mlflow.llm.model": "gpt-z", "mlflow.llm.cost": {"total_cost": 0.015625}},
                ),
                span(number, 3, "CHAT_MODEL", CHAT_IN, CALL_OUT),
                span(number, 4, "TOOL", {"peak": "Zugspitze"}, 2962),
                span(number, 5, "EMBEDDING", "Zugspitze", [0.5, -0.25]),
            ]
        },
    }  # fmt: skip


TRACES = [trace(1, ASSESSMENTS), trace(2)]


def frame_row(one: dict[str, Any]) -> dict[str, Any]:
    """A row of the frame of ``search_traces`` in MLflow 3, where the trace is a JSON text."""
    info = one["info"]
    return {
        "trace_id": info["trace_id"],
        "trace": json.dumps(one),
        "client_request_id": info["client_request_id"],
        "state": info["state"],
        "request_time": millis(datetime.fromisoformat(info["request_time"])),
        "my_bucket": "bucket-9",
    }


def old_row(number: int) -> dict[str, Any]:
    """A row of the frame of MLflow 2, whose spans have ids in hex and other names."""
    start = nanos(NOON + timedelta(days=1))
    return {
        "request_id": f"tr-{hexed(number, 32)}",
        "timestamp_ms": start // 1_000_000,
        "status": "OK",
        "execution_time_ms": 1500,
        "request": {"question": "How deep is the Eibsee?"},
        "response": "35 metres",
        "request_metadata": {"mlflow.trace.session": "chat-old", "mlflow.trace.user": "user-uwe"},
        "tags": {"mlflow.traceName": "lake-bot"},
        "spans": [
            {
                "name": "lake-step",
                "context": {
                    "trace_id": f"0x{hexed(number, 32)}",
                    "span_id": f"0x{hexed(999, 16)}",
                },
                "parent_id": None,
                "start_time": start,
                "end_time": start + 1_500_000_000,
                "status_code": "OK",
                "status_message": "",
                "attributes": {
                    "mlflow.spanType": '"LLM"',
                    "mlflow.spanInputs": '{"prompt": "How deep is the Eibsee?"}',
                    "mlflow.spanOutputs": '"35 metres"',
                },
                "events": [],
            }
        ],
    }


def lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def database(path: Path, traces: list[dict[str, Any]], *, spans: bool = True) -> Path:
    """A tracking database with the tables of traces; without spans, that of MLflow 2."""
    newer = ", client_request_id, request_preview, response_preview" if spans else ""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            f"CREATE TABLE trace_info (request_id PRIMARY KEY, experiment_id INTEGER, "
            f"timestamp_ms INTEGER, execution_time_ms INTEGER, status{newer});"
            "CREATE TABLE trace_tags (key, value, request_id);"
            "CREATE TABLE trace_request_metadata (key, value, request_id);"
        )
        if spans:
            db.executescript(
                "CREATE TABLE spans (trace_id, span_id, start_time_unix_nano INTEGER, content);"
                "CREATE TABLE assessments (assessment_id, trace_id, name, assessment_type, value, "
                "error, created_timestamp INTEGER, last_updated_timestamp INTEGER, source_type, "
                "source_id, run_id, span_id, rationale, overrides, valid INTEGER, "
                "assessment_metadata);"
            )
        for one in traces:
            _insert(db, one, spans)
        db.commit()
    return path


def _insert(db: sqlite3.Connection, one: dict[str, Any], spans: bool) -> None:
    info = one["info"]
    key = info["trace_id"]
    at = millis(datetime.fromisoformat(info["request_time"]))
    row = [key, 41, at, info["execution_duration_ms"], info["state"]]
    if spans:
        row += [info["client_request_id"], info["request_preview"], info["response_preview"]]
    db.execute(f"INSERT INTO trace_info VALUES ({', '.join('?' * len(row))})", row)
    for table, name in (("trace_tags", "tags"), ("trace_request_metadata", "trace_metadata")):
        db.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)",
                       [(k, v, key) for k, v in info[name].items()])  # fmt: skip
    if not spans:
        return
    for step in one["data"]["spans"]:
        kept = [key, step["span_id"], step["start_time_unix_nano"], json.dumps(step)]
        db.execute("INSERT INTO spans VALUES (?, ?, ?, ?)", kept)
    for said in info["assessments"]:
        (kind,) = {"feedback", "expectation", "issue"} & said.keys()
        value = said[kind].get("value") if kind != "issue" else said[kind]
        if "serialized_value" in said[kind]:
            value = json.loads(said[kind]["serialized_value"]["value"])
        error = said[kind].get("error")
        db.execute(
            f"INSERT INTO assessments VALUES ({', '.join('?' * 16)})",
            [said["assessment_id"], key, said["assessment_name"], kind, json.dumps(value),
             json.dumps(error) if error else None,
             millis(datetime.fromisoformat(said["create_time"])),
             millis(datetime.fromisoformat(said["last_update_time"])),
             said["source"]["source_type"], said["source"]["source_id"], None,
             said.get("span_id"), said.get("rationale"), said.get("overrides"), said["valid"],
             json.dumps(said["metadata"]) if "metadata" in said else None],
        )  # fmt: skip


def routes(folder: Path) -> dict[str, Path]:
    """The same traces by each way out of MLflow 3."""
    columns = pa.Table.from_pylist([frame_row(one) for one in TRACES])
    pq.write_table(columns, folder / "frame.parquet")
    page = folder / "page.json"
    page.write_text(json.dumps({"traces": TRACES, "next_page_token": None}, indent=1))
    return {
        "database": database(folder / "mlflow.db", TRACES),
        "lines": lines(folder / "traces.jsonl", TRACES),
        "frame": folder / "frame.parquet",
        "page": page,
    }


ALL = ("inferences", "feedback", "aliases")


def samples(folder: Path) -> list[Sample]:
    """What the laws are checked on."""
    named = routes(folder)
    old = lines(folder / "old.json", [old_row(5)])
    # A record of which a part is refused is not looked at for values that are lost.
    judged = [one for one in ASSESSMENTS if one["assessment_name"] != "safety"]
    whole = lines(folder / "whole.jsonl", [trace(1, judged)])
    strange = lines(folder / "strange.jsonl", [*TRACES, {"info": "of another system"}])
    return [
        Sample(importer="mlflow", paths=[whole], tables=ALL),
        Sample(importer="mlflow", paths=[named["frame"]], tables=ALL),
        Sample(importer="mlflow", paths=[named["page"]], tables=ALL),
        Sample(importer="mlflow", paths=[named["database"]], tables=ALL, across=True),
        Sample(importer="mlflow", paths=[old], tables=("inferences", "aliases")),
        Sample(importer="mlflow", paths=[strange], tables=ALL, refused=1),
    ]


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    folder = tmp_path_factory.mktemp("routes")
    return {name: laws.stage("mlflow", [path]) for name, path in routes(folder).items()}


@pytest.mark.parametrize("route", ["lines", "frame", "page"])
@pytest.mark.parametrize("table", ALL)
def test_each_way_out_gives_what_the_database_holds(
    staged: dict[str, Outcome], route: str, table: str
) -> None:
    def rows(name: str) -> list[str]:
        without = [
            {key: value for key, value in row.items() if key != "metadata"}
            for _, row in staged[name].rows[table]
        ]
        return sorted(repr(sorted(row.items())) for row in without)

    assert rows(route) == rows("database")
    assert len(rows(route)) == {"inferences": 12, "feedback": 13, "aliases": 4}[table]


@pytest.mark.parametrize("route", ["database", "lines", "frame", "page"])
def test_a_filter_by_experiment_leaves_no_row_out(staged: dict[str, Outcome], route: str) -> None:
    rows = [row for name in ("inferences", "feedback") for _, row in staged[route].rows[name]]
    assert {json.loads(row["metadata"])["experiment_id"] for row in rows} == {"41"}


def event(outcome: Outcome, name: str) -> dict[str, Any]:
    (row,) = [row for _, row in outcome.rows["feedback"] if row["feedback_id"] == name]
    return dict(row)


def call(outcome: Outcome, place: int) -> dict[str, Any]:
    wanted = hexed(16 + place, 16)
    (row,) = [row for _, row in outcome.rows["inferences"] if row["request_id"] == wanted]
    return dict(row)


def test_a_chat_is_its_messages_and_the_text_of_its_answer(staged: dict[str, Outcome]) -> None:
    row = call(staged["lines"], 2)
    assert json.loads(row["input"]) == CHAT_IN["messages"]
    assert row["output"] == "2,962 metres."
    assert json.loads(row["params"]) == {"model": "gpt-z", "temperature": 0.25}
    assert (row["model"], row["model_version"]) == ("gpt-z", "gpt-z-2026-02")
    assert (row["input_tokens"], row["output_tokens"], row["cost"]) == (31, 17, 0.015625)
    assert (row["latency_ms"], row["token_logprobs"]) == (250.0, [-0.125])
    assert (row["user_id"], row["session_id"]) == ("user-eva", "chat-8")
    assert row["ts"] == NOON + timedelta(seconds=62)
    kept = json.loads(row["metadata"])["outputs"]
    assert kept["usage"] == CHAT_OUT["usage"]
    assert "content" not in kept["choices"][0]["message"], "the answer is stored once"


def test_a_call_of_a_tool_is_no_text(staged: dict[str, Outcome]) -> None:
    row = call(staged["lines"], 3)
    assert row["output"] is None
    assert json.loads(row["tool_calls"]) == [{"id": "call-5", "function": "height"}]


def test_steps_without_a_model_are_rows_too(staged: dict[str, Outcome]) -> None:
    root, search, tool, embedding = (call(staged["lines"], place) for place in (0, 1, 4, 5))
    assert [row["model"] for row in (root, search, tool)] == [None] * 3
    assert [json.loads(row["metadata"])["span_type"] for row in (root, search, tool)] == [
        "AGENT", "RETRIEVER", "TOOL",
    ]  # fmt: skip
    assert root["model_version"] == "m-release-6"
    assert root["parent_id"] is None
    assert search["parent_id"] == root["request_id"]
    assert search["retrieved"] == [
        {"id": "alps.md", "text": "Its summit is at 2962 m.", "score": None}
    ]
    assert embedding["embedding"] == [0.5, -0.25]


def test_what_a_trace_says_stands_once(staged: dict[str, Outcome]) -> None:
    kept = [json.loads(call(staged["lines"], n)["metadata"]).get("trace") for n in range(6)]
    assert kept[0]["trace_id"] == f"tr-{hexed(1, 32)}"
    assert kept[1:] == [None] * 5


def test_an_overridden_verdict_is_kept_and_withdrawn(staged: dict[str, Outcome]) -> None:
    rows = [row for _, row in staged["lines"].rows["feedback"]]
    assert sorted(row["retracts"] for row in rows if row["retracts"]) == ["a-thumb-1", "a-thumb-2"]
    withdrawal = event(staged["lines"], "a-thumb-1:overridden")
    assert withdrawal["ts"] == NOON + timedelta(hours=1, seconds=2)
    assert withdrawal["rater_id"] == "ben"
    assert withdrawal["trace_id"] == hexed(1, 32)
    assert event(staged["lines"], "a-thumb-1")["value"] == "true"


def test_a_verdict_on_a_trace_is_not_spread_to_its_spans(staged: dict[str, Outcome]) -> None:
    whole, one = (event(staged["lines"], name) for name in ("a-thumb-3", "a-relevance-4"))
    assert (whole["scope"], whole["trace_id"], whole["request_id"]) == ("trace", hexed(1, 32), None)
    assert (one["scope"], one["request_id"]) == ("inference", hexed(18, 16))


def test_a_changed_assessment_is_an_event_of_its_own(staged: dict[str, Outcome]) -> None:
    changed = datetime(2026, 3, 4, 13, 30, tzinfo=UTC)
    row = event(staged["lines"], f"a-stars-5@{millis(changed)}")
    assert (row["ts"], row["value"]) == (changed, "4")


def test_people_without_a_name_are_not_one_rater(staged: dict[str, Outcome]) -> None:
    rows = {row["name"]: row for _, row in staged["lines"].rows["feedback"]}
    assert (rows["stars"]["rater_id"], rows["stars"]["rater_kind"]) == (None, "human")
    assert (rows["aspects"]["rater_id"], rows["aspects"]["rater_kind"]) == ("scorer.py", "code")


def test_expectations_are_corrections_or_facts_but_never_votes(staged: dict[str, Outcome]) -> None:
    rows = {row["name"]: row for _, row in staged["lines"].rows["feedback"]}
    corrected = {name: (row["kind"], row["value"], row["corrected_output"])
                 for name, row in rows.items() if row["corrected_output"] is not None}  # fmt: skip
    assert corrected == {
        "expected_response": ("correction", None, "2,962 m above the sea"),
        "expected_facts": ("outcome", None, '["2962","Bavaria"]'),
        "should_refuse": ("outcome", None, "false"),
    }


def test_a_judge_that_failed_is_refused_with_its_error(staged: dict[str, Outcome]) -> None:
    refused = [r for rows in staged["database"].refused.values() for r in rows]
    ((table, reason, raw),) = refused
    assert (table, reason) == ("feedback", "judge_error")
    assert "too many requests" in raw


def test_a_span_that_has_not_ended_waits(tmp_path: Path) -> None:
    running = trace(3)
    running["data"]["spans"][2]["end_time_unix_nano"] = None
    outcome = laws.stage("mlflow", [lines(tmp_path / "t.jsonl", [running])])
    assert len(outcome.rows["inferences"]) == 5
    assert [r for rows in outcome.refused.values() for _, r, _ in rows] == ["in_progress"]


def test_an_old_database_gives_previews_and_says_so(tmp_path: Path) -> None:
    path = database(tmp_path / "old.db", TRACES, spans=False)
    rows = [row for _, row in laws.stage("mlflow", [path]).rows["inferences"]]
    assert sorted(row["request_id"] for row in rows) == [hexed(1, 32), hexed(2, 32)]
    assert all(json.loads(row["metadata"])["lossy"] for row in rows)
    assert [row["latency_ms"] for row in rows] == [4321.0, 4321.0]


def test_one_bad_value_does_not_hide_a_database(tmp_path: Path) -> None:
    path = database(tmp_path / "mlflow.db", TRACES)
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE assessments SET value = 'NaN' WHERE name = 'relevance'")
        db.execute("UPDATE spans SET content = '{\"na' WHERE content LIKE '%tool-step%'")
        db.commit()
    outcome = laws.stage("mlflow", [path])
    assert event(outcome, "a-relevance-4")["value"] == "NaN"
    assert len(outcome.rows["inferences"]) == 10
    reasons = sorted(r for rows in outcome.refused.values() for _, r, _ in rows)
    assert reasons == ["judge_error", "unknown_record", "unknown_record"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project that `init` made of a database, which was built twice: the second time, of more."""
    folder = tmp_path_factory.mktemp("mlflow")
    path = database(folder / "mlflow.db", TRACES)
    guess = guess_project([path], [path], project_dir=folder)
    assert 'format = "mlflow"' in guess.toml
    assert '[feedback.signals.thumb]\nkind = "binary"' in guess.toml
    assert all("signals" in question for question in guess.questions)
    (folder / "workbench.toml").write_text(guess.toml, encoding="utf-8")
    built = workbench.open(folder)
    built.build()
    with closing(sqlite3.connect(path)) as db:
        _insert(db, trace(6, [assessment("thumb", 90, feedback(False), "HUMAN:cem")]), spans=True)
        db.commit()
    built.build()
    return built


def ask(project: Any, query: str) -> list[Any]:
    """Rows of a query over the build."""
    return [tuple(row.values()) for row in project.sql(query).table.to_pylist()]


def test_a_database_that_grew_is_read_on(project: Any) -> None:
    tables = {
        table: dict(ask(project, f"SELECT status, n FROM ledger WHERE \"table\" = '{table}'"))
        for table in ("inferences", "feedback")
    }
    assert tables["inferences"]["received"] == 18
    # Twelve assessments of which one is an error, two withdrawals, and the new one.
    assert tables["feedback"]["received"] == 15
    assert tables["feedback"]["attributed"] == 14
    assert tables["feedback"]["invalid"] == 1
    assert not tables["inferences"].get("duplicate")
    assert not tables["feedback"].get("duplicate")


def test_only_the_newest_verdict_decides(project: Any) -> None:
    labels = ask(project, "SELECT i.trace_id, l.label, l.n_feedback FROM labels l "
                          "JOIN inferences i USING (request_id) ORDER BY ALL")  # fmt: skip
    thumbs = ask(project, "SELECT f.value, a.retracted FROM feedback f "
                          "JOIN attribution a USING (feedback_id) WHERE f.name = 'thumb' "
                          "AND f.trace_id LIKE '%ab0001' ORDER BY f.ts")  # fmt: skip
    assert thumbs == [("true", True), ("false", True), ("true", False)]
    assert (hexed(6, 32), "0", 1) in labels


def test_no_expectation_is_a_reward(project: Any) -> None:
    rewarded = ask(project, "SELECT DISTINCT name FROM enriched_feedback WHERE reward IS NOT NULL")
    assert {name for (name,) in rewarded} >= {"thumb"}
    assert not {name for (name,) in rewarded} & {"expected_facts", "should_refuse", "safety"}


def test_an_application_may_call_a_trace_by_its_own_name(tmp_path: Path) -> None:
    database(tmp_path / "mlflow.db", TRACES)
    at = "2026-03-04T14:00:00Z"
    lines(tmp_path / "own.jsonl", [
        {"feedback_id": "own-1", "request_id": "web-2", "ts": at, "name": "up", "value": 1},
        {"feedback_id": "own-2", "request_id": f"tr-{hexed(1, 32)}", "ts": at, "name": "up",
         "value": 0},
    ])  # fmt: skip
    (tmp_path / "workbench.toml").write_text(
        '[project]\nname = "own"\n[inferences]\nsource = "mlflow.db"\nformat = "mlflow"\n'
        '[aliases]\nsource = "mlflow.db"\nformat = "mlflow"\n'
        '[feedback]\nsource = "own.jsonl"\n[feedback.signals.up]\nkind = "binary"\n',
        encoding="utf-8",
    )
    built = workbench.open(tmp_path)
    built.build()
    found = ask(built, "SELECT a.feedback_id, i.trace_id FROM attribution a "
                       "JOIN inferences i USING (request_id) ORDER BY 1")  # fmt: skip
    assert found == [("own-1", hexed(2, 32)), ("own-2", hexed(1, 32))]
