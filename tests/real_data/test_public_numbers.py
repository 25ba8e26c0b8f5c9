"""Numbers that anyone who counts these public files correctly gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import workbench
from workbench.handle import Workbench

pytestmark = [pytest.mark.real_data, pytest.mark.published]


def build(folder: Path, config: str) -> Workbench:
    folder.mkdir()
    (folder / "workbench.toml").write_text(config, encoding="utf-8")
    project = workbench.open(folder)
    project.build()
    return project


def ask(project: Workbench, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in project.sql(query).table.to_pylist()]


@pytest.fixture(scope="module")
def haiku(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    raw = (real_data / "tensorzero_haiku").as_posix()
    return build(
        tmp_path_factory.mktemp("haiku") / "project",
        f"""
        [inferences]
        source = ["{raw}/ChatInference.jsonl.gz", "{raw}/JsonInference.jsonl.gz"]
        [inferences.columns]
        request_id = "id"
        ts = "timestamp"
        model_version = "variant_name"
        trace_id = "episode_id"
        latency_ms = "processing_time_ms"

        [feedback]
        source = "{raw}/BooleanMetricFeedback.jsonl.gz"
        [feedback.columns]
        feedback_id = "id"
        request_id = "target_id"
        name = "metric_name"
        ts = "timestamp"
        [feedback.signals.haiku_score]
        kind = "binary"

        [context.call]
        source = "{raw}/ModelInference.jsonl.gz"
        join = "lookup"
        on = {{ request_id = "inference_id" }}
        columns = ["model_name", "input_tokens", "output_tokens"]
        """,
    )


def test_haiku_joins_four_tables(haiku: Workbench) -> None:
    status = haiku.status()
    assert status["received"] == status["attributed"] == 500
    assert status["inferences"]["accepted"] == 2000
    assert status["inferences"]["unlabelled"] == 1500
    assert status["contexts"]["call"]["matched"] == 2000
    found = ask(
        haiku,
        "SELECT call.model_name, sum(call.input_tokens)::BIGINT, sum(call.output_tokens)::BIGINT "
        "FROM enriched_inferences GROUP BY 1 ORDER BY 1",
    )
    assert found == [
        ("openai::gpt-4o-2024-08-06", 184_415, 117_618),
        ("openai::gpt-4o-mini-2024-07-18", 83_357, 86_552),
    ]


def test_haiku_feedback_judges_chats_and_comes_late(haiku: Workbench) -> None:
    found = ask(
        haiku,
        "SELECT count(*), count(*) FILTER (reward = 1), min(delay), median(delay), max(delay), "
        "count(DISTINCT model_version) FROM enriched_feedback",
    )
    assert found == [(500, 84, 8.0, 155.0, 303.0, 1)]
    assert ask(haiku, "SELECT DISTINCT model_version FROM enriched_feedback") == [("gpt_4o_mini",)]
    # What a KTO set would hold: desirable, undesirable, and the others in neither.
    rows = ask(
        haiku,
        "SELECT label, count(*) FROM enriched_inferences WHERE model_version = 'gpt_4o_mini' "
        "GROUP BY 1 ORDER BY 1 NULLS LAST",
    )
    assert rows == [("0", 416), ("1", 84), (None, 500)]


@pytest.mark.published
def test_a_placeholder_among_log_probabilities_is_flagged_and_not_averaged(
    real_data: Path, tmp_path: Path
) -> None:
    turns = (real_data / "realhumaneval_chat" / "chat_data.csv.gz").as_posix()
    project = build(
        tmp_path / "project",
        f"""
        [inferences]
        source = "{turns}"
        clock = "none"
        sql = '''
        SELECT *, CAST(source_row AS VARCHAR) AS request_id,
               [CAST(summary -> 'mean' AS DOUBLE), CAST(summary -> 'min' AS DOUBLE)]
               AS token_logprobs
        FROM (SELECT *, CAST(replace(logprobs, chr(39), '"') AS JSON) AS summary FROM source)
        '''
        columns = {{ model_version = "model", input = "request", output = "response" }}

        [feedback]
        source = "{turns}"
        clock = "none"
        sql = '''
        SELECT source_file, source_row, CAST(source_row AS VARCHAR) AS request_id,
               'copied' AS name, CAST(copy_events <> '[]' AS INTEGER) AS value
        FROM source
        '''
        [feedback.signals.copied]
        kind = "implicit"
        """,
    )
    assert project.status()["inferences"]["flags"] == {"token_logprobs:sentinel": 57}
    assert project.status()["inferences"]["accepted"] == 1055
    (row,) = ask(
        project,
        "SELECT count(*), count(token_logprobs), round(avg(token_logprobs[1]), 4) "
        "FROM enriched_inferences WHERE model_version = 'GPT-4o (chat)'",
    )
    assert row == (280, 223, -0.2493)
    rates = {
        row["by"]["model_version"]: round(row["value"], 4)
        for row in project.metrics(["reward_mean"], by=["model_version"])
    }
    assert rates == {
        "GPT-4o (chat)": 0.3750,
        "GPT-3.5 (chat)": 0.3672,
        "CodeLlama7b (chat)": 0.3333,
        "CodeLlama34b (chat)": 0.2819,
    }
