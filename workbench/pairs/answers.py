"""A better against a worse answer to the same prompt: regenerations, A/B arms, rated twice."""

from __future__ import annotations

from workbench.pairs._pairs import PairSource


def _pairs(margin: float, per_prompt: int) -> str:
    return f"""
    WITH one_each AS (
      SELECT * FROM records WHERE reward IS NOT NULL AND prompt_key IS NOT NULL
      QUALIFY row_number() OVER (PARTITION BY prompt_key, answer_key
        ORDER BY ts NULLS LAST, request_id) = 1
    ), ranked AS (
      SELECT *,
        row_number() OVER (PARTITION BY prompt_key ORDER BY reward DESC, request_id) AS best,
        row_number() OVER (PARTITION BY prompt_key ORDER BY reward, request_id DESC) AS worst
      FROM one_each
    )
    SELECT b.request_id, w.request_id AS other_id,
      list_concat(b.feedback_ids, w.feedback_ids) AS feedback_ids,
      greatest(b.label_ts, w.label_ts) AS label_ts, b.reward - w.reward AS strength,
      NULL::VARCHAR AS reason
    FROM ranked b JOIN ranked w ON b.prompt_key = w.prompt_key AND b.best = w.worst
    WHERE b.best <= {int(per_prompt)} AND b.reward > w.reward
      AND b.reward - w.reward >= {float(margin)!r}"""


pair_source = PairSource(
    name="answers",
    about="Of several answers to the same prompt, the one with the highest reward is preferred to "
    "the one with the lowest, if they are far enough apart.",
    rank=3,
    pairs=_pairs,
)
