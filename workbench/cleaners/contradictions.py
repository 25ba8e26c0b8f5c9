"""Examples of which others say the opposite."""

from __future__ import annotations

from workbench.cleaners._cleaner import Cleaner
from workbench.cleaners._repeats import digests
from workbench.guide import Param
from workbench.project import Cleaning

#: What must be the same, by the value of `over`.
_SAME = {"both": ("prompt", "answer"), "prompt": ("prompt",)}


def _drop(cleaning: Cleaning, source: str, records: str, over: str) -> str:
    return f"""SELECT unnest(examples) AS example_id, 'contradiction' AS reason,
  CAST(NULL AS VARCHAR) AS kept_id
FROM (
  SELECT list(example_id) AS examples FROM {source}
  WHERE prompt IS NOT NULL AND label IS NOT NULL
  GROUP BY {digests(*_SAME[over])} HAVING min(label) < max(label)
)"""


cleaner = Cleaner(
    name="contradictions",
    about="All examples with the same prompt and answer but different labels, and pairs that were "
    "preferred both ways (`contradiction`): none of them is known to be right.",
    params={
        "over": Param(
            default="both",
            about="What must be the same: prompt and answer, or the prompt whatever the answer.",
            choices=tuple(_SAME),
        )
    },
    drop=_drop,
)
