"""Stepwise supervision: the steps of an agent, each with its own verdict (arXiv:2211.14275)."""

from __future__ import annotations

from typing import Any

from workbench.guide import Param
from workbench.training_formats._format import TrainingFormat


def _candidates(**_: Any) -> str:
    return """
    SELECT r.trace_id AS example_id, arg_min(r.request_id, (s.step, r.request_id)) AS request_id,
      NULL::VARCHAR AS other_id,
      coalesce(list_sort(list_distinct(flatten(list(r.feedback_ids)))), []) AS feedback_ids,
      NULL::VARCHAR AS label, max(r.label_ts) AS label_ts, NULL::DOUBLE AS strength,
      'trace' AS source,
      CASE WHEN count(*) < any_value(s.n_steps) THEN 'trace_not_whole'
        WHEN count(s.credited_reward) = 0 THEN 'no_feedback' END AS reason
    FROM records r JOIN steps s ON r.request_id = s.request_id
    GROUP BY r.trace_id"""


def _payload(source: str, least: float, **_: Any) -> str:
    return f"""
    SELECT e.example_id, as_text(t.input) AS prompt, s.completions, s.rewards, s.labels
    FROM {source} e
    JOIN (
      SELECT s.trace_id, list(coalesce(nullif(as_answer(s.output), ''), s.tool_calls, '')
          ORDER BY s.step, s.request_id) AS completions,
        list(s.credited_reward / s.credit ORDER BY s.step, s.request_id) AS rewards,
        list(s.credited_reward / s.credit >= {least!r} ORDER BY s.step, s.request_id) AS labels
      FROM steps s WHERE s.trace_id IN (SELECT example_id FROM {source}) GROUP BY s.trace_id
    ) s ON e.example_id = s.trace_id
    JOIN texts t ON e.request_id = t.request_id"""


def _asked(**_: Any) -> tuple[str, str]:
    return "prompt", "array_to_string(completions, chr(10))"


training_format = TrainingFormat(
    name="stepwise",
    about="The steps of an agent's run in order, each with the reward that it was credited with: "
    "for process reward models.",
    params={
        "least": Param(
            default=0.5,
            about="Reward from which on a step counts as good.",
            minimum=0.0,
            maximum=1.0,
        )
    },
    candidates=_candidates,
    payload=_payload,
    schema={
        "prompt": "What the run was asked: text.",
        "completions": "What each step answered, or the tools that it called, in order.",
        "rewards": "Reward that each step was credited with; NULL where none was.",
        "labels": "Whether that is good.",
    },
    asked=_asked,
)
