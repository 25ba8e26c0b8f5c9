"""The query that makes one event of each signal in a row."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.guess.draft import Draft
from workbench.guess.files import literal
from workbench.guess.profile import Column

GLANCE = "please glance at this"


@dataclass(frozen=True)
class Event:
    """One event that a row of the source becomes."""

    name: str
    value: str
    where: str


def given(column: Column) -> str:
    """Return the SQL condition that a row has a value in `column`."""
    return f"nullif(trim({column.text_sql}), '') IS NOT NULL"


def write_query(draft: Draft, events: list[Event], request_id: str | None = None) -> None:
    """Write the query that makes one event per signal; its columns are named as the contract's."""
    kept = {
        name: (line.expression, draft.mapped[name].sql)
        for name, line in draft.columns.items()
        if name in draft.mapped and name not in ("name", "value", "feedback_id", "corrected_output")
    }
    correction = draft.mapped.get("corrected_output")
    event_id = draft.mapped.get("feedback_id")
    parts = []
    for event in events:
        picks = ["source_file", "source_row"]
        if request_id is not None:
            picks.append(f"{request_id} AS request_id")
        if event_id is not None:
            suffix = literal(":" + event.name)
            picks.append(f"CAST({event_id.sql} AS VARCHAR) || {suffix} AS feedback_id")
        for name, (expression, sql) in kept.items():
            picks.append(
                f"{sql if expression == draft.mapped[name].mapping else expression} AS {name}"
            )
        picks.append(f"{literal(event.name)} AS name")
        picks.append(f"{event.value} AS value")
        if correction is not None:
            own = correction.sql if event.name == "correction" else "NULL"
            picks.append(f"{own} AS corrected_output")
        parts.append(f"SELECT {', '.join(picks)}\nFROM source\nWHERE {event.where}")
    draft.sql = "\nUNION ALL\n".join(parts)
    for name in (*kept, "feedback_id", "corrected_output"):
        draft.columns.pop(name, None)
