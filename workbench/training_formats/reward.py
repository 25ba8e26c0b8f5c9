"""Reward modelling by regression: single answers with a reward in [0, 1]."""

from __future__ import annotations

from typing import Any

from workbench.guide import Param
from workbench.training_formats._format import STYLE, TrainingFormat
from workbench.training_formats._texts import MISSING, UNLABELLED, answer, asked, prompt


def _candidates(value: str, **_: Any) -> str:
    return f"""
    SELECT r.request_id AS example_id, r.request_id, NULL::VARCHAR AS other_id, r.feedback_ids,
      CAST(CAST(({value}) AS DOUBLE) AS VARCHAR) AS label, r.label_ts, NULL::DOUBLE AS strength,
      'feedback' AS source,
      coalesce({MISSING}, CASE WHEN ({value}) IS NULL THEN {UNLABELLED}
        WHEN NOT CAST(({value}) AS DOUBLE) BETWEEN 0 AND 1 THEN 'reward_out_of_range' END) AS reason
    FROM records r"""


def _payload(source: str, style: str, **_: Any) -> str:
    return (
        f"SELECT e.example_id, {prompt(style)} AS prompt, {answer(style)} AS completion, "
        f"CAST(e.label AS DOUBLE) AS reward FROM {source} e "
        "JOIN texts t ON e.request_id = t.request_id"
    )


def _asked(style: str, **_: Any) -> tuple[str, str]:
    return asked(style, "completion")


training_format = TrainingFormat(
    name="reward",
    about="Single answers with a scalar reward, for reward models and for weighted fine-tuning.",
    params={
        "style": STYLE,
        "value": Param(
            default="reward",
            about="SQL expression of the reward over the columns of enriched_inferences.",
        ),
    },
    expressions=("value",),
    texts=True,
    candidates=_candidates,
    payload=_payload,
    schema={
        "prompt": "What was asked: list of role and content, or text.",
        "completion": "What was answered.",
        "reward": "Reward, 0 to 1.",
    },
    asked=_asked,
)
