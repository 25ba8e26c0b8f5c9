"""What the project's own conditions leave out."""

from __future__ import annotations

from workbench.cleaners._cleaner import Cleaner
from workbench.engine import literal
from workbench.project import Cleaning


def _drop(cleaning: Cleaning, source: str, records: str) -> str:
    cases = " ".join(
        f"WHEN (\n{rule.where}\n) THEN {literal(f'rule:{rule.name}')}" for rule in cleaning.rules
    )
    # The conditions stand where they see the columns of `records` and no others.
    reason = f"CASE {cases} END" if cases else "CAST(NULL AS VARCHAR)"
    return f"""SELECT example_id, judged.reason, CAST(NULL AS VARCHAR) AS kept_id
FROM {source} AS example
JOIN (SELECT request_id, {reason} AS reason FROM {records}) AS judged USING (request_id)
WHERE judged.reason IS NOT NULL"""


cleaner = Cleaner(
    name="rules",
    about="Examples for whose inference a condition of the project holds (`rule:NAME`, the first "
    "that does). The conditions are those of `[cleaning.rules.NAME]`; without any, nothing is left "
    "out.",
    drop=_drop,
    configured=lambda cleaning: bool(cleaning.rules),
)
