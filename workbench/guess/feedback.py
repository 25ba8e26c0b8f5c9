"""The mapping of the feedback file."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.guess.clock import looks_like_index, set_clock, set_received_at
from workbench.guess.draft import Draft, Line, Signal
from workbench.guess.files import literal
from workbench.guess.inferences import people, row_key
from workbench.guess.keys import Join
from workbench.guess.names import (
    IMPLICIT,
    LABELS,
    RATINGS,
    THUMBS,
    Evidence,
    evidence,
    is_about,
    words,
)  # fmt: skip
from workbench.guess.profile import Column
from workbench.guess.signals import classify, is_verdict

GLANCE = "please glance at this"


@dataclass(frozen=True)
class _Event:
    """One event that a row of the source becomes."""

    name: str
    value: str
    where: str


def map_feedback(draft: Draft, inferences: Draft, join: Join, *, same_file: bool) -> None:
    """Fill `draft` with what the feedback file says."""
    if same_file:
        _map_same_file(draft, inferences)
        return
    _target(draft, join)
    _feedback_id(draft)
    set_clock(draft, what="feedback event")
    set_received_at(draft)
    _raters(draft)
    _texts(draft)
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
        if not draft.sample.unique(column):
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


def _texts(draft: Draft) -> None:
    for name in ("corrected_output", "comment"):
        called = [c for c in draft.named(name) if c.text or (c.filled and not c.numeric)]
        called = [c for c in called if not is_verdict(c.domain)]
        if len(called) == 1:
            draft.map(name, called[0])
        elif called:
            draft.ask(name, called, f"which column is the {name}?")


def _judging(draft: Draft) -> list[Column]:
    """Free columns that are called like a signal, or like a value."""
    return [
        c
        for c in draft.free
        if not c.nested and (
            evidence("value", c.path)
            or any(is_about(c.path, names) for names in (THUMBS, RATINGS, LABELS))
        )
    ]  # fmt: skip


def _values(draft: Draft, inferences: Draft) -> None:
    names = [
        c
        for c in draft.named("name")
        if c.key_like or (c.few_values and not c.numeric and not c.nested)
    ]
    names = [c for c in names if not c.numeric and c.stats["distinct"] <= 30]
    exact = [c for c in names if evidence("name", c.path) is Evidence.EXACT]
    names = exact or names
    judging = [c for c in _judging(draft) if c not in names]
    valued = [c for c in judging if evidence("value", c.path)]
    if {"chosen_id", "rejected_id"} <= set(draft.columns) and not judging:
        draft.columns["name"] = Line("'preference'", "a constant")
        draft.signals.append(Signal("preference", "preference"))
        return
    if len(names) > 1:
        draft.ask("name", names, "which column is the name of the signal?")
        return
    if (names and len(judging) <= 1) or (len(valued) == 1 and names):
        value = valued[0] if valued else (judging[0] if judging else _only_left(draft, names))
        draft.map("name", names[0])
        if value is None:
            if "corrected_output" in draft.columns:
                return
            draft.ask("value", _left(draft), "which column is the value of the signal?")
            return
        draft.map("value", value)
        _named_signals(draft, inferences, names[0], value)
        return
    if not judging and "corrected_output" in draft.columns:
        draft.columns["name"] = Line("'correction'", "a constant")
        draft.signals.append(Signal("correction", "correction"))
        return
    if not judging:
        only = _only_left(draft, [])
        if only is None:
            draft.ask("value", _left(draft), "which column is the value of the signal?")
            return
        judging = [only]
    if len(judging) == 1 and "corrected_output" not in draft.columns:
        _one_signal(draft, inferences, judging[0])
        return
    _several_signals(draft, inferences, judging)


def _left(draft: Draft) -> list[Column]:
    return [c for c in draft.free if not c.nested and not looks_like_index(c) and not c.temporal]


def _only_left(draft: Draft, names: list[Column]) -> Column | None:
    left = [c for c in _left(draft) if c not in names]
    return left[0] if len(left) == 1 else None


def _signal_name(column: Column) -> str:
    if evidence("value", column.path):
        return "feedback"
    return column.path[-1]


def _one_signal(draft: Draft, inferences: Draft, column: Column) -> None:
    name = _signal_name(column)
    signal = _classified(draft, inferences, name, column)
    draft.map("value", column)
    draft.columns["name"] = Line(literal(name), "a constant: the file holds one signal")
    draft.signals.append(signal)


def _classified(draft: Draft, inferences: Draft, name: str, column: Column) -> Signal:
    prediction = inferences.mapped.get("prediction")
    return classify(
        name,
        column.path[-1],
        draft.sample.all_values(column),
        classes=inferences.sample.all_values(prediction) if prediction else {},
        agreement=_agreement(draft, inferences, column),
        numeric=column.numeric,
        prose=column.text,
    )


def _agreement(draft: Draft, inferences: Draft, column: Column) -> float | None:
    """Cohen's kappa of a value and the prediction, over the joined samples."""
    prediction, key = inferences.mapped.get("prediction"), inferences.mapped.get("request_id")
    target = draft.mapped.get("request_id")
    if prediction is None or key is None or target is None:
        return None

    def plain(column: Column) -> str:
        text = f"lower(trim(CAST({column.sql} AS VARCHAR), ' \"'))"
        text = f"regexp_replace({text}, '\\.0$', '')"
        return f"CASE {text} WHEN 'true' THEN '1' WHEN 'false' THEN '0' ELSE {text} END"

    joined = (
        f"(SELECT p, v FROM (SELECT CAST({key.sql} AS VARCHAR) AS k, {plain(prediction)} AS p "
        f"FROM {inferences.sample.view}) JOIN (SELECT CAST({target.sql} AS VARCHAR) AS k, "
        f"{plain(column)} AS v FROM {draft.sample.view}) USING (k) "
        "WHERE p IS NOT NULL AND v IS NOT NULL)"
    )
    rows = draft.sample.connection.execute(
        f"SELECT p, v, count(*) FROM {joined} GROUP BY ALL"
    ).fetchall()
    n = sum(count for *_, count in rows)
    if n < 20:
        return None
    same = sum(count for p, v, count in rows if p == v) / n
    by_p: dict[str, float] = {}
    by_v: dict[str, float] = {}
    for p, v, count in rows:
        by_p[p] = by_p.get(p, 0) + count / n
        by_v[v] = by_v.get(v, 0) + count / n
    chance = sum(share * by_v.get(value, 0) for value, share in by_p.items())
    return (same - chance) / (1 - chance) if chance < 1 else None


def _named_signals(draft: Draft, inferences: Draft, names: Column, value: Column) -> None:
    """Classify each signal of a file whose rows say which signal they are."""
    prediction = inferences.mapped.get("prediction")
    classes = inferences.sample.all_values(prediction) if prediction else {}
    rows = draft.sample.connection.execute(
        f"SELECT CAST({names.sql} AS VARCHAR) AS s, CAST({value.sql} AS VARCHAR) AS v, count(*) "
        f"FROM {draft.sample.view} WHERE s IS NOT NULL AND v IS NOT NULL GROUP BY ALL ORDER BY 1, 2"
    ).fetchall()
    found: dict[str, dict[str, int]] = {}
    for signal, text, count in rows:
        if text.strip():
            found.setdefault(signal, {})[text] = count
    for signal, values in found.items():
        numeric = all(_is_number(text) for text in values)
        prose = sum(" " in text for text in values) > 0.3 * len(values) and not numeric
        few = values if len(values) <= 60 and not (prose and len(values) > 12) else {}
        draft.signals.append(
            classify(signal, "", few, classes=classes, agreement=None, numeric=numeric, prose=prose)
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _several_signals(draft: Draft, inferences: Draft, judging: list[Column]) -> None:
    """Turn a row with several signals into one event for each."""
    events = []
    for column in judging:
        name = _signal_name(column)
        draft.signals.append(_classified(draft, inferences, name, column))
        events.append(_Event(name, f"CAST({column.sql} AS VARCHAR)", _given(column)))
    correction = draft.mapped.get("corrected_output")
    if correction is not None:
        draft.signals.append(Signal("correction", "correction"))
        events.append(_Event("correction", "NULL", _given(correction)))
    listed = ", ".join(column.name for column in judging)
    draft.note(f"a row holds several signals ({listed}); sql makes each an event: {GLANCE}.")
    _hatch(draft, events)


def _given(column: Column) -> str:
    return f"nullif(trim(CAST({column.sql} AS VARCHAR)), '') IS NOT NULL"


def _hatch(draft: Draft, events: list[_Event], request_id: str | None = None) -> None:
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
        picks = []
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


def _map_same_file(draft: Draft, inferences: Draft) -> None:
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
    judging = [c for c in _judging(draft) if c.path not in taken]
    judging = [c for c in judging if c.spoken != "score" or is_verdict(c.domain)]
    _texts(draft)
    comment = draft.mapped.get("corrected_output")
    events = []
    for column in judging:
        draft.mapped[f"signal:{column.name}"] = column
        name = _signal_name(column)
        draft.signals.append(_classified(draft, inferences, name, column))
        events.append(_Event(name, f"CAST({column.sql} AS VARCHAR)", _given(column)))
    for column in draft.free:
        if column.path in taken or len(column.path) > 1 or not _acted(column):
            continue
        draft.mapped[f"signal:{column.name}"] = column
        name = _action(column)
        empty = "('', '[]', 'null', 'None')"
        text = _list_text(column)
        value = f"CASE WHEN {text} NOT IN {empty} THEN 1 ELSE 0 END"
        events.append(_Event(name, f"CAST({value} AS VARCHAR)", f"{column.sql} IS NOT NULL"))
        draft.signals.append(Signal(name, "binary"))
        draft.note(
            f"{column.name} holds lists of what a user did: each row becomes one event {name!r}, "
            f"1 where the list is not empty, else 0: {GLANCE}."
        )
    if comment is not None:
        draft.signals.append(Signal("correction", "correction"))
        events.append(_Event("correction", "NULL", _given(comment)))
    if not events:
        left = [c for c in _left(draft) if c.path not in taken]
        draft.ask("value", left, "which column is the feedback?")
        return
    if judging:
        draft.note(f"the feedback is taken out of the inference log by sql: {GLANCE}.")
    draft.mapped.pop("request_id", None)
    _hatch(draft, events, request_id)


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
