"""Preference events: somebody compared two answers."""

from __future__ import annotations

from workbench.pairs._pairs import PairSource


def _pairs(margin: float, per_prompt: int) -> str:
    return """
    WITH said AS (
      SELECT *, least(chosen_request_id, rejected_request_id) AS one,
        greatest(chosen_request_id, rejected_request_id) AS two,
        lower(trim(value, '" ')) IN ('tie', 'equal', 'same', 'both', 'neither') AS tied
      FROM preferences
      QUALIFY row_number() OVER (PARTITION BY one, two, coalesce(rater_id, 'event:' || feedback_id)
        ORDER BY feedback_ts DESC NULLS LAST, feedback_id DESC) = 1
    ), counted AS (
      SELECT one, two, count(*) AS n,
        count(*) FILTER (coalesce(tied, false)) AS ties,
        count(*) FILTER (NOT coalesce(tied, false) AND chosen_request_id = one) AS ones,
        count(*) FILTER (NOT coalesce(tied, false) AND chosen_request_id = two) AS twos,
        list(feedback_id ORDER BY feedback_id) AS feedback_ids, max(feedback_ts) AS label_ts
      FROM said WHERE one <> two GROUP BY one, two
    )
    SELECT CASE WHEN ones >= twos THEN one ELSE two END AS request_id,
      CASE WHEN ones >= twos THEN two ELSE one END AS other_id,
      feedback_ids, label_ts, abs(ones - twos) / n AS strength,
      CASE WHEN ones = twos OR greatest(ones, twos) <= ties THEN 'tie' END AS reason
    FROM counted"""


pair_source = PairSource(
    name="preference",
    about="Of two answers that raters compared, the one that most preferred; each rater's last "
    "word counts, and a value such as tie is a vote for neither.",
    rank=1,
    pairs=_pairs,
)
