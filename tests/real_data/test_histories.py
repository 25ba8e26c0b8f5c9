"""The conversation before each turn of a public chat log, which logged what the model was shown."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import workbench

pytestmark = pytest.mark.real_data


def test_the_turns_of_a_session_are_the_messages_that_the_model_was_shown(
    real_data: Path, tmp_path: Path
) -> None:
    """Each request of this log repeats its conversation; a history has to find the same one."""
    turns = (real_data / "realhumaneval_chat" / "chat_data.csv.gz").as_posix()
    (tmp_path / "feedback.jsonl").write_text("")
    (tmp_path / "workbench.toml").write_text(
        f"""
        [inferences]
        source = "{turns}"
        sql = '''
        SELECT *, CAST(source_row AS VARCHAR) AS request_id,
               TIMESTAMPTZ '2024-01-01 00:00:00+00'
               + to_microseconds(CAST("timestamp" * 1000000 AS BIGINT)) AS at,
               programmer_id || ': ' || task_name AS conversation
        FROM source
        '''
        [inferences.columns]
        ts = "at"
        model_version = "model"
        session_id = "conversation"
        input = "request"
        output = "response"
        [feedback]
        source = "feedback.jsonl"
        [context.before]
        join = "history"
        from = "inferences"
        on = "session_id"
        k = 1000
        columns = ["input", "output"]
        """
    )
    project = workbench.open(tmp_path)
    project.build()
    rows = project.sql("SELECT input, before FROM enriched_inferences").table.to_pylist()
    exact = turns_before = 0
    for row in rows:
        shown = ast.literal_eval(row["input"])[:-1]
        found = []
        for turn in row["before"]["events"]:
            found += [ast.literal_eval(turn["input"])[-1]["content"], turn["output"]]
        exact += found == [message["content"] for message in shown]
        turns_before += len(found) // 2
    # The others were shown something else: an answer that was asked for again, or a lost turn.
    assert (len(rows), exact, turns_before) == (1055, 958, 1788)
