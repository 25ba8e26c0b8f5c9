"""The mapping of the feedback file."""

from __future__ import annotations

from workbench.guess.clock import looks_like_index, set_clock, set_received_at
from workbench.guess.draft import Draft, Line, Signal
from workbench.guess.events import GLANCE, Event, given, write_query
from workbench.guess.files import literal
from workbench.guess.inferences import people
from workbench.guess.keys import NEARLY_UNIQUE, Join, uniqueness
from workbench.guess.names import Evidence, evidence
from workbench.guess.profile import Column
from workbench.guess.same_file import map_same_file
from workbench.guess.verdicts import (
    classified,
    judging_columns,
    left_over,
    map_texts,
    named_signals,
    signal_name,
)  # fmt: skip

#: Names that say what a row is, not which signal it holds, unless a value stands beside them.
_VAGUE_NAMES = frozenset({"name", "type", "action", "event"})


def map_feedback(draft: Draft, inferences: Draft, join: Join, *, same_file: bool) -> None:
    """Fill `draft` with what the feedback file says."""
    if same_file:
        map_same_file(draft, inferences)
        return
    _target(draft, join)
    _feedback_id(draft)
    set_clock(draft, what="feedback event")
    set_received_at(draft)
    _raters(draft)
    map_texts(draft)
    _values(draft, inferences)


def _target(draft: Draft, join: Join) -> None:
    if join.target is not None:
        draft.map(
            "request_id", join.target, why=f"{join.overlap:.0%} of its values are inference keys"
        )
        return
    if join.wider is not None:
        _wider(draft, join)
        return
    question = "which column names the inference that is judged?"
    if not join.keys:
        question += " No column shares its values with the key of the inferences for certain."
    draft.ask("request_id", join.targets, question)


def _wider(draft: Draft, join: Join) -> None:
    link = join.wider
    assert link is not None
    name = "trace_id" if evidence("trace_id", link.key.path) else "session_id"
    scope = name.removesuffix("_id")
    draft.map(name, link.target, why=f"its values are those of {link.key.name}")
    draft.columns["scope"] = Line(f"'{scope}'", f"each event judges a whole {scope}")
    draft.ask(
        "request_id", [link.target],
        f"{link.target.name} holds the {name} of the inferences ({link.key.name}), not their key: "
        f"is the feedback about the whole {scope}?",
    )  # fmt: skip


def _feedback_id(draft: Draft) -> None:
    for column in draft.named("feedback_id", least=Evidence.GENERIC):
        if not column.key_like or looks_like_index(column):
            continue
        level = evidence("feedback_id", column.path)
        repeats = not draft.sample.unique(column)
        if repeats and level >= Evidence.SYNONYM:
            share = uniqueness(draft.sample, column)
            if share >= NEARLY_UNIQUE:
                draft.note(f"{column.name} repeats in few rows, which count as duplicates.")
                repeats = False
        if repeats:
            if level >= Evidence.SYNONYM:
                draft.ask(
                    "feedback_id", [column],
                    f"{column.name} repeats, and repeated events are dropped as duplicates: is it "
                    "the key of the event?",
                )  # fmt: skip
            continue
        # A generic name is sure only where the key of the inference is another column.
        if level >= Evidence.SYNONYM or "request_id" in draft.columns:
            draft.map("feedback_id", column)
        return


def _raters(draft: Draft) -> None:
    people(
        draft,
        {
            "rater_id": "the rater",
            "user_id": "the user",
            "session_id": "the session",
            "trace_id": "the trace",
        },
    )
    for name in ("model_version", "device_type", "geolocation", "channel", "rater_kind", "scope"):
        called = draft.named(name)
        if name not in draft.columns and len(called) == 1 and draft.fits(name, called[0]):
            exact = evidence(name, called[0].path) is Evidence.EXACT
            if exact or called[0].few_values:
                draft.map(name, called[0])
    for name in ("chosen_id", "rejected_id", "retracts"):
        called = [c for c in draft.named(name) if c.key_like]
        if len(called) == 1:
            draft.map(name, called[0])


def _values(draft: Draft, inferences: Draft) -> None:
    names = [
        c
        for c in draft.named("name")
        if c.key_like or (c.few_values and not c.numeric and not c.nested)
    ]
    names = [c for c in names if not c.numeric and c.stats["distinct"] <= 30]
    exact = [c for c in names if evidence("name", c.path) is Evidence.EXACT]
    names = exact or names
    if not any(evidence("value", c.path) for c in draft.free):
        names = [c for c in names if c.spoken not in _VAGUE_NAMES]
    judging = [c for c in judging_columns(draft) if c not in names]
    valued = [c for c in judging if evidence("value", c.path)]
    if {"chosen_id", "rejected_id"} <= set(draft.columns) and not judging:
        draft.columns["name"] = Line("'preference'", "a constant")
        draft.signals.append(Signal("preference", "preference"))
        return
    if len(names) > 1:
        draft.ask("name", names, "which column is the name of the signal?")
        return
    if (names and len(judging) <= 1) or (len(valued) == 1 and names):
        value = valued[0] if valued else (judging[0] if judging else _onlyleft_over(draft, names))
        if value is None and "corrected_output" not in draft.columns:
            draft.ask("value", left_over(draft), "which column is the value of the signal?")
            draft.ask("name", names, "is this the name of the signal, or its value?")
            return
        draft.map("name", names[0])
        if value is None:
            return
        draft.map("value", value)
        named_signals(draft, inferences, names[0], value)
        return
    if not judging and "corrected_output" in draft.columns:
        draft.columns["name"] = Line("'correction'", "a constant")
        draft.signals.append(Signal("correction", "correction"))
        return
    if not judging and "comment" in draft.columns and not left_over(draft):
        draft.columns["value"] = draft.columns["comment"]
        draft.columns["name"] = Line("'comment'", "a constant")
        draft.signals.append(Signal("comment", "comment"))
        return
    if not judging:
        only = _onlyleft_over(draft, [])
        if only is None:
            draft.ask("value", left_over(draft), "which column is the value of the signal?")
            return
        judging = [only]
        draft.note(f"{only.name} is taken as the value, for nothing else is left.")
    if len(judging) == 1 and "corrected_output" not in draft.columns:
        _one_signal(draft, inferences, judging[0])
        return
    _several_signals(draft, inferences, judging)


def _onlyleft_over(draft: Draft, names: list[Column]) -> Column | None:
    left = [c for c in left_over(draft) if c not in names]
    return left[0] if len(left) == 1 else None


def _one_signal(draft: Draft, inferences: Draft, column: Column) -> None:
    name = signal_name(column)
    signal = classified(draft, inferences, name, column)
    draft.map("value", column)
    draft.columns["name"] = Line(literal(name), "a constant: the file holds one signal")
    draft.signals.append(signal)


def _several_signals(draft: Draft, inferences: Draft, judging: list[Column]) -> None:
    """Turn a row with several signals into one event for each."""
    events = []
    for column in judging:
        name = signal_name(column)
        draft.signals.append(classified(draft, inferences, name, column))
        events.append(Event(name, column.text_sql, given(column)))
    correction = draft.mapped.get("corrected_output")
    if correction is not None:
        draft.signals.append(Signal("correction", "correction"))
        events.append(Event("correction", "NULL", given(correction)))
    listed = ", ".join(column.name for column in judging)
    draft.note(f"a row holds several signals ({listed}); sql makes each an event: {GLANCE}.")
    write_query(draft, events)
