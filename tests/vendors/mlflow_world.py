"""Sends traces and assessments to a real MLflow with its own client, and exports them again.

Runs in the environment that has MLflow, never in that of the tests:
``python mlflow_world.py FOLDER first|more``. The tracking database is ``mlflow.db``; what was sent
and what MLflow itself says of it afterwards is written to ``<part>.json``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import (
    AssessmentError,
    AssessmentSource,
    Document,
    Feedback,
    SpanEvent,
    SpanType,
    Trace,
)

MODEL = "gpt-z-2026-02"


def send(part: str, count: int) -> list[dict[str, Any]]:
    """Send `count` traces of an agent; what each span was, by its id."""
    sent: list[dict[str, Any]] = []

    def note(span: Any, kind: str, **facts: Any) -> None:
        trace = span.trace_id.removeprefix("tr-")
        sent.append({"span": span.span_id, "trace": trace, "kind": kind, **facts})

    for n in range(count):
        user, session = f"user-{n % 4}", f"{part}-session-{n % 3}"
        own = {"user": user, "session": session}
        messages = [{"role": "user", "content": f"Is it raining in town {n}? ✓"}]
        answer = f"It rains in town {n}."
        with mlflow.start_span("agent", span_type=SpanType.AGENT) as root:
            root.set_inputs({"question": f"town {n}"})
            with mlflow.start_span("search", span_type=SpanType.RETRIEVER) as span:
                span.set_inputs({"query": f"rain {n}"})
                span.set_outputs([Document(f"Radar of {n}", {"doc_uri": f"radar-{n}"}, f"doc-{n}")])
                note(span, "RETRIEVER", retrieved=f"doc-{n}", **own)
            with mlflow.start_span("chat", span_type=SpanType.CHAT_MODEL) as span:
                span.set_inputs({"messages": messages, "model": "gpt-z", "temperature": 0.25})
                message = {"role": "assistant", "content": answer}
                choices = [{"index": 0, "finish_reason": "stop", "message": message}]
                span.set_outputs({"id": f"chat-{n}", "model": MODEL, "choices": choices})
                usage = {"input_tokens": 30 + n, "output_tokens": 7 + n, "total_tokens": 37 + 2 * n}
                span.set_attribute("mlflow.chat.tokenUsage", usage)
                span.set_attribute("app.release", f"release-{n}")
                span.add_event(SpanEvent("cache", attributes={"hit": n}))
                note(span, "CHAT_MODEL", input=messages, output=answer, input_tokens=30 + n,
                     output_tokens=7 + n, model_version=MODEL, **own)  # fmt: skip
            with mlflow.start_span("radar", span_type=SpanType.TOOL) as span:
                span.set_inputs({"town": n})
                span.set_outputs({"rain": n % 2 == 0})
                note(span, "TOOL", output=json.dumps({"rain": n % 2 == 0}), **own)
            root.set_outputs(answer)
            note(root, "AGENT", output=answer, **own)
            mlflow.update_current_trace(
                tags={"plan": f"plan-{n}"},
                metadata={"mlflow.trace.user": user, "mlflow.trace.session": session},
                client_request_id=f"{part}-web-{n}",
            )
    mlflow.flush_trace_async_logging()
    return sent


def by(kind: str, who: str) -> AssessmentSource:
    return AssessmentSource(kind, who)


def judge(sent: list[dict[str, Any]]) -> dict[str, str]:
    """Judge traces and spans in every way that MLflow has; the ids of some of it."""
    traces = [f"tr-{one['trace']}" for one in sent if one["kind"] == "AGENT"]
    chats = [one["span"] for one in sent if one["kind"] == "CHAT_MODEL"]
    log = mlflow.log_feedback
    for n, trace in enumerate(traces):
        log(trace_id=trace, name="thumb", value=n % 3 > 0, source=by("HUMAN", f"rater-{n % 2}"))
        log(trace_id=trace, span_id=chats[n], name="relevance", value=n / 8,
            source=by("LLM_JUDGE", "judge-x"), rationale=f"because of {n}")  # fmt: skip
    first = log(trace_id=traces[0], name="tone", value="rude", source=by("HUMAN", "ann"))
    second = mlflow.override_feedback(
        trace_id=traces[0], assessment_id=first.assessment_id, value="curt",
        source=by("HUMAN", "ben"),
    )  # fmt: skip
    mlflow.override_feedback(
        trace_id=traces[0], assessment_id=second.assessment_id, value="kind",
        source=by("HUMAN", "ann"), metadata={"form": "survey"},
    )  # fmt: skip
    failure = AssessmentError("RATE_LIMIT", "too many requests")
    log(trace_id=traces[1], name="safety", error=failure, source=by("LLM_JUDGE", "judge-y"))
    # One key: MLflow exports several in an order that changes.
    log(trace_id=traces[1], name="aspects", value={"length": 12.5})
    expect = mlflow.log_expectation
    expect(trace_id=traces[2], name="expected_response", value="It is dry.",
           source=by("HUMAN", "ann"))  # fmt: skip
    expect(trace_id=traces[2], name="expected_facts", value=["dry", "town 2"],
           source=by("HUMAN", "ann"))  # fmt: skip
    stars = log(trace_id=traces[3], name="stars", value=4, source=by("HUMAN", "ann"))
    return {"stars": stars.assessment_id, "trace": traces[3]}


def change(before: dict[str, str]) -> None:
    """What MLflow overwrites in place."""
    changed = Feedback(name="stars", value=1)
    mlflow.update_assessment(before["trace"], before["stars"], changed)


def said(traces: list[Trace]) -> list[dict[str, Any]]:
    """What MLflow holds for true: the assessments that were not overridden."""
    return [
        {
            "id": one.assessment_id,
            "trace": trace.info.trace_id.removeprefix("tr-"),
            "span": one.span_id,
            "name": one.name,
            "value": (one.feedback or one.expectation).value,
            "rater": one.source.source_id,
            "valid": one.valid,
        }
        for trace in traces
        for one in trace.info.assessments
    ]


def export(folder: Path, part: str) -> list[Trace]:
    """Write the frame as Parquet and JSON, and each trace as a line."""
    frame = mlflow.search_traces(locations=["1"])
    # Values of several types in one column are more than Parquet can hold; the trace has them all.
    frame[["trace_id", "trace", "request_time"]].to_parquet(folder / f"{part}.parquet")
    frame.to_json(folder / f"{part}-frame.json", orient="records")
    traces: list[Trace] = mlflow.search_traces(locations=["1"], return_type="list")
    (folder / f"{part}.jsonl").write_text("\n".join(trace.to_json() for trace in traces))
    return traces


def main(folder: Path, part: str) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_experiment("town")
    kept = folder / "ids.json"
    if part == "first":
        sent = send(part, 9)
        kept.write_text(json.dumps(judge(sent)))
    else:
        sent = send(part, 2)
        change(json.loads(kept.read_text()))
    traces = export(folder, part)
    found = {"sent": sent, "said": said(traces)}
    (folder / f"{part}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
