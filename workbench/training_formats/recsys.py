"""Recommendation: what was shown to whom, with what probability, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.training_formats._format import TrainingFormat
from workbench.training_formats._texts import UNLABELLED, of_each_inference


def _candidates(**_: Any) -> str:
    return of_each_inference(
        "CAST(r.reward AS VARCHAR)",
        f"CASE WHEN r.item_id IS NULL THEN 'no_item' WHEN r.reward IS NULL THEN {UNLABELLED} END",
    )


def _payload(source: str, columns: Sequence[str], **_: Any) -> str:
    context = "t.features" if "features" in columns else "NULL::VARCHAR"
    user = "t.user_id" if "user_id" in columns else "NULL::VARCHAR"
    return (
        f"SELECT e.example_id, {user} AS user_id, t.item_id, {context} AS context, t.position, "
        "t.propensity, t.reward, t.ts "
        f"FROM {source} e JOIN texts t ON e.request_id = t.request_id"
    )


def _asked(**_: Any) -> tuple[str, str]:
    return (
        "concat_ws('|', user_id, CAST(to_json(context) AS VARCHAR))",
        "concat_ws('|', item_id, position)",
    )


training_format = TrainingFormat(
    name="recsys",
    about="What was recommended to whom, where and with what probability, and its reward: for "
    "rankers and for off-policy learning. What was shown and has no event is no negative.",
    candidates=_candidates,
    payload=_payload,
    schema={
        "user_id": "To whom; NULL where it is protected.",
        "item_id": "What.",
        "context": "Features of the inference.",
        "position": "Where in the list.",
        "propensity": "Probability with which it was shown there.",
        "reward": "Reward, 0 to 1.",
        "ts": "When.",
    },
    asked=_asked,
)
