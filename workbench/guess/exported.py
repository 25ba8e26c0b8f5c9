"""The draft of a table that another system exported."""

from __future__ import annotations

from workbench import contract
from workbench.guess.draft import Draft
from workbench.guess.verdicts import named_signals
from workbench.importers import importers


def map_exported(draft: Draft, inferences: Draft) -> None:
    """Take the columns as they are named; of feedback, say what its signals mean."""
    for name in contract.table(draft.table).columns:
        column = draft.sample.find(name)
        if column is not None and column.filled:
            draft.map(name, column)
    title = importers.get(draft.sample.group.format).title
    draft.note(f"{draft.sample.group.title} is an export of {title}: its importer maps it.")
    if draft.table == "feedback" and {"name", "value"} <= set(draft.mapped):
        named_signals(draft, inferences, draft.mapped["name"], draft.mapped["value"])
