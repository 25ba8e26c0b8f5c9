"""Two systems that saw the same calls: one record of each, and the verdicts of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import workbench
from tests.importers.otlp_files import TRACE, span, span_id, traces
from workbench.errors import ConfigError

CONFIG = """
[inferences]
source = "logs"
format = ["langfuse", "otlp"]
[feedback]
source = "logs/langfuse-scores.json"
format = "langfuse"
[feedback.signals.helpful]
kind = "binary"
"""


def _observation(number: int) -> dict[str, Any]:
    """The same span as Langfuse stores it: under the ids that OpenTelemetry gave."""
    return {
        "id": span_id(number), "traceId": TRACE, "type": "GENERATION", "name": f"call {number}",
        "startTime": f"2025-11-25T12:00:{number:02d}.000Z",
        "endTime": f"2025-11-25T12:00:{number:02d}.250Z", "parentObservationId": None,
        "model": "gpt-4o", "input": f"question {number}", "output": f"answer {number}",
        "level": "DEFAULT", "userId": "ann",
    }  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> workbench.Workbench:
    folder = tmp_path_factory.mktemp("several")
    logs = folder / "logs"
    logs.mkdir()
    # Spans 1 to 3 went to a collector, 2 to 4 to Langfuse.
    spans = [span(n, {"gen_ai.request.model": "gpt-4o"}) for n in (1, 2, 3)]
    (logs / "spans.jsonl").write_text(json.dumps(traces(*spans)) + "\n")
    (logs / "langfuse-observations.json").write_text(
        json.dumps([_observation(n) for n in (2, 3, 4)])
    )
    scores = [
        {"id": f"score-{n}", "traceId": TRACE, "observationId": span_id(n), "name": "helpful",
         "dataType": "BOOLEAN", "value": n % 2, "source": "ANNOTATION",
         "timestamp": "2025-11-25T13:00:00Z"}
        for n in (1, 2, 4)
    ]  # fmt: skip
    (logs / "langfuse-scores.json").write_text(json.dumps(scores))
    (folder / "workbench.toml").write_text(CONFIG.replace(
        'source = "logs"', 'source = ["logs/spans.jsonl", "logs/langfuse-observations.json"]'
    ))  # fmt: skip
    made = workbench.open(folder)
    made.build()
    return made


def test_what_both_saw_is_one_record(project: workbench.Workbench) -> None:
    rows = project.sql(
        "SELECT request_id, trace_id, output FROM inferences ORDER BY 1"
    ).table.to_pylist()
    # The collector was not told what was said: the record that knows it stays.
    assert [tuple(row.values()) for row in rows] == [
        (span_id(n), TRACE, None if n == 1 else f"answer {n}") for n in (1, 2, 3, 4)
    ]
    inferences = project.status()["inferences"]
    assert (inferences["received"], inferences["duplicate"]) == (6, 2)
    twice = project.sql(
        "SELECT raw FROM quarantine WHERE \"table\" = 'inferences' AND reason = 'duplicate'"
    ).table.to_pylist()
    assert len(twice) == 2


def test_a_verdict_finds_the_call_whoever_logged_it(project: workbench.Workbench) -> None:
    rows = project.sql(
        "SELECT request_id, reward FROM enriched_feedback ORDER BY 1"
    ).table.to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        (span_id(1), 1), (span_id(2), 0), (span_id(4), 0),
    ]  # fmt: skip
    assert project.status()["orphan"] == 0


def test_a_file_of_neither_is_named(project: workbench.Workbench, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "other.jsonl").write_text('{"a": 1}\n')
    (tmp_path / "workbench.toml").write_text(CONFIG)
    with pytest.raises(ConfigError, match=r"other\.jsonl is of none of the formats"):
        workbench.open(tmp_path).ingest()


def test_sql_over_several_formats_is_refused(tmp_path: Path) -> None:
    (tmp_path / "workbench.toml").write_text(
        CONFIG.replace("[feedback]\n", "sql = 'FROM source'\n[feedback]\n", 1)
    )
    with pytest.raises(ConfigError, match="format lists several"):
        workbench.open(tmp_path).ingest()
