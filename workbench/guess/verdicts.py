"""Which feedback columns hold verdicts, and what kind of signal each is."""

from __future__ import annotations

from workbench.guess.clock import looks_like_index
from workbench.guess.draft import Draft, Signal
from workbench.guess.names import (
    LABELS,
    RATINGS,
    THUMBS,
    claimed_by_another,
    evidence,
    is_about,
)  # fmt: skip
from workbench.guess.profile import Column
from workbench.guess.signals import classify, is_verdict


def judging_columns(draft: Draft) -> list[Column]:
    """Free columns that are called like a signal, or like a value."""
    return [
        c
        for c in draft.free
        if not c.nested and (
            evidence("value", c.path)
            or any(is_about(c.path, names) for names in (THUMBS, RATINGS, LABELS))
        )
    ]  # fmt: skip


def left_over(draft: Draft) -> list[Column]:
    """Return the free columns that could still be the value of a signal."""
    return [
        c
        for c in draft.free
        if not (
            c.nested or c.temporal or looks_like_index(c) or claimed_by_another("value", c.path)
        )
    ]


def map_texts(draft: Draft) -> None:
    """Map corrected outputs and comments."""
    for name in ("corrected_output", "comment"):
        called = [c for c in draft.named(name) if c.text or (c.filled and not c.numeric)]
        called = [c for c in called if not is_verdict(c.domain)]
        if len(called) == 1:
            draft.map(name, called[0])
        elif called:
            draft.ask(name, called, f"which column is the {name}?")


def signal_name(column: Column) -> str:
    """Return the name of the signal that `column` holds."""
    if evidence("value", column.path):
        return "feedback"
    return column.path[-1]


def classified(draft: Draft, inferences: Draft, name: str, column: Column) -> Signal:
    """Decide what kind of signal `column` holds."""
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
        text = f"lower(trim({column.text_sql}))"
        text = f"regexp_replace({text}, '\\.0$', '')"
        return f"CASE {text} WHEN 'true' THEN '1' WHEN 'false' THEN '0' ELSE {text} END"

    joined = (
        f"(SELECT p, v FROM (SELECT {key.text_sql} AS k, {plain(prediction)} AS p "
        f"FROM {inferences.sample.view}) JOIN (SELECT {target.text_sql} AS k, "
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


def named_signals(draft: Draft, inferences: Draft, names: Column, value: Column) -> None:
    """Classify each signal of a file whose rows say which signal they are."""
    prediction = inferences.mapped.get("prediction")
    classes = inferences.sample.all_values(prediction) if prediction else {}
    rows = draft.sample.connection.execute(
        f"SELECT {names.text_sql} AS s, {value.text_sql} AS v, count(*) "
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
