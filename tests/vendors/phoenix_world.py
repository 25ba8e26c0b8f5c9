"""Sends traces and annotations to a running Phoenix with its own clients, and exports them again.

Runs in the environment that has Phoenix, never in that of the tests:
``python phoenix_world.py URL FOLDER first|more``. What was sent is written to ``sent-<part>.json``.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from openinference import instrumentation as oi
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from phoenix.client import Client

SYSTEM = "You are terse."
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
VECTOR = [0.125, -0.5, 0.75, 0.0625]


def send(tracer: trace.Tracer, part: str, count: int) -> list[dict[str, Any]]:
    """Send `count` traces of an agent; what each span was, by its id."""
    sent: list[dict[str, Any]] = []

    def note(span: trace.Span, **facts: Any) -> None:
        context = span.get_span_context()
        sent.append(
            {"span": f"{context.span_id:016x}", "trace": f"{context.trace_id:032x}", **facts}
        )

    for n in range(count):
        session, user = f"{part}-session-{n % 3}", f"user-{n % 4}"
        with (
            oi.using_session(session),
            oi.using_user(user),
            oi.using_tags(["beta", part]),
            oi.using_metadata({"plan": f"plan-{n}", "nested": {"deep": n + 0.5}}),
            tracer.start_as_current_span(
                "agent",
                attributes={
                    **oi.get_span_kind_attributes("agent"),
                    **oi.get_input_attributes(f"Is it raining in town {n}?"),
                    **oi.get_output_attributes(f"It rains in town {n}."),
                    **oi.get_context_attributes(),
                    "app.release": f"release-{n}",
                    "app.flags": ["night", f"flag-{n}"],
                },
            ) as root,
        ):
            context = oi.get_attributes_from_context
            note(
                root, kind="AGENT", session=session, user=user, input=f"Is it raining in town {n}?"
            )
            with tracer.start_as_current_span(
                "retrieve",
                attributes={
                    **dict(context()),
                    **oi.get_span_kind_attributes("retriever"),
                    **oi.get_input_attributes(f"town {n}"),
                    **oi.get_retriever_attributes(
                        documents=[
                            {
                                "content": f"Town {n} is wet.",
                                "id": f"doc-{n}",
                                "score": 0.25,
                                "metadata": {"source": f"atlas-{n}"},
                            },
                            {"content": "Rain is water.", "id": "doc-rain", "score": 0.5},
                        ]
                    ),
                },
            ) as span:
                note(span, kind="RETRIEVER", session=session, document=f"doc-{n}")
            with tracer.start_as_current_span(
                "embed",
                attributes={
                    **dict(context()),
                    **oi.get_span_kind_attributes("embedding"),
                    **oi.get_embedding_attributes(
                        model_name="embedder-1",
                        embeddings=[{"text": f"town {n}", "vector": VECTOR}],
                    ),
                },
            ) as span:
                note(span, kind="EMBEDDING", session=session, model="embedder-1")
            with tracer.start_as_current_span(
                "chat",
                attributes={
                    **dict(context()),
                    **oi.get_span_kind_attributes("llm"),
                    **oi.get_input_attributes({"messages": [f"Is it raining in town {n}?"]}),
                    **oi.get_output_attributes(f"It rains in town {n}."),
                    **oi.get_llm_attributes(
                        provider="openai",
                        system="openai",
                        request_model_name="gpt-4o-mini",
                        response_model_name="gpt-4o-mini-2024-07-18",
                        invocation_parameters={"temperature": 0.25, "seed": n},
                        input_messages=[
                            {"role": "system", "content": SYSTEM},
                            {
                                "role": "user",
                                "contents": [
                                    {"type": "text", "text": f"Is it raining in town {n}?"},
                                    {"type": "image", "image": {"url": f"sky-{n}.png"}},
                                ],
                            },
                            {
                                "role": "assistant",
                                "tool_calls": [
                                    {
                                        "id": f"call-{n}",
                                        "function": {
                                            "name": "weather",
                                            "arguments": {"town": f"town {n}"},
                                        },
                                    }
                                ],
                            },
                            {"role": "tool", "tool_call_id": f"call-{n}", "content": "rain"},
                        ],
                        output_messages=[
                            {"role": "assistant", "content": f"It rains in town {n}."}
                        ],
                        token_count={
                            "prompt": 40 + n,
                            "completion": 7 + n,
                            "total": 47 + 2 * n,
                            "prompt_details": {"cache_read": 3},
                        },
                        tools=[{"json_schema": TOOL}],
                    ),
                },
            ) as span:
                note(
                    span,
                    kind="LLM",
                    session=session,
                    user=user,
                    model="gpt-4o-mini-2024-07-18",
                    output=f"It rains in town {n}.",
                    input_tokens=40 + n,
                    output_tokens=7 + n,
                )
                answer = span.get_span_context()
            with tracer.start_as_current_span(
                "plan",
                attributes={
                    **dict(context()),
                    **oi.get_span_kind_attributes("llm"),
                    **oi.get_llm_attributes(
                        model_name="planner",
                        output_messages=[
                            {
                                "role": "assistant",
                                "tool_calls": [
                                    {
                                        "id": f"plan-{n}",
                                        "function": {"name": "weather", "arguments": "{}"},
                                    }
                                ],
                            }
                        ],
                    ),
                },
            ) as span:
                note(span, kind="LLM", session=session, model="planner", tool_call=f"plan-{n}")
            with tracer.start_as_current_span(
                "weather",
                attributes={
                    **dict(context()),
                    **oi.get_span_kind_attributes("tool"),
                    **oi.get_tool_attributes(name="weather", parameters={"town": f"town {n}"}),
                },
            ) as span:
                span.add_event("exception", {"exception.message": f"no umbrella {n}"})
                span.set_status(trace.Status(trace.StatusCode.ERROR, f"wet {n}"))
                note(span, kind="TOOL", session=session)
        if n % 2 == 0:
            # Evaluated afterwards: a span of its own whose one link names what it judges.
            with tracer.start_as_current_span(
                "judge",
                context=trace.set_span_in_context(trace.INVALID_SPAN),
                links=[trace.Link(answer)],
                attributes={
                    **oi.get_span_kind_attributes("evaluator"),
                    **oi.get_annotation_attributes(
                        annotations=[
                            {
                                "name": "faithful",
                                "score": 0.5 + n / 100,
                                "label": "faithful",
                                "explanation": f"because {n}",
                                "annotator_kind": "LLM",
                                "metadata": {"rubric": f"rubric-{n}"},
                            }
                        ]
                    ),
                },
            ) as span:
                note(span, kind="EVALUATOR", judges=f"{answer.span_id:016x}")
    return sent


def annotate(client: Client, sent: list[dict[str, Any]]) -> int:
    """Log annotations of every kind; how many Phoenix keeps of them."""
    answers = [s for s in sent if s.get("input_tokens")]
    for n, answer in enumerate(answers):
        for user, liked in (("ann", n % 3 > 0), ("bob", n % 2 == 0)):
            client.spans.add_span_annotation(
                span_id=answer["span"],
                annotation_name="thumb",
                annotator_kind="HUMAN",
                label="up" if liked else "down",
                score=float(liked),
                identifier=user,
                metadata={"screen": f"screen-{n}"},
                sync=True,
            )
        client.spans.add_span_annotation(
            span_id=answer["span"],
            annotation_name="helpful",
            annotator_kind="LLM",
            score=n / 8,
            explanation=f"the judge says {n}",
            sync=True,
        )
        client.spans.add_span_annotation(
            span_id=answer["span"],
            annotation_name="language",
            annotator_kind="CODE",
            label="en",
            sync=True,
        )
        client.traces.add_trace_annotation(
            trace_id=answer["trace"],
            annotation_name="resolved",
            annotator_kind="HUMAN",
            score=1.0,
            sync=True,
        )
    for session in sorted({a["session"] for a in answers}):
        client.sessions.add_session_annotation(
            session_id=session,
            annotation_name="satisfied",
            annotator_kind="HUMAN",
            label="yes",
            identifier="ann",
            sync=True,
        )
    retrieved = [s for s in sent if s["kind"] == "RETRIEVER"]
    for span in retrieved:
        client.spans.add_document_annotation(
            span_id=span["span"],
            document_position=1,
            annotation_name="relevant",
            annotator_kind="CODE",
            score=0.0,
            sync=True,
        )
    client.spans.add_span_note(span_id=answers[0]["span"], note="look at this one")
    sessions = len({a["session"] for a in answers})
    return 5 * len(answers) + sessions + len(retrieved) + 1


def change(client: Client, sent: list[dict[str, Any]]) -> None:
    """Change ann's mind about the first answer: Phoenix overwrites what it had."""
    answer = next(s for s in sent if s.get("input_tokens"))
    client.spans.add_span_annotation(
        span_id=answer["span"],
        annotation_name="thumb",
        annotator_kind="HUMAN",
        label="up",
        score=1.0,
        explanation="on second thoughts",
        identifier="ann",
        sync=True,
    )


def export(client: Client, folder: Path, expected: int) -> None:
    """Export as people do: frames as Parquet, annotations as CSV and JSON lines, spans as JSON."""
    spans = client.spans.get_spans_dataframe(limit=10_000, project_identifier="default")
    assert len(spans) == expected, (len(spans), expected)
    spans.to_parquet(folder / "spans.parquet")
    annotations = client.spans.get_span_annotations_dataframe(
        spans_dataframe=spans, project_identifier="default", exclude_annotation_names=[""]
    )
    annotations.to_parquet(folder / "annotations.parquet")
    annotations.to_csv(folder / "annotations.csv")
    annotations.reset_index().to_json(
        folder / "annotations.jsonl", orient="records", lines=True, date_format="iso"
    )
    plain = client.spans.get_spans(project_identifier="default", limit=10_000)
    (folder / "spans.json").write_text(json.dumps(plain))
    (folder / "span-annotations.json").write_text(
        json.dumps(client.spans.get_span_annotations(spans=plain, project_identifier="default"))
    )


def main(url: str, folder: Path, part: str) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
    client = Client(base_url=url)
    sent = send(provider.get_tracer("world"), part, 6 if part == "first" else 2)
    provider.shutdown()
    before = [
        span
        for file in folder.glob("sent-*.json")
        for span in json.loads(file.read_text())["spans"]
    ]
    expected = len(before) + len(sent)
    deadline = time.monotonic() + 60
    while len(client.spans.get_spans(project_identifier="default", limit=10_000)) < expected:
        assert time.monotonic() < deadline, "Phoenix did not store what it accepted"
        time.sleep(0.2)
    kept = annotate(client, sent)
    if before:
        change(client, before)
    export(client, folder, expected)
    (folder / f"sent-{part}.json").write_text(json.dumps({"spans": sent, "annotations": kept}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
