"""Feedback that stands in the inference log itself."""

from __future__ import annotations

from workbench.guess.draft import Draft, Signal
from workbench.guess.events import GLANCE, Event, given, write_query
from workbench.guess.inferences import row_key
from workbench.guess.names import IMPLICIT, words
from workbench.guess.profile import Column
from workbench.guess.signals import is_verdict
from workbench.guess.verdicts import (
    classified,
    judging_columns,
    left_over,
    map_texts,
    signal_name,
)  # fmt: skip


def map_same_file(draft: Draft, inferences: Draft) -> None:
    """Take the signals out of the inference log itself."""
    key = inferences.mapped.get("request_id")
    request_id = f"CAST({key.sql} AS VARCHAR)" if key is not None else row_key(draft)
    if "request_id" in inferences.asks:
        draft.ask("request_id", inferences.asks["request_id"].options, "as for the inferences")
    for name in ("ts", "user_id", "session_id", "trace_id"):
        column = inferences.mapped.get(name)
        if column is not None:
            draft.map(name, column, expression=inferences.columns[name].expression)
    if "ts" in draft.mapped:
        draft.note("the events have no time of their own: they are given that of the inference.")
    elif "ts" in inferences.asks:
        ask = inferences.asks["ts"]
        draft.ask("ts", ask.options, ask.question)
    else:
        draft.settings["clock"] = "none"
    taken = inferences.used
    judging = [c for c in judging_columns(draft) if c.path not in taken]
    judging = [c for c in judging if c.spoken != "score" or is_verdict(c.domain)]
    map_texts(draft)
    comment = draft.mapped.get("corrected_output")
    events = []
    for column in judging:
        draft.mapped[f"signal:{column.name}"] = column
        name = signal_name(column)
        draft.signals.append(classified(draft, inferences, name, column))
        events.append(Event(name, column.text_sql, given(column)))
    for column in draft.free:
        if column.path in taken or len(column.path) > 1 or not _acted(column):
            continue
        draft.mapped[f"signal:{column.name}"] = column
        name = _action(column)
        empty = "('', '[]', 'null', 'None')"
        text = _list_text(column)
        value = f"CASE WHEN {text} NOT IN {empty} THEN 1 ELSE 0 END"
        events.append(Event(name, f"CAST({value} AS VARCHAR)", f"{column.sql} IS NOT NULL"))
        draft.signals.append(Signal(name, "binary"))
        draft.note(
            f"{column.name} holds lists of what a user did: each row becomes one event {name!r}, "
            f"1 where the list is not empty, else 0: {GLANCE}."
        )
    if comment is not None:
        draft.signals.append(Signal("correction", "correction"))
        events.append(Event("correction", "NULL", given(comment)))
    if not events:
        left = [c for c in left_over(draft) if c.path not in taken]
        draft.ask("value", left, "which column is the feedback?")
        return
    if judging:
        draft.note(f"the feedback is taken out of the inference log by sql: {GLANCE}.")
    draft.mapped.pop("request_id", None)
    write_query(draft, events, request_id)


def _list_text(column: Column) -> str:
    if column.nested and column.type != "JSON":
        return f"CAST(to_json({column.sql}) AS VARCHAR)"
    return f"trim(CAST({column.sql} AS VARCHAR))"


def _acted(column: Column) -> bool:
    """Whether a column lists what a user did with the answer."""
    actions = set(words(column.path[-1])) & set(IMPLICIT)
    return bool(actions) and column.share("lists") > 0.98


_DONE = {
    "copy": "copied", "click": "clicked", "accept": "accepted", "paste": "pasted",
    "like": "liked", "share": "shared", "apply": "applied", "insert": "inserted",
    "purchase": "purchased", "action": "acted",
}  # fmt: skip


def _action(column: Column) -> str:
    for word in words(column.path[-1]):
        if word in IMPLICIT:
            return _DONE.get(word, word)
    return column.path[-1]
