"""Kahneman-Tversky optimisation: single answers, each desirable or not (arXiv:2402.01306)."""

from __future__ import annotations

from typing import Any

from workbench.training_formats._format import GOOD, STYLE, TrainingFormat
from workbench.training_formats._texts import MISSING, UNLABELLED, answer, asked, prompt


def _candidates(good: str, **_: Any) -> str:
    return f"""
    SELECT r.request_id AS example_id, r.request_id, NULL::VARCHAR AS other_id, r.feedback_ids,
      CASE WHEN ({good}) THEN 'true' WHEN NOT ({good}) THEN 'false' END AS label, r.label_ts,
      NULL::DOUBLE AS strength, 'feedback' AS source,
      coalesce({MISSING}, CASE WHEN ({good}) IS NULL THEN {UNLABELLED} END) AS reason
    FROM records r"""


def _payload(source: str, style: str, **_: Any) -> str:
    return (
        f"SELECT e.example_id, {prompt(style)} AS prompt, {answer(style)} AS completion, "
        f"CAST(e.label AS BOOLEAN) AS label FROM {source} e "
        "JOIN texts t ON e.request_id = t.request_id"
    )


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
