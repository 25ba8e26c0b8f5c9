"""Phoenix: one set of spans and annotations by each way out of it, and OpenInference as JSON."""

from __future__ import annotations

import base64
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import workbench
from tests.importers import laws
from tests.importers.laws import Sample
from workbench.guess import guess_project

TRACE = "0af7651916cd43dd8448eb211c80319c"
ROOT, CHAT, PLAN, FIND, EMBED, JUDGE = (f"00000000000000a{n}" for n in range(6))
BOTH = ("inferences", "feedback")
TOOL_CALL = {"id": "call-1", "function": {"name": "weather", "arguments": '{"town": "Delft"}'}}

#: (name, kind, id, parent, nested attributes), as the database holds them.
SPANS: list[tuple[str, str, str, str | None, dict[str, Any]]] = [
    ("agent", "AGENT", ROOT, None, {
        "input": {"value": "Is it raining in Delft?", "mime_type": "text/plain"},
        "output": {"value": "It rains.", "mime_type": "text/plain"},
        "app": {"release": "r-17", "flags": ["night", "canary"], "empty": {}},
        "trace": {"annotations": [{"annotation": {
            "name": "goal", "label": "reached", "annotator_kind": "CODE"}}]},
    }),
    ("chat", "LLM", CHAT, ROOT, {
        "llm": {
            "model_name": "gpt-4o-mini-2024", "request": {"model_name": "gpt-4o-mini"},
            "response": {"model_name": "gpt-4o-mini-2024"}, "provider": "openai",
            "invocation_parameters": '{"temperature": 0.25}',
            "input_messages": [
                {"message": {"role": "system", "content": "Be terse."}},
                {"message": {"role": "user", "contents": [
                    {"message_content": {"type": "text", "text": "Look: is it raining?"}},
                    {"message_content": {"type": "image", "image": {"image": {"url": "sky.png"}}}},
                ]}},
                {"message": {"role": "assistant", "tool_calls": [{"tool_call": TOOL_CALL}]}},
                {"message": {"role": "tool", "tool_call_id": "call-1", "content": "rain"}},
            ],
            "output_messages": [{"message": {"role": "assistant", "content": "It rains."}}],
            "token_count": {"prompt": 41, "completion": 7, "total": 48,
                            "prompt_details": {"cache_read": 3}},
            "tools": [{"tool": {"json_schema": '{"name": "weather"}'}}],
        },
        "input": {"value": '{"q": "raining?"}', "mime_type": "application/json"},
        "user": {"id": "user-ann"}, "tag": {"tags": ["beta", "eu"]},
        "metadata": {"plan": "gold", "nested": {"deep": 0.75}},
    }),
    ("plan", "LLM", PLAN, ROOT, {"llm": {
        "model_name": "planner",
        "output_messages": [{"message": {
            "role": "assistant", "tool_calls": [{"tool_call": TOOL_CALL}]}}],
    }}),
    ("find", "RETRIEVER", FIND, ROOT, {
        "input": {"value": "Delft"},
        "retrieval": {"documents": [
            {"document": {"id": "doc-1", "content": "Delft is wet.", "score": 0.625,
                          "metadata": {"source": "atlas"}}},
            {"document": {"id": "doc-2", "content": "Rain is water.", "score": 0.5}},
        ]},
        "annotations": [{"annotation": {
            "name": "on_topic", "score": 0.875, "explanation": "names the town",
            "annotator_kind": "LLM", "identifier": "judge-2"}}],
    }),
    ("embed", "EMBEDDING", EMBED, ROOT, {"embedding": {
        "model_name": "embedder-1",
        "embeddings": [{"embedding": {"text": "Delft", "vector": [0.125, -0.5, 0.0625]}}],
    }}),
    ("judge", "EVALUATOR", JUDGE, None, {
        "evaluations": [{"evaluation": {
            "name": "faithful", "score": 0.375, "label": "partly", "annotator_kind": "LLM",
            "metadata": {"rubric": "strict"}}}],
    }),
]  # fmt: skip


def start(number: int) -> str:
    return f"2026-03-01 12:00:{number:02d}.250000"


def end(number: int) -> str:
    return f"2026-03-01 12:00:{number:02d}.75{number:04d}"


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Attributes as OpenTelemetry names them."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = {str(place): element for place, element in enumerate(value)}
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= flat(inner, f"{prefix}.{key}" if prefix else key)
    return found


def columns(value: Any) -> Any:
    """Attributes as columns of a frame: dotted down to lists, and so are their elements."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            found |= {f"{key}.{name}": deep for name, deep in columns(inner).items()}
        elif isinstance(inner, list) and inner and isinstance(inner[0], dict):
            found[key] = [columns(element) for element in inner]
        else:
            found[key] = inner
    return found


#: (kind of target, target, name, score, label, explanation, annotator, identifier, updated).
ANNOTATIONS: list[tuple[Any, ...]] = [
    ("span", CHAT, "thumb", 1.0, "up", None, "HUMAN", "ann", 1),
    ("span", CHAT, "thumb", 0.0, "down", "it was dry", "HUMAN", "bob", 2),
    ("span", CHAT, "helpful", 0.8125, None, "the judge agrees", "LLM", "", 3),
    ("span", CHAT, "note", None, None, "look at this one", "HUMAN", "px-span-note:77", 4),
    ("trace", TRACE, "resolved", 1.0, None, None, "HUMAN", "", 5),
    ("session", "session-9", "satisfied", None, "yes", None, "HUMAN", "ann", 6),
    ("document", FIND, "relevant", 0.0, None, None, "CODE", "", 7),
]
_TABLES = {
    "span": ("span_annotations", "span_rowid", "SpanAnnotation"),
    "trace": ("trace_annotations", "trace_rowid", "TraceAnnotation"),
    "session": ("project_session_annotations", "project_session_id", "ProjectSessionAnnotation"),
    "document": ("document_annotations", "span_rowid", "DocumentAnnotation"),
}


def write_database(path: Path, *, costs: bool = True) -> Path:
    """The tables of phoenix.db that matter, with its columns."""
    annotation = (
        "name, label, score, explanation, metadata, annotator_kind, created_at, updated_at, "
        "user_id, identifier, source"
    )
    with closing(sqlite3.connect(path)) as db:
        db.executescript(f"""
            CREATE TABLE projects (id, name);
            CREATE TABLE project_sessions (id, session_id, project_id);
            CREATE TABLE traces (id, project_rowid, trace_id, project_session_rowid);
            CREATE TABLE spans (id, trace_rowid, span_id, parent_id, name, span_kind, start_time,
              end_time, attributes, events, status_code, status_message,
              cumulative_error_count, llm_token_count_prompt, llm_token_count_completion);
            CREATE TABLE span_annotations (id, span_rowid, {annotation});
            CREATE TABLE trace_annotations (id, trace_rowid, {annotation});
            CREATE TABLE project_session_annotations (id, project_session_id, {annotation});
            CREATE TABLE document_annotations (id, span_rowid, document_position, {annotation});
            INSERT INTO projects VALUES (1, 'default');
            INSERT INTO project_sessions VALUES (1, 'session-9', 1);
            INSERT INTO traces VALUES (1, 1, '{TRACE}', 1), (2, 1, '{"f" * 32}', NULL);
        """)
        if costs:
            db.executescript("""
                CREATE TABLE span_costs (id, span_rowid, total_cost, prompt_cost, completion_cost);
                INSERT INTO span_costs VALUES (1, 2, 0.00034, 0.00021, 0.00013);
            """)
        for n, (name, kind, span, parent, attributes) in enumerate(SPANS):
            db.execute(
                "INSERT INTO spans VALUES (?,?,?,?,?,?,?,?,?,?,?,?,0,NULL,NULL)",
                (n + 1, 2 if kind == "EVALUATOR" else 1, span, parent, name, kind, start(n),
                 end(n), json.dumps(attributes), json.dumps(events(kind)), "OK", f"status of {n}"),
            )  # fmt: skip
        for n in range(len(ANNOTATIONS)):
            annotate(db, n)
        db.commit()
    return path


def events(kind: str) -> list[Any]:
    if kind != "RETRIEVER":
        return []
    return [{"name": "exception", "timestamp": "2026-03-01T12:00:03.5+00:00",
             "attributes": {"exception.message": "no umbrella"}}]  # fmt: skip


def annotate(db: sqlite3.Connection, number: int, **changed: Any) -> None:
    """Write an annotation, or write over it."""
    target, on, name, score, label, explanation, annotator, identifier, at = ANNOTATIONS[number]
    table, column, _ = _TABLES[target]
    row = {
        "id": number + 1, column: {CHAT: 2, FIND: 4}.get(on, 1), "name": name, "label": label,
        "score": score, "explanation": explanation,
        "metadata": json.dumps({"screen": f"s-{number}"}),
        "annotator_kind": annotator, "created_at": "2026-03-01 12:30:00", "user_id": None,
        "updated_at": f"2026-03-01 13:00:0{at}", "identifier": identifier, "source": "API",
        **({"document_position": 1} if target == "document" else {}), **changed,
    }  # fmt: skip
    db.execute(f"DELETE FROM {table} WHERE id = ?", (number + 1,))
    db.execute(
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
        list(row.values()),
    )


def span_of(number: int, **more: Any) -> dict[str, Any]:
    """A span as the client and the dashboard export it."""
    name, kind, span, parent, attributes = SPANS[number]
    return {
        "id": base64.b64encode(f"Span:{number + 1}".encode()).decode(),
        "name": name,
        "context": {"trace_id": "f" * 32 if kind == "EVALUATOR" else TRACE, "span_id": span},
        "span_kind": kind,
        "parent_id": parent,
        "start_time": start(number).replace(" ", "T") + "+00:00",
        "end_time": end(number).replace(" ", "T") + "+00:00",
        "status_code": "OK",
        "status_message": f"status of {number}",
        "attributes": flat(attributes),
        "events": events(kind),
        **more,
    }


def annotation_of(number: int, **more: Any) -> dict[str, Any]:
    """An annotation as the client exports it in a frame."""
    target, on, name, score, label, explanation, annotator, identifier, at = ANNOTATIONS[number]
    return {
        f"{'span' if target == 'document' else target}_id": on,
        "id": base64.b64encode(f"{_TABLES[target][2]}:{number + 1}".encode()).decode(),
        "created_at": "2026-03-01T12:30:00+00:00",
        "updated_at": f"2026-03-01T13:00:0{at}+00:00",
        "source": "API",
        "user_id": None,
        "annotation_name": name,
        "annotator_kind": annotator,
        "metadata": {"screen": f"s-{number}"},
        "identifier": identifier,
        "result.label": label,
        "result.score": score,
        "result.explanation": explanation,
        **more,
    }


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A frame: every row has the columns of all."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table({name: [row.get(name) for row in rows] for name in names})
    pq.write_table(table, path)
    return path


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def frame() -> list[dict[str, Any]]:
    """The frame of all spans."""
    rows = []
    for number in range(len(SPANS)):
        span = span_of(number)
        attributes = columns({"attributes": SPANS[number][4]})
        context = {f"context.{key}": value for key, value in span["context"].items()}
        kept = {k: v for k, v in span.items() if k not in ("id", "attributes", "context")}
        # Parquet has no empty structs; pandas writes the index beside the column.
        attributes.pop("attributes.app.empty", None)
        index = {"__index_level_0__": context["context.span_id"]}
        rows.append({**kept, **context, **attributes, **index})
    return rows


def samples(folder: Path) -> list[Sample]:
    """The same spans and annotations by every way out, with links and without, and a stranger."""
    linked = [span_of(n) for n in range(5)] + [
        span_of(5, links=[{"context": {"trace_id": TRACE, "span_id": CHAT}}]),
        {"what": "is this", "number": 5150},
    ]
    annotations = [annotation_of(n) for n in range(4)]
    written = {
        "db": write_database(folder / "phoenix.db"),
        "old": write_database(folder / "old.db", costs=False),
        "lines": write_lines(folder / "spans.jsonl", linked),
        "frame": write_parquet(folder / "spans.parquet", frame()),
        "judged": write_parquet(folder / "annotations.parquet", annotations),
    }
    page = folder / "page.json"
    page.write_text(json.dumps({"data": annotations, "next_cursor": None}))
    table = folder / "annotations.csv"
    duckdb.sql(f"COPY (FROM '{written['judged']}') TO '{table}' (HEADER)")

    def sample(path: Path, *tables: str, refused: int = 0) -> Sample:
        # A database has other records for each table.
        across = path.suffix == ".db"
        return Sample(
            importer="phoenix", paths=[path], tables=tables or BOTH, refused=refused, across=across
        )

    return [
        sample(written["db"]),
        sample(written["old"]),
        sample(written["lines"], refused=1),
        sample(written["frame"]),
        sample(written["judged"], "feedback"),
        sample(page, "feedback"),
        sample(table, "feedback"),
    ]


def staged(path: Path, table: str) -> dict[str, dict[str, Any]]:
    """Rows by their key."""
    key = {"inferences": "request_id", "feedback": "feedback_id"}[table]
    return {row[key]: dict(row) for _, row in laws.stage("phoenix", [path]).rows[table]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phoenix")
    samples(folder)
    return folder


@pytest.fixture(scope="module")
def inferences(folder: Path) -> dict[str, dict[str, Any]]:
    return staged(folder / "phoenix.db", "inferences")


@pytest.mark.parametrize("name", ["spans.jsonl", "spans.parquet", "old.db"])
def test_a_span_is_the_same_inference_whichever_way_it_came(
    folder: Path, inferences: dict[str, Any], name: str
) -> None:
    # Only the database knows the session of a trace, and reckons costs.
    apart = {"metadata", "session_id", "cost"}

    def plain(rows: dict[str, Any]) -> Any:
        return {key: {k: v for k, v in row.items() if k not in apart} for key, row in rows.items()}

    assert plain(staged(folder / name, "inferences")) == plain(inferences)


@pytest.mark.parametrize("name", ["annotations.parquet", "annotations.csv", "page.json"])
def test_an_annotation_is_the_same_event_whichever_way_it_came(folder: Path, name: str) -> None:
    events = staged(folder / "phoenix.db", "feedback")
    found = staged(folder / name, "feedback")
    assert len(found) == 4
    for key, row in found.items():
        row.pop("metadata")
        assert row == {k: v for k, v in events[key].items() if k in row}


def test_a_call_has_its_messages_tokens_and_cost(inferences: dict[str, Any]) -> None:
    row = inferences[CHAT]
    assert (row["model"], row["model_version"]) == ("gpt-4o-mini", "gpt-4o-mini-2024")
    assert (row["input_tokens"], row["output_tokens"], row["cost"]) == (41, 7, 0.00034)
    assert (row["user_id"], row["session_id"], row["tags"]) == (
        "user-ann", "session-9", ["beta", "eu"],
    )  # fmt: skip
    assert (row["latency_ms"], row["trace_id"], row["parent_id"]) == (500.001, TRACE, ROOT)
    assert row["output"] == "It rains."
    assert json.loads(row["params"]) == {"temperature": 0.25}
    said = json.loads(row["input"])
    assert [message["role"] for message in said] == ["system", "user", "assistant", "tool"]
    assert said[1]["content"] == [
        {"type": "text", "text": "Look: is it raining?"},
        {"type": "image", "image": {"image": {"url": "sky.png"}}},
    ]
    assert said[2]["tool_calls"] == [TOOL_CALL]


def test_an_answer_of_calls_alone_has_no_text(inferences: dict[str, Any]) -> None:
    assert inferences[PLAN]["output"] is None
    assert json.loads(inferences[PLAN]["tool_calls"]) == [TOOL_CALL]


def test_documents_and_vectors_are_columns(inferences: dict[str, Any]) -> None:
    assert inferences[FIND]["retrieved"] == [
        {"id": "doc-1", "text": "Delft is wet.", "score": 0.625},
        {"id": "doc-2", "text": "Rain is water.", "score": 0.5},
    ]
    assert inferences[EMBED]["embedding"] == [0.125, -0.5, 0.0625]
    assert inferences[EMBED]["input"] == "Delft"
    assert inferences[ROOT]["model"] is None


def test_a_verdict_within_an_evaluating_span_is_on_the_span_that_it_is_linked_to(
    folder: Path,
) -> None:
    (verdict,) = [row for row in staged(folder / "spans.jsonl", "feedback").values()
                  if row["name"] == "faithful"]  # fmt: skip
    assert (verdict["request_id"], verdict["trace_id"]) == (CHAT, TRACE)
    assert (verdict["value"], verdict["rater_kind"]) == ("0.375", "model")
    assert json.loads(verdict["metadata"]) == {
        "annotator_kind": "LLM", "label": "partly", "metadata": {"rubric": "strict"},
        "span_id": JUDGE,
    }  # fmt: skip


def test_a_verdict_whose_link_was_not_stored_is_refused_and_not_taken_for_one_on_the_judge(
    folder: Path,
) -> None:
    outcome = laws.stage("phoenix", [folder / "phoenix.db"])
    assert [reason for rows in outcome.refused.values() for _, reason, _ in rows] == ["no_link"]


def test_verdicts_on_traces_sessions_and_documents_stay_there(folder: Path) -> None:
    rows = staged(folder / "phoenix.db", "feedback").values()
    by_name = {row["name"]: row for row in rows if row["name"] != "thumb"}
    assert len(rows) == len(by_name) + 2
    for name in ("goal", "resolved"):
        assert (by_name[name]["scope"], by_name[name]["trace_id"]) == ("trace", TRACE)
        assert by_name[name]["request_id"] is None
    assert (by_name["satisfied"]["scope"], by_name["satisfied"]["session_id"]) == (
        "session", "session-9",
    )  # fmt: skip
    assert by_name["on_topic"]["request_id"] == FIND
    assert by_name["document.relevant"]["request_id"] == FIND
    assert (by_name["note"]["kind"], by_name["note"]["value"]) == ("comment", "look at this one")


def test_of_two_states_of_one_annotation_the_older_is_superseded(tmp_path: Path) -> None:
    old, new = annotation_of(0), annotation_of(0, updated_at="2026-03-02T00:00:00+00:00")
    outcome = laws.stage("phoenix", [write_lines(tmp_path / "a.jsonl", [new, old])])
    assert [row["ts"].day for _, row in outcome.rows["feedback"]] == [2]
    assert [reason for rows in outcome.refused.values() for _, reason, _ in rows] == ["superseded"]


def test_a_verdict_in_the_second_of_its_call_does_not_come_before_it(tmp_path: Path) -> None:
    rows = [
        annotation_of(4, updated_at="2026-03-01T12:00:00+00:00"),
        annotation_of(5, updated_at="2026-03-01T12:00:00.125+00:00"),
    ]
    events = staged(write_lines(tmp_path / "a.jsonl", rows), "feedback").values()
    times = {row["name"]: row["ts"].microsecond for row in events}
    assert times == {"resolved": 999_999, "satisfied": 125_000}


def test_ids_in_base64_are_the_same_ids(tmp_path: Path) -> None:
    encoded = {
        "trace_id": base64.b64encode(bytes.fromhex(TRACE)).decode(),
        "span_id": base64.b64encode(bytes.fromhex(CHAT)).decode(),
    }
    path = write_lines(tmp_path / "s.jsonl", [span_of(1, context=encoded)])
    (row,) = staged(path, "inferences").values()
    assert (row["request_id"], row["trace_id"]) == (CHAT, TRACE)


def test_attributes_that_are_no_json_are_kept_as_they_are(tmp_path: Path) -> None:
    path = write_database(tmp_path / "phoenix.db")
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE spans SET attributes = '{\"x\": NaN}' WHERE id = 1")
        db.commit()
    assert "NaN" in staged(path, "inferences")[ROOT]["metadata"]


@pytest.mark.real_data
def test_spans_of_openinference_are_imported_whole(real_data: Path) -> None:
    path = real_data / "traces_openinference" / "all-spans.json"
    laws.check(Sample(importer="phoenix", paths=[path]))
    rows = staged(path, "inferences").values()
    used = [row for row in rows if row["input_tokens"] is not None]
    # The spans around the calls repeat their tokens.
    assert (len(rows), len(used)) == (10, 5)
    assert sum(row["input_tokens"] for row in used) == 152
    assert sum(row["output_tokens"] or 0 for row in used) == 297
    assert {row["model"] for row in used} == {"gpt-4o-mini", "text-embedding-3-small"}
    assert sum(row["model"] is not None for row in rows) == 5
    haiku = min(used, key=lambda row: row["ts"])
    assert haiku["output"].startswith("Lines of code align,")
    assert json.loads(haiku["input"]) == [
        {"role": "user", "content": "Write a haiku about programming."}
    ]
    assert haiku["latency_ms"] == pytest.approx(1779.416, abs=0.001)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project that `init` made of a database, which went on after the first build."""
    folder = tmp_path_factory.mktemp("project")
    database = write_database(folder / "phoenix.db")
    guess = guess_project([database], [database], project_dir=folder)
    assert 'format = "phoenix"' in guess.toml
    (folder / "workbench.toml").write_text(guess.toml)
    built = workbench.open(folder)
    built.build()
    before = ledger(built)
    with closing(sqlite3.connect(database)) as db:
        # Both change: ann, and whoever it was that said that the trace was resolved.
        for number in (0, 4):
            annotate(db, number, score=0.0, label=None, updated_at="2026-03-01 14:00:00")
        db.commit()
    built.build()
    return built, before


def ask(project: Any, query: str) -> list[Any]:
    return [tuple(row.values()) for row in project.sql(query).table.to_pylist()]


def ledger(project: Any) -> dict[str, int]:
    return dict(ask(project, "SELECT status, n FROM ledger WHERE \"table\" = 'feedback'"))


def test_the_ledger_adds_up(project: Any) -> None:
    _, before = project
    # Seven annotations, two within spans, and one whose link is gone.
    assert (before["received"], before["attributed"], before["invalid"]) == (10, 9, 1)


def test_only_what_changed_is_received_again(project: Any) -> None:
    built, before = project
    assert ledger(built)["received"] == before["received"] + 2
    assert ask(built, "SELECT count(*) FROM inferences") == [(len(SPANS),)]


def test_a_verdict_that_was_written_over_no_longer_decides(project: Any) -> None:
    built, _ = project
    latest = "QUALIFY row_number() OVER (PARTITION BY rater_id ORDER BY ts DESC) = 1"
    assert ask(
        built, f"SELECT value FROM feedback WHERE name = 'resolved' {latest}"
    ) == [("0.0",)]  # fmt: skip
    thumbs = ask(built, f"SELECT rater_id, value FROM feedback WHERE name = 'thumb' {latest}")
    assert sorted(thumbs) == [("ann", "0.0"), ("bob", "0.0")]
