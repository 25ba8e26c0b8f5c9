"""Secrets and personal data in the texts."""

from __future__ import annotations

from workbench.cleaners._cleaner import Cleaner
from workbench.engine import literal
from workbench.project import Cleaning


def _drop(cleaning: Cleaning, source: str, records: str) -> str:
    cases = [
        f"WHEN regexp_matches({column}, {literal(entry.pattern)}) "
        f"THEN {literal(f'pattern:{entry.name}')}"
        for entry in cleaning.patterns
        if entry.action == "drop"
        for column in entry.columns
    ]
    reason = f"CASE {' '.join(cases)} END" if cases else "CAST(NULL AS VARCHAR)"
    return f"""SELECT example_id, reason, CAST(NULL AS VARCHAR) AS kept_id
FROM (SELECT example_id, {reason} AS reason FROM {source})
WHERE reason IS NOT NULL"""


def _mask(cleaning: Cleaning, column: str, expression: str) -> str:
    for entry in cleaning.patterns:
        if entry.action == "mask" and column in entry.columns:
            # A backslash would stand for a group of the match.
            text = literal(entry.replace.replace("\\", "\\\\"))
            expression = f"regexp_replace({expression}, {literal(entry.pattern)}, {text}, 'g')"
    return expression


cleaner = Cleaner(
    name="patterns",
    about="Examples whose text matches a pattern of the project (`pattern:NAME`, the first that "
    "does), or the matches alone, which are then replaced. The patterns are those of "
    "`[cleaning.patterns.NAME]`; without any, nothing is left out or masked.",
    drop=_drop,
    mask=_mask,
    configured=lambda cleaning: any(entry.action == "drop" for entry in cleaning.patterns),
)
