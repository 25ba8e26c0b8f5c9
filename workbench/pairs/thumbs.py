"""A thumb up against a thumb down on the same prompt within one conversation."""

from __future__ import annotations

from workbench.pairs._pairs import PairSource


def _pairs(margin: float, per_prompt: int) -> str:
    return f"""
    WITH voted AS (
      SELECT r.request_id, r.session_id, r.prompt_key, avg(e.reward) AS mean_reward,
        list(e.feedback_id ORDER BY e.feedback_id) AS feedback_ids,
        max(e.feedback_ts) AS label_ts
      FROM records r JOIN events e ON r.request_id = e.request_id
      WHERE e.kind = 'binary' AND e.reward IS NOT NULL AND r.session_id IS NOT NULL
        AND r.prompt_key IS NOT NULL
      GROUP BY ALL
    ), ranked AS (
      SELECT *,
        row_number() OVER (PARTITION BY session_id, prompt_key, mean_reward > 0.5
          ORDER BY abs(mean_reward - 0.5) DESC, request_id) AS place
      FROM voted WHERE mean_reward <> 0.5
    )
    SELECT up.request_id, down.request_id AS other_id,
      list_concat(up.feedback_ids, down.feedback_ids) AS feedback_ids,
      greatest(up.label_ts, down.label_ts) AS label_ts,
      up.mean_reward - down.mean_reward AS strength, NULL::VARCHAR AS reason
    FROM ranked up JOIN ranked down ON up.session_id = down.session_id
      AND up.prompt_key = down.prompt_key AND up.place = down.place
      AND up.mean_reward > 0.5 AND down.mean_reward < 0.5
    WHERE up.place <= {int(per_prompt)}"""


pair_source = PairSource(
    name="thumbs",
    about="Within one conversation, an answer with thumbs up is preferred to one with thumbs down "
    "to the same prompt, as after a regeneration.",
    rank=2,
    pairs=_pairs,
)
