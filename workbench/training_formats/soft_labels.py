"""Classification with soft labels: the share of raters for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.training_formats._format import TrainingFormat
from workbench.training_formats._texts import UNLABELLED, of_each_inference

_VOTES = """(
  SELECT request_id, class, sum(1.0 / n) AS votes FROM (
    SELECT request_id, class, count(*) OVER (PARTITION BY request_id, rater) AS n FROM (
      SELECT request_id, coalesce(rater_id, 'event:' || feedback_id) AS rater,
        CASE WHEN kind = 'label' THEN class WHEN reward >= 0.5 THEN '1' ELSE '0' END AS class
      FROM events WHERE deciding
      QUALIFY row_number() OVER (PARTITION BY request_id, rater, name
        ORDER BY feedback_ts DESC NULLS LAST, feedback_id DESC) = 1
    )
  ) GROUP BY request_id, class
)"""


def _candidates(**_: Any) -> str:
    told = (
        "SELECT request_id, string_agg(class || '=' || CAST(votes AS VARCHAR), ' ' ORDER BY class) "
        f"AS label FROM {_VOTES} GROUP BY request_id"
    )
    return of_each_inference(
        "v.label",
        f"CASE WHEN v.label IS NULL THEN {UNLABELLED} END",
        source="votes",
        joined=f"LEFT JOIN ({told}) v ON r.request_id = v.request_id",
    )


def _payload(source: str, columns: Sequence[str], **_: Any) -> str:
    asked = ", ".join(f"t.{name}" for name in ("input", "features") if name in columns)
    return f"""
    SELECT e.example_id, {asked + ", " if asked else ""}v.classes, v.probabilities, v.n_raters
    FROM {source} e JOIN texts t ON e.request_id = t.request_id
    JOIN (
      SELECT request_id, list(class ORDER BY class) AS classes,
        list(votes / total ORDER BY class) AS probabilities, any_value(total) AS n_raters
      FROM (SELECT *, sum(votes) OVER (PARTITION BY request_id) AS total FROM {_VOTES})
      GROUP BY request_id
    ) v ON e.request_id = v.request_id"""


def _asked(columns: Sequence[str], **_: Any) -> tuple[str, str]:
    names = [name for name in ("input", "features") if name in columns]
    listed = ", ".join(f"CAST(to_json({name}) AS VARCHAR)" for name in names)
    return f"concat_ws('|', {listed})" if listed else "example_id", "NULL"


training_format = TrainingFormat(
    name="soft_labels",
    about="Inputs with the share of raters for each class: what is known when raters disagree. "
    "Each rater's last word counts, and no vote is averaged away.",
    candidates=_candidates,
    payload=_payload,
    schema={
        "input, features": "What was classified, where it is logged.",
        "classes": "Classes that were voted for, in alphabetical order.",
        "probabilities": "Share of the raters for each of them; they add up to 1.",
        "n_raters": "How many raters that are.",
    },
    asked=_asked,
)
