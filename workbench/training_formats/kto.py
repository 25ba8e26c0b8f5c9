"""Kahneman-Tversky optimisation: single answers, each desirable or not (arXiv:2402.01306)."""

from __future__ import annotations

from typing import Any

from workbench.training_formats._format import GOOD, STYLE, TrainingFormat
from workbench.training_formats._texts import (
    MISSING,
    UNLABELLED,
    answered,
    asked,
    of_each_inference,
)


def _candidates(good: str, **_: Any) -> str:
    return of_each_inference(
        f"CASE WHEN ({good}) THEN 'true' WHEN NOT ({good}) THEN 'false' END",
        f"coalesce({MISSING}, CASE WHEN ({good}) IS NULL THEN {UNLABELLED} END)",
    )


def _payload(source: str, style: str, **_: Any) -> str:
    return answered(source, style, "CAST(e.label AS BOOLEAN) AS label")


def _asked(style: str, **_: Any) -> tuple[str, str]:
    return asked(style, "completion")


training_format = TrainingFormat(
    name="kto",
    about="Single answers, each desirable or undesirable: the shape of thumbs. An answer without "
    "feedback is neither.",
    params={"style": STYLE, "good": GOOD},
    expressions=("good",),
    texts=True,
    candidates=_candidates,
    payload=_payload,
    schema={
        "prompt": "What was asked: list of role and content, or text.",
        "completion": "What was answered.",
        "label": "true: desirable; false: undesirable.",
    },
    asked=_asked,
)
