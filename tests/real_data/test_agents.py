"""Agents: the public runs of tau-bench, with the numbers that their authors print."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import pairwise
from math import comb, fsum
from pathlib import Path
from typing import Any

import pytest

import workbench
from workbench.handle import Workbench

pytestmark = [pytest.mark.real_data, pytest.mark.published]

#: A call is an assistant's message; what it was asked is the conversation before it.
CONFIG = """
[inferences]
source = "{runs}"
clock = "none"
sql = '''
WITH messages AS (
  SELECT task_id, trial, unnest(traj) AS message, generate_subscripts(traj, 1) AS place, traj
  FROM source
)
SELECT
  concat_ws('/', task_id, trial, place - 1) AS request_id,
  concat_ws('/', task_id, trial) AS trace_id,
  place - 1 AS step,
  'gpt-4o' AS model_version,
  CAST(task_id AS VARCHAR) AS item_id,
  CAST(to_json(traj[:place - 1]) AS VARCHAR) AS input,
  message.content AS output,
  CAST(to_json(message.tool_calls) AS VARCHAR) AS tool_calls
FROM messages
WHERE message.role = 'assistant'
'''

[feedback]
source = "{runs}"
clock = "none"
sql = '''
SELECT concat_ws('/', task_id, trial) AS feedback_id,
       concat_ws('/', task_id, trial) AS trace_id, 'trace' AS scope,
       'solved' AS name, reward AS value, len(traj) AS messages
FROM source
'''
[feedback.signals.solved]
kind = "binary"

[attribution]
credit = "{credit}"
discount = 0.9
"""


@pytest.fixture(scope="module", params=["last", "uniform", "discounted"])
def agents(
    request: pytest.FixtureRequest, real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Workbench:
    runs = (real_data / "tau_bench" / "gpt-4o-airline.json.gz").as_posix()
    folder = tmp_path_factory.mktemp("agents")
    config = CONFIG.format(runs=runs, credit=request.param)
    (folder / "workbench.toml").write_text(config, encoding="utf-8")
    project = workbench.open(folder)
    project.build()
    return project


def ask(project: Workbench, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in project.sql(query, limit=10_000).table.to_pylist()]


def test_every_run_is_attributed(agents: Workbench) -> None:
    status = agents.status()
    assert status["received"] == status["attributed"] == 200
    assert status["methods"] == {"trace": 200}
    assert ask(agents, "SELECT count(*), count(DISTINCT trace_id) FROM enriched_steps") == [
        (status["inferences"]["accepted"], 200)
    ]


def test_pass_hat_k_is_what_the_authors_print(agents: Workbench) -> None:
    solved = ask(
        agents,
        "SELECT split_part(trace_id, '/', 1) AS task, count(DISTINCT trace_id), "
        "count(DISTINCT trace_id) FILTER (outcome = 1) FROM enriched_steps GROUP BY 1",
    )
    assert len(solved) == 50
    assert {n for _, n, _ in solved} == {4}
    # The chance that k tries at a task all succeed (Yao et al. 2024, tau-bench, section 3).
    passed = [
        round(fsum(comb(c, k) / comb(n, k) for _, n, c in solved) / 50, 3) for k in (1, 2, 3, 4)
    ]
    assert passed == [0.420, 0.273, 0.220, 0.200]


def test_calls_of_tools_and_lengths_of_runs(agents: Workbench) -> None:
    assert ask(agents, "SELECT sum(n_tool_calls)::BIGINT FROM enriched_steps") == [(1164,)]
    rows = ask(
        agents,
        "SELECT reward, sum(n)::BIGINT, round(avg(n), 1) FROM (SELECT reward, "
        "(feedback_metadata ->> '$.messages')::INTEGER AS n FROM enriched_feedback) "
        "GROUP BY 1 ORDER BY 1",
    )
    assert sum(total for _, total, _ in rows) == 5308
    assert [(reward, mean) for reward, _, mean in rows] == [(0.0, 30.0), (1.0, 21.7)]


def test_each_turn_carries_the_whole_conversation_before_it(
    agents: Workbench, real_data: Path
) -> None:
    path = real_data / "tau_bench" / "gpt-4o-airline.json.gz"
    with gzip.open(path, "rt") as file:
        runs = {f"{run['task_id']}/{run['trial']}": run for run in json.load(file)}
    seen = 0
    for trace, step, given, output in turns(agents):
        messages = runs[trace]["traj"]
        assert [(m["role"], m["content"]) for m in json.loads(given)] == [
            (m["role"], m.get("content")) for m in messages[:step]
        ]
        assert messages[step]["role"] == "assistant"
        assert output == messages[step].get("content")
        seen += 1
    assert seen == sum(m["role"] == "assistant" for r in runs.values() for m in r["traj"])


def turns(agents: Workbench) -> Iterator[tuple[str, int, str, str | None]]:
    yield from ask(agents, "SELECT trace_id, step, input, output FROM inferences")


def test_the_credits_of_each_run_add_up_to_one(agents: Workbench) -> None:
    rows = ask(
        agents,
        "SELECT trace_id, list(credit ORDER BY step), list(credited_reward ORDER BY step), "
        "any_value(outcome) FROM enriched_steps GROUP BY 1",
    )
    for _, credits, rewards, outcome in rows:
        assert fsum(credits) == pytest.approx(1.0, abs=1e-12)
        assert fsum(r for r in rewards if r is not None) == pytest.approx(outcome, abs=1e-12)
        rule = agents.project.credit
        if rule == "last":
            assert credits == [0.0] * (len(credits) - 1) + [1.0]
        elif rule == "uniform":
            assert credits == pytest.approx([1 / len(credits)] * len(credits), abs=1e-12)
        else:
            assert all(
                later == pytest.approx(earlier / 0.9) for earlier, later in pairwise(credits)
            )
