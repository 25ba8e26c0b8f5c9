"""Examples that are there twice."""

from __future__ import annotations

from workbench.cleaners._cleaner import Cleaner
from workbench.cleaners._repeats import all_but_first, digests
from workbench.project import Cleaning


def _drop(cleaning: Cleaning, source: str, records: str) -> str:
    known = f"(SELECT * FROM {source} WHERE prompt IS NOT NULL)"
    return all_but_first(known, digests("prompt", "answer", "label"), "exact_duplicate")


cleaner = Cleaner(
    name="exact_duplicates",
    about="Of examples with the same prompt, answer and label, all but the earliest "
    "(`exact_duplicate`). NULL answers are the same, and so are NULL labels.",
    drop=_drop,
)
