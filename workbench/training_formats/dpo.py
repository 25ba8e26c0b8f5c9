"""Direct preference optimisation: two answers to one prompt, one preferred (arXiv:2305.18290)."""

from __future__ import annotations

from typing import Any

from workbench.guide import Param
from workbench.pairs import candidates_sql, chosen_sources
from workbench.training_formats._format import STYLE, TrainingFormat
from workbench.training_formats._texts import answer, prompt


def _candidates(sources: str, margin: float, per_prompt: int, **_: Any) -> str:
    return candidates_sql(chosen_sources(sources), margin=margin, per_prompt=per_prompt)


def _payload(source: str, style: str, **_: Any) -> str:
    chosen = "CASE WHEN e.source = 'correction' THEN c.corrected_output ELSE t.output END"
    rejected = "CASE WHEN e.source = 'correction' THEN t.output ELSE o.output END"
    return (
        f"SELECT e.example_id, {prompt(style)} AS prompt, {answer(style, chosen)} AS chosen, "
        f"{answer(style, rejected)} AS rejected FROM {source} e "
        "JOIN texts t ON e.request_id = t.request_id "
        "LEFT JOIN texts o ON e.other_id = o.request_id "
        "LEFT JOIN corrections c ON e.feedback_ids[1] = c.feedback_id AND e.source = 'correction'"
    )


def _asked(style: str, **_: Any) -> tuple[str, str]:
    written = ("as_written(prompt)", "as_written(chosen)", "as_written(rejected)")
    question, one, two = ("prompt", "chosen", "rejected") if style == "text" else written
    # Which of the two is preferred is the label.
    return question, f"least({one}, {two}) || chr(31) || greatest({one}, {two})"


training_format = TrainingFormat(
    name="dpo",
    about="Pairs of answers to the same prompt, one of them preferred, from every source of "
    "preference: corrections, preferences, better and worse answers, thumbs.",
    params={
        "style": STYLE,
        "sources": Param(
            default="all",
            about="Sources of pairs, separated by commas: correction, preference, thumbs, answers.",
        ),
        "margin": Param(
            default=0.25,
            about="Least difference of the rewards of two answers to the same prompt.",
            minimum=0.0,
            maximum=1.0,
        ),
        "per_prompt": Param(
            default=1,
            about="Most pairs of better and worse answers per prompt: the best with the worst "
            "first.",
            minimum=1,
        ),
    },
    texts=True,
    pairs=True,
    candidates=_candidates,
    payload=_payload,
    schema={
        "prompt": "What was asked: list of role and content, or text.",
        "chosen": "The preferred answer.",
        "rejected": "The other one.",
    },
    asked=_asked,
)
