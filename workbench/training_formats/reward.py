"""Reward modelling by regression: single answers with a reward in [0, 1]."""

from __future__ import annotations

from typing import Any

from workbench.guide import Param
from workbench.training_formats._format import STYLE, TrainingFormat
from workbench.training_formats._texts import (
    MISSING,
    UNLABELLED,
    answered,
    asked,
    of_each_inference,
)


def _candidates(value: str, **_: Any) -> str:
    number = f"CAST(({value}) AS DOUBLE)"
    return of_each_inference(
        f"CAST({number} AS VARCHAR)",
        f"coalesce({MISSING}, CASE WHEN ({value}) IS NULL THEN {UNLABELLED} "
        f"WHEN NOT {number} BETWEEN 0 AND 1 THEN 'reward_out_of_range' END)",
    )


def _payload(source: str, style: str, **_: Any) -> str:
    return answered(source, style, "CAST(e.label AS DOUBLE) AS reward")


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
