"""A correction against the answer that it corrects."""

from __future__ import annotations

from workbench.pairs._pairs import PairSource


def _pairs(margin: float, per_prompt: int) -> str:
    return """
    SELECT r.request_id, NULL::VARCHAR AS other_id, [c.feedback_id] AS feedback_ids,
      c.feedback_ts AS label_ts, 1.0 AS strength,
      CASE WHEN coalesce(c.answer_length, 0) = 0 THEN 'no_answer'
        WHEN c.answer_key = r.answer_key THEN 'same_answer' END AS reason
    FROM records r JOIN last_corrections c ON r.request_id = c.request_id"""


pair_source = PairSource(
    name="correction",
    about="The last correction of an answer is preferred to the answer.",
    rank=0,
    pairs=_pairs,
)
