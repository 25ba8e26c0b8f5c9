"""Examples that say nearly the same."""

from __future__ import annotations

from workbench.cleaners._cleaner import Cleaner
from workbench.cleaners._repeats import all_but_first, digests
from workbench.cleaners._shingles import near_duplicate_clusters_sql
from workbench.guide import Param
from workbench.project import Cleaning

#: The text to compare, by the value of `over`.
_TEXTS = {
    "both": "prompt || chr(10) || coalesce(answer, '')",
    "prompt": "prompt",
    "answer": "answer",
}


def _drop(
    cleaning: Cleaning, source: str, records: str, threshold: float, shingle: int, over: str
) -> str:
    clusters = near_duplicate_clusters_sql(source, "example_id", _TEXTS[over], threshold, shingle)
    clustered = f"""(
  SELECT example_id, ts, label, cluster FROM {source}
  JOIN (
{clusters}
  ) AS near ON near.key = example_id
)"""
    return all_but_first(clustered, f"cluster, {digests('label')}", "near_duplicate")


cleaner = Cleaner(
    name="near_duplicates",
    about="Of examples that are alike and have the same label, all but the earliest "
    "(`near_duplicate`). Alike are texts whose sets of word shingles have a Jaccard similarity of "
    "at least the threshold, and what a chain of such texts connects; no pair is missed. Letter "
    "case, spaces and punctuation make no difference.",
    params={
        "threshold": Param(
            default=0.8, about="Least Jaccard similarity.", minimum=0.3, maximum=1.0
        ),
        "shingle": Param(
            default=3,
            about="Words in a shingle; a shorter text is one shingle.",
            minimum=1,
            maximum=20,
        ),
        "over": Param(default="both", about="The text to compare.", choices=tuple(_TEXTS)),
    },
    drop=_drop,
)
