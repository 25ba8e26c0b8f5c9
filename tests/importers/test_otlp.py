"""OpenTelemetry: spans, what was said in them, evaluations, and names of responses."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.exporter.otlp.json.file import FileSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, StatusCode

import workbench
from tests.importers import laws
from tests.importers.laws import Sample
from tests.importers.otlp_files import (
    TRACE,
    event,
    log,
    logs,
    meaning,
    span,
    span_id,
    traces,
    write,
)
from workbench.guess import guess_project
from workbench.receive.otlp import from_protobuf

USER = {"role": "user", "parts": [{"type": "text", "content": "Where is parcel 77?"}]}
ANSWER = {
    "role": "assistant",
    "parts": [
        {"type": "reasoning", "content": "A parcel has a state."},
        {"type": "text", "content": "In Leipzig."},
        {"type": "tool_call", "id": "call_9", "name": "track", "arguments": {"parcel": 77}},
    ],
    "finish_reason": "stop",
}
NEW = span(1, {
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o", "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.response.id": "resp_001", "gen_ai.request.temperature": 0.35,
    "gen_ai.request.stop_sequences": ["END"], "gen_ai.usage.input_tokens": 231,
    "gen_ai.usage.output_tokens": 117, "gen_ai.conversation.id": "conv-5", "user.id": "user-6",
    "gen_ai.system_instructions": [{"type": "text", "content": "Be exact."}],
    "gen_ai.input.messages": [USER], "gen_ai.output.messages": [ANSWER],
}, parentSpanId=span_id(5))  # fmt: skip
OLD = span(2, {
    "gen_ai.system": "anthropic", "gen_ai.request.model": "claude-3-5",
    "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "Old question",
    "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "Old answer",
    "gen_ai.completion.0.finish_reason": "end_turn", "gen_ai.usage.prompt_tokens": 41,
    "gen_ai.usage.completion_tokens": 43,
})  # fmt: skip
EVENTFUL = span(3, {"gen_ai.request.model": "mistral-7"}, events=[
    event("gen_ai.user.message", 3.01, {"content": "Said in an event"}),
    event("gen_ai.choice", 3.2, {"index": 0, "finish_reason": "length",
                                 "message": '{"content":"Heard in an event"}'}),
])  # fmt: skip
INFERENCE = span(4, {
    "openinference.span.kind": "LLM", "llm.model_name": "phi-4", "input.value": "{\"raw\": 812}",
    "llm.input_messages.0.message.role": "user",
    "llm.input_messages.0.message.contents.0.message_content.type": "text",
    "llm.input_messages.0.message.contents.0.message_content.text": "Look it up",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "lookup",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": "{\"q\": 813}",
})  # fmt: skip
CHAIN = span(5, {"gen_ai.operation.name": "invoke_agent", "plan.steps": [31, 37]}, status={
    "code": 2, "message": "tool failed"})  # fmt: skip
SILENT = span(6, {"gen_ai.request.model": "gpt-4o"})
RETRIEVER = span(7, {
    "openinference.span.kind": "RETRIEVER", "input.value": "delivery times",
    "retrieval.documents.0.document.id": "doc-a",
    "retrieval.documents.0.document.content": "Two days.",
    "retrieval.documents.0.document.score": 0.875,
    "retrieval.documents.1.document.content": "Three days.",
})  # fmt: skip
CONTENT = log("gen_ai.client.inference.operation.details", 6.2, {
    "gen_ai.input.messages": [USER],
    "gen_ai.output.messages": [{"role": "assistant", "finish_reason": "stop", "parts": [
        {"type": "text", "content": "Said in the log"}]}],
}, traceId=TRACE, spanId=span_id(6))  # fmt: skip
LONELY = log("gen_ai.client.inference.operation.details", 8.5, {
    "gen_ai.request.model": "gpt-4o", "gen_ai.response.id": "resp_lonely",
    "gen_ai.input.messages": [USER],
})  # fmt: skip


def verdict(name: str, score: float | None = None, **more: str) -> dict[str, Any]:
    """Attributes of a result of an evaluation."""
    attributes = {f"gen_ai.evaluation.{key}": value for key, value in more.items()}
    scored = {} if score is None else {"gen_ai.evaluation.score.value": score}
    return {"gen_ai.evaluation.name": name, **scored, **attributes}


def result(seconds: float, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """An event of an evaluation."""
    return event("gen_ai.evaluation.result", seconds, attributes)


def logged(seconds: float, attributes: Mapping[str, Any], **more: Any) -> Any:
    """A log record of an evaluation."""
    return log("gen_ai.evaluation.result", seconds, attributes, **more)


JUDGED = span(11, {"gen_ai.request.model": "gpt-4o", "gen_ai.response.id": "resp_011"}, events=[
    result(11.5, {**verdict("relevance", 0.625, explanation="Half of it is."),
                  "gen_ai.evaluation.score.label": "partly"}),
])  # fmt: skip
JUDGE = span(12, {"openinference.span.kind": "EVALUATOR", **verdict("judge", 0.125)},
             links=[{"traceId": TRACE, "spanId": span_id(11)}], parentSpanId=span_id(5),
)  # fmt: skip
OTHER_JUDGE = span(13, {"gen_ai.operation.name": "evaluate"}, events=[
    result(13.5, {**verdict("tone", 0.75), "gen_ai.response.id": "resp_011"}),
])  # fmt: skip
ANNOTATED = span(14, {
    "openinference.span.kind": "LLM", "llm.model_name": "phi-4",
    "annotations.0.annotation.name": "thumb", "annotations.0.annotation.score": 1,
    "annotations.0.annotation.annotator_kind": "HUMAN",
    "trace.annotations.0.annotation.name": "solved", "trace.annotations.0.annotation.label": "yes",
    "session.annotations.0.annotation.name": "mood", "session.annotations.0.annotation.score": 3,
    "session.id": "conv-14",
})  # fmt: skip
VERDICTS = logs(
    logged(20, {**verdict("logged", 0.5), "gen_ai.response.id": "resp_011"}),
    logged(
        21,
        {**verdict("correct"), "gen_ai.evaluation.score.label": "wrong"},
        traceId=TRACE,
        spanId=span_id(11),
    ),
    logged(22, verdict("whole", 0.25), traceId=TRACE),
    logged(23, {**verdict("talk", 0.0625), "gen_ai.conversation.id": "conv-5"}),
)


def samples(folder: Path) -> list[Sample]:
    """Calls in all spellings, and evaluations by all ways to name what is judged."""
    said = [
        write(folder / "spans.jsonl", traces(NEW, OLD, EVENTFUL), traces(INFERENCE, CHAIN, SILENT),
              traces(RETRIEVER)),
        write(folder / "logs.jsonl", logs(CONTENT, LONELY)),
    ]  # fmt: skip
    judged = [
        write(folder / "judged.jsonl", traces(JUDGED, JUDGE, OTHER_JUDGE, ANNOTATED)),
        write(folder / "verdicts.jsonl", VERDICTS),
    ]
    odd = write(
        folder / "odd.jsonl", logs(log(None, 1, {"http.route": "/parcels"})),
        logs(log("gen_ai.user.message", 1, {"content": "to nobody"}, traceId=TRACE,
                 spanId=span_id(99))),
        {"resourceMetrics": [{"scopeMetrics": []}]}, {"unheard": "of"},
        {"resourceSpans": [{"scopeSpans": "broken"}]},
    )  # fmt: skip
    tables = ("inferences", "feedback", "aliases")
    return [
        Sample(importer="otlp", paths=said, tables=("inferences", "aliases"), across=True,
               values=meaning),
        Sample(importer="otlp", paths=[*judged, odd], tables=tables, refused=5, values=meaning),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, Any]]:
    """The calls of the first sample, by the last two digits of their ids."""
    sample = samples(tmp_path_factory.mktemp("otlp"))[0]
    staged = laws.stage("otlp", sample.paths, ["inferences"]).rows["inferences"]
    return {row["request_id"][-2:]: row for _, row in staged}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, Any]]:
    """The evaluations of the second sample, by name."""
    sample = samples(tmp_path_factory.mktemp("otlp"))[1]
    staged = laws.stage("otlp", sample.paths, ["feedback"]).rows["feedback"]
    return {row["name"]: row for _, row in staged}


def said(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Roles and contents of an input."""
    return [(message["role"], message["content"]) for message in json.loads(row["input"])]


def test_a_call_of_the_newest_conventions(rows: Any) -> None:
    row = rows["01"]
    assert said(row) == [("system", "Be exact."), ("user", "Where is parcel 77?")]
    assert (row["output"], row["reasoning"]) == ("In Leipzig.", "A parcel has a state.")
    assert [call["name"] for call in json.loads(row["tool_calls"])] == ["track"]
    assert json.loads(row["params"]) == {"temperature": 0.35, "stop_sequences": ["END"]}
    assert row["model_version"] == "gpt-4o-2024-08-06"
    assert (row["session_id"], row["user_id"]) == ("conv-5", "user-6")
    assert (int(row["input_tokens"]), int(row["output_tokens"])) == (231, 117)
    assert (row["trace_id"], row["parent_id"], row["latency_ms"]) == (TRACE, span_id(5), 250)


def test_a_call_with_numbered_attributes(rows: Any) -> None:
    row = rows["02"]
    assert (said(row), row["output"]) == ([("user", "Old question")], "Old answer")
    assert (int(row["input_tokens"]), int(row["output_tokens"])) == (41, 43)


def test_a_call_whose_messages_are_events(rows: Any) -> None:
    row = rows["03"]
    assert (said(row), row["output"]) == ([("user", "Said in an event")], "Heard in an event")


def test_a_call_of_openinference(rows: Any) -> None:
    row = rows["04"]
    assert (said(row), row["output"]) == ([("user", "Look it up")], None)
    assert json.loads(row["tool_calls"])[0]["function"] == {
        "name": "lookup",
        "arguments": '{"q": 813}',
    }


def test_a_span_that_calls_no_model_is_kept_without_one(rows: Any) -> None:
    row = rows["05"]
    assert (row["model"], row["model_version"]) == (None, "4.2.1")
    metadata = json.loads(row["metadata"])
    assert metadata["attributes"]["plan.steps"] == [31, 37]
    assert metadata["error"] == "tool failed"


def test_what_was_said_may_stand_in_the_logs(rows: Any) -> None:
    row = rows["06"]
    assert (said(row), row["output"]) == ([("user", "Where is parcel 77?")], "Said in the log")


def test_a_call_that_only_the_logs_know_is_a_call(rows: Any) -> None:
    (row,) = [row for row in rows.values() if row["request_id"] == "resp_lonely"]
    assert (said(row), row["model"]) == ([("user", "Where is parcel 77?")], "gpt-4o")


def test_documents_are_retrieved(rows: Any) -> None:
    assert rows["07"]["retrieved"] == [
        {"id": "doc-a", "text": "Two days.", "score": 0.875},
        {"id": None, "text": "Three days.", "score": None},
    ]


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("relevance", {"request_id": span_id(11)}),
        # The link, not the evaluating span nor its parent.
        ("judge", {"request_id": span_id(11)}),
        # The response, not the span that looked at it.
        ("tone", {"request_id": "resp_011"}),
        ("thumb", {"request_id": span_id(14)}),
        ("solved", {"request_id": None, "trace_id": TRACE, "scope": "trace"}),
        ("logged", {"request_id": "resp_011"}),
        ("correct", {"request_id": span_id(11)}),
        ("mood", {"request_id": None, "session_id": "conv-14", "scope": "session"}),
        ("whole", {"request_id": None, "trace_id": TRACE, "scope": "trace"}),
        ("talk", {"request_id": None, "session_id": "conv-5", "scope": "session"}),
    ],
)
def test_an_evaluation_judges_what_it_names(
    verdicts: Any, name: str, target: Mapping[str, Any]
) -> None:
    row = verdicts[name]
    assert {key: row[key] for key in target} == target


def test_an_evaluation_has_a_number_or_a_label(verdicts: Any) -> None:
    assert float(verdicts["relevance"]["value"]) == 0.625
    assert verdicts["relevance"]["comment"] == "Half of it is."
    assert "partly" in verdicts["relevance"]["metadata"]
    assert verdicts["correct"]["value"] == "wrong"
    assert verdicts["thumb"]["rater_kind"] == "human"


def test_reasons_of_what_is_refused(tmp_path: Path) -> None:
    refused = laws.stage("otlp", samples(tmp_path)[1].paths[2:], ["inferences"]).refused
    reasons = [reason for rows in refused.values() for _, reason, _ in rows]
    assert sorted(reasons) == ["metrics", "no_span", *["unknown_record"] * 3]


ODD: list[dict[str, Any]] = [
    {"attributes": [{"key": "a", "value": {"intValue": "many"}}, {"key": "b"}, {}, 5]},
    {"attributes": [{"key": "a", "value": {"odd ~/kind": 1}}, {"key": "a", "value": None}]},
    {"attributes": "none", "events": {"name": "x"}, "links": [5], "status": "failed"},
    {"attributes": {"gen_ai.request.model": "of JavaScript"}, "events": [{}, {"name": 7}]},
    {"startTimeUnixNano": "9" * 38, "endTimeUnixNano": "later"},
    {"attributes": [{"key": "gen_ai.input.messages", "value": {"stringValue": "[{\"role\":1}"}},
                    {"key": "gen_ai.output.messages", "value": {"stringValue": "[7,[]]"}},
                    {"key": "llm.output_messages.0", "value": {"intValue": 1}},
                    {"key": "llm.output_messages.0.message.role", "value": {}},
                    {"key": "gen_ai.usage.input_tokens", "value": {"stringValue": "few"}}]},
]  # fmt: skip


def test_odd_spans_do_not_stop_the_others(tmp_path: Path) -> None:
    spans = [{**span(number, {}), **odd} for number, odd in enumerate(ODD, 21)]
    rows = laws.stage("otlp", [write(tmp_path / "odd.jsonl", traces(*spans, NEW))]).rows
    found = {row["request_id"]: row for _, row in rows["inferences"]}
    assert found.keys() == {span_id(n) for n in (1, *range(21, 27))}
    assert found[span_id(24)]["model"] == "of JavaScript"


def ordered(outcome: laws.Outcome, table: str) -> list[Mapping[str, Any]]:
    """The rows of a table by their keys."""
    key = {"inferences": "request_id", "feedback": "name", "aliases": "alias"}[table]
    return sorted((row for _, row in outcome.rows[table]), key=lambda row: str(row[key]))


def snake(value: Any) -> Any:
    """The same export as protobuf's own names, with ids in base64."""
    if isinstance(value, list):
        return [snake(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    result = {}
    for key, inner in value.items():
        name = re.sub("[A-Z]", lambda found: "_" + found[0].lower(), key)
        if key in ("traceId", "spanId", "parentSpanId"):
            result[name] = base64.b64encode(bytes.fromhex(inner)).decode()
        else:
            result[name] = snake(inner)
    return result


def test_both_spellings_say_the_same(tmp_path: Path) -> None:
    records = [traces(NEW, OLD, EVENTFUL, INFERENCE, JUDGED, JUDGE), VERDICTS]
    once = laws.stage("otlp", [write(tmp_path / "camel.jsonl", *records)])
    twice = laws.stage("otlp", [write(tmp_path / "snake.jsonl", *(snake(r) for r in records))])
    for table in laws.TABLES:
        for one, other in zip(ordered(once, table), ordered(twice, table), strict=True):
            # The rest keeps the names that it came with.
            assert {**one, "metadata": ""} == {**other, "metadata": ""}
            if table == "inferences":
                kept = [json.loads(row["metadata"])["attributes"] for row in (one, other)]
                assert kept[0] == kept[1]


def test_what_the_sdk_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sdk.jsonl"
    resource = Resource({"service.name": "shop", "service.version": "9.9"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(FileSpanExporter(path)))
    tracer = provider.get_tracer("shop.instrumentation", "1.2.3")
    with tracer.start_as_current_span("invoke_agent"):
        with tracer.start_as_current_span("chat", kind=SpanKind.CLIENT) as called:
            called.set_attributes({
                "gen_ai.request.model": "gpt-4o", "gen_ai.response.id": "resp_sdk",
                "gen_ai.usage.input_tokens": 2**40, "gen_ai.request.stop_sequences": ["a", "b"],
                "gen_ai.input.messages": json.dumps([USER]),
                "gen_ai.output.messages": json.dumps([ANSWER]),
            })  # fmt: skip
            called.add_event("gen_ai.evaluation.result", verdict("tone", 0.5))
        with tracer.start_as_current_span(
            "judge", links=[Link(called.get_span_context())]
        ) as judge:
            judge.set_attributes(verdict("judge", 1.0))
            judge.set_status(StatusCode.ERROR, "slow")
    provider.shutdown()
    rows = laws.stage("otlp", [path]).rows
    spans = {json.loads(row["metadata"])["name"]: row for _, row in rows["inferences"]}
    context = called.get_span_context()
    row = spans["chat"]
    assert row["request_id"] == f"{context.span_id:016x}"
    assert row["trace_id"] == f"{context.trace_id:032x}"
    assert row["parent_id"] == spans["judge"]["parent_id"] == spans["invoke_agent"]["request_id"]
    assert (said(row), row["output"]) == ([("user", "Where is parcel 77?")], "In Leipzig.")
    assert int(row["input_tokens"]) == 2**40
    assert json.loads(spans["judge"]["metadata"])["error"] == "slow"
    assert {r["name"]: r["request_id"] for _, r in rows["feedback"]} == {
        "tone": row["request_id"],
        "judge": row["request_id"],
    }
    assert [r["alias"] for _, r in rows["aliases"]] == ["resp_sdk"]


def test_what_receive_writes_says_the_same(tmp_path: Path) -> None:
    export = traces(NEW, OLD, EVENTFUL, JUDGED, JUDGE)
    message = json.loads(json.dumps(export))
    for one in message["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for part in (one, *one.get("links", [])):
            for key in {"traceId", "spanId", "parentSpanId"} & part.keys():
                part[key] = base64.b64encode(bytes.fromhex(part[key])).decode()
    sent = ParseDict(message, ExportTraceServiceRequest()).SerializeToString()
    landed = write(tmp_path / "landed.jsonl", from_protobuf(sent))
    own = laws.stage("otlp", [write(tmp_path / "own.jsonl", export)], ["inferences"])
    read = laws.stage("otlp", [landed], ["inferences"])
    assert ordered(own, "inferences") == ordered(read, "inferences")


def test_files_of_the_protocol_are_read_whole(real_data: Path) -> None:
    folder = real_data / "traces_otlp"
    outcome = laws.stage("otlp", sorted(folder.glob("*.json")), ["inferences"])
    ((_, row),) = outcome.rows["inferences"]
    assert (row["request_id"], row["trace_id"]) == (
        "eee19b7ec3c1b174",
        "5b8efff798038103d269b633813fc60c",
    )
    reasons = sorted(reason for rows in outcome.refused.values() for _, reason, _ in rows)
    assert reasons == ["metrics", "unknown_record", "unknown_record"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project that `init` made of traces and logs."""
    folder = tmp_path_factory.mktemp("otlp_project")
    judged = samples(folder)[1]
    guess = guess_project(judged.paths, judged.paths, project_dir=folder)
    (folder / "workbench.toml").write_text(guess.toml)
    built = workbench.open(folder)
    built.build()
    return built


def test_a_build_finds_calls_by_the_ids_of_their_responses(project: Any) -> None:
    found = project.sql(
        "SELECT name, a.request_id, method FROM attribution a JOIN feedback USING (feedback_id) "
        "WHERE name IN ('relevance', 'tone', 'logged', 'judge') ORDER BY name"
    ).table.to_pylist()
    assert {row["request_id"] for row in found} == {span_id(11)}
    methods = {row["name"]: row["method"] for row in found}
    assert methods == {"relevance": "request_id", "judge": "request_id", "tone": "alias",
                       "logged": "alias"}  # fmt: skip


def test_the_ledger_adds_up(project: Any) -> None:
    ledger = project.sql("SELECT status, n FROM ledger WHERE \"table\" = 'feedback'").table
    counts = {row["status"]: row["n"] for row in ledger.to_pylist()}
    # The conversation of one verdict is not among these calls.
    assert (counts["received"], counts["attributed"], counts["orphan"]) == (10, 9, 1)


def test_tokens_of_the_ai_sdk_count_once(tmp_path: Path) -> None:
    used = {"ai.model.id": "gpt-4o", "ai.usage.promptTokens": 11, "ai.usage.completionTokens": 7}
    around = span(1, {"ai.operationId": "ai.generateText", **used})
    call = span(2, {
        "ai.operationId": "ai.generateText.doGenerate", **used, "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 11, "gen_ai.usage.output_tokens": 7,
    }, parentSpanId=span_id(1))  # fmt: skip
    embedded = {"ai.model.id": "embed-3", "ai.usage.tokens": 5}
    around_embedding = span(3, {"ai.operationId": "ai.embed", **embedded})
    embedding = span(4, {"ai.operationId": "ai.embed.doEmbed", **embedded})
    everything = traces(around, call, around_embedding, embedding)
    path = write(tmp_path / "traces.jsonl", everything)
    rows = laws.stage("otlp", [path], ["inferences"]).rows["inferences"]
    keys = ("model", "input_tokens", "output_tokens")
    found = {row["request_id"]: tuple(row[key] for key in keys) for _, row in rows}
    assert found == {
        span_id(1): (None, None, None),
        span_id(2): ("gpt-4o", 11, 7),
        span_id(3): (None, None, None),
        span_id(4): ("embed-3", 5, None),
    }
