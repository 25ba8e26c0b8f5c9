"""Supervised fine-tuning: a prompt and the answer that should have been given."""

from __future__ import annotations

from typing import Any

from workbench.training_formats._format import GOOD, STYLE, TrainingFormat
from workbench.training_formats._texts import MISSING, UNLABELLED, answer, of_each_inference, prompt


def _candidates(target: str, good: str, **_: Any) -> str:
    if target == "prediction":
        return of_each_inference("NULL::VARCHAR", MISSING, source="output")
    return f"""
    SELECT r.request_id AS example_id, r.request_id, NULL::VARCHAR AS other_id,
      CASE WHEN c.feedback_id IS NULL THEN r.feedback_ids ELSE [c.feedback_id] END AS feedback_ids,
      NULL::VARCHAR AS label, coalesce(c.feedback_ts, r.label_ts) AS label_ts,
      NULL::DOUBLE AS strength,
      CASE WHEN c.feedback_id IS NULL THEN 'output' WHEN c.answer_key = r.answer_key
        THEN 'confirmed' ELSE 'correction' END AS source,
      CASE WHEN coalesce(r.prompt_length, 0) = 0 THEN 'no_prompt'
        WHEN c.answer_length > 0 THEN NULL
        WHEN coalesce(r.answer_length, 0) = 0 THEN 'no_answer'
        WHEN ({good}) THEN NULL WHEN ({good}) IS NULL THEN {UNLABELLED} ELSE 'not_good'
        END AS reason
    FROM records r LEFT JOIN last_corrections c ON r.request_id = c.request_id"""


def _payload(source: str, style: str, **_: Any) -> str:
    text = (
        "CASE WHEN e.source IN ('correction', 'confirmed') THEN c.corrected_output "
        "ELSE t.output END"
    )
    columns = (
        f"list_concat({prompt(style)}, {answer(style, text)}) AS messages"
        if style == "messages"
        else f"{prompt(style)} AS prompt, {answer(style, text)} AS completion"
    )
    return (
        f"SELECT e.example_id, {columns} FROM {source} e "
        "JOIN texts t ON e.request_id = t.request_id "
        "LEFT JOIN corrections c ON e.feedback_ids[1] = c.feedback_id "
        "AND e.source IN ('correction', 'confirmed')"
    )


def _asked(style: str, **_: Any) -> tuple[str, str]:
    if style == "text":
        return "prompt", "completion"
    return "as_written(messages[:-2])", "messages[-1].content"


training_format = TrainingFormat(
    name="sft",
    about="Prompts with the answer that should have been given: a person's correction where there "
    "is one, else an answer that was judged good.",
    params={"style": STYLE, "good": GOOD},
    expressions=("good",),
    targets=("label", "prediction"),
    texts=True,
    candidates=_candidates,
    payload=_payload,
    schema={
        "messages": "The conversation, the answer last: list of role and content.",
        "prompt, completion": "In their place where style='text'.",
    },
    asked=_asked,
)
