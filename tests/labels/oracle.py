"""Rewards, labels and the calibration pair in plain Python, with exact fractions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import combinations

from tests.soundness.tables import Row
from workbench.project import Signal

HALF = Fraction(1, 2)
#: How far raters are believed under ``rater_weighted``; None stands for all others.
WEIGHTS = {"a": Fraction(3), "b": Fraction(1, 2), "nobody": Fraction(0), None: Fraction(3, 4)}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def canonical(text: str | None) -> str | None:
    """A value as it is compared: unquoted, integral numbers without .0, booleans 1 and 0."""
    if text is None:
        return None
    bare = text.strip()
    if len(bare) > 1 and bare[0] == bare[-1] == '"':
        bare = json.loads(bare)
    if re.fullmatch(r"[+-]?\d+\.0+", bare):
        bare = bare.split(".")[0]
    return {"true": "1", "false": "0"}.get(bare.lower(), bare)


def number(text: str | None) -> Fraction | None:
    bare = canonical(text)
    return Fraction(bare) if bare is not None and NUMBER.fullmatch(bare) else None


def kind(event: Row, signals: Mapping[str, Signal]) -> str | None:
    """As configured for the name, else the event's own, else by what the event carries."""
    if event["retracts"] is not None:
        return None
    if event["name"] in signals:
        return signals[event["name"]].kind
    if event["kind"] is not None:
        return str(event["kind"])
    if event["corrected_output"] is not None:
        return "correction"
    if (event["chosen_id"] or event["rejected_id"]) is not None:
        return "preference"
    return None


def own_reward(event: Row, signals: Mapping[str, Signal]) -> Fraction | None:
    """The reward as far as it follows from the event alone."""
    signal = signals.get(event["name"])
    of_kind = kind(event, signals)
    if of_kind in ("binary", "implicit"):
        if signal is not None and signal.positive is not None:
            return None if event["positive"] is None else Fraction(event["positive"])
        return {"1": Fraction(1), "0": Fraction(0)}.get(canonical(event["value"]) or "")
    if of_kind == "rating" and signal is not None and signal.scale is not None:
        value = number(event["value"])
        low, high = (Fraction(str(end)) for end in signal.scale)
        if value is None or not low <= value <= high:
            return None
        return (value - low) / (high - low)
    return None


def is_bad(event: Row, signals: Mapping[str, Signal], classes: Sequence[str]) -> bool:
    """Whether the value lies outside of its signal's scale or kind."""
    if event["retracts"] is not None:
        return False
    of_kind = kind(event, signals)
    if of_kind in ("binary", "implicit") or (of_kind == "rating" and event["name"] in signals):
        return own_reward(event, signals) is None
    if of_kind == "label":
        known = [canonical(name) for name in classes]
        named = canonical(event["value"])
        return named is None or bool(known and named not in known)
    return of_kind == "correction" and event["corrected_output"] is None


def reward(event: Row, prediction: str | None) -> Fraction | None:
    """The reward of an attributed event, whose own reward is known."""
    if event["kind"] == "label":
        named, predicted = canonical(event["value"]), canonical(prediction)
        return None if named is None or predicted is None else Fraction(named == predicted)
    if event["kind"] == "correction":
        return None if event["same_output"] is None else Fraction(event["same_output"])
    return event["exact"]


def resolve(
    events: Sequence[Row],
    inferences: Sequence[Row],
    policy: str,
    signals: Sequence[str],
    maturity: timedelta,
    as_of: datetime | None,
) -> dict[str, Row]:
    """One label per inference with at least one attributed, mature, deciding event."""
    known = {inference["request_id"]: inference for inference in inferences}
    usable = []
    for event in events:
        if event["request_id"] is None or event["retracted"]:
            continue
        exact = reward(event, known[event["request_id"]]["prediction"])
        named = canonical(event["value"]) if event["kind"] == "label" else None
        if exact is not None or named is not None:
            usable.append({**event, "exact": exact, "class": named})
    if signals:
        usable = [event for event in usable if event["name"] in signals]
    elif any(event["kind"] == "label" for event in usable):
        usable = [event for event in usable if event["kind"] == "label"]

    result = {}
    for id_, inference in known.items():
        if maturity and (
            as_of is None or inference["ts"] is None or inference["ts"] + maturity > as_of
        ):
            continue
        mine = [event for event in usable if event["request_id"] == id_]
        # The latest event is last; events without a time count as the earliest.
        mine.sort(key=lambda e: (e["ts"] is not None, e["ts"] or 0, e["share"], e["feedback_id"]))
        if policy in ("latest_per_rater_then_mean", "rater_weighted"):
            mine = list({(_rater(event), event["name"]): event for event in mine}.values())
        if policy == "rater_weighted":
            mine = [
                {**e, "share": e["share"] * WEIGHTS.get(e["rater_id"], WEIGHTS[None])} for e in mine
            ]
        if mine:
            result[id_] = {**_label(mine, policy), **_counts(mine, inference)}
    return result


def _rater(event: Row) -> str:
    return f"rater {event['rater_id']}" if event["rater_id"] else f"event {event['feedback_id']}"


def _side(event: Row) -> str:
    if event["class"] is not None:
        return str(event["class"])
    return "1" if event["exact"] >= HALF else "0"


def _label(mine: Sequence[Row], policy: str) -> Row:
    classes = [event for event in mine if event["class"] is not None]
    voters = classes or mine
    of_kind = "label" if classes else "reward"
    rewarded = [event for event in mine if event["exact"] is not None]
    resolved = None
    if rewarded:
        total = sum((event["share"] * event["exact"] for event in rewarded), Fraction(0))
        weight = sum(event["share"] for event in rewarded)
        resolved = total / weight if weight else None
    counted: dict[str, Fraction] = {}
    for event in voters:
        counted[_side(event)] = counted.get(_side(event), Fraction(0)) + event["share"]
    votes = sorted(counted.items(), key=lambda vote: -vote[1])
    tie = len(votes) > 1 and votes[0][1] == votes[1][1]
    label: str | None = votes[0][0]
    if not votes[0][1]:
        nothing = {"label": None, "label_reason": "no_weight", "kind": of_kind}
        return {**nothing, "reward": None if resolved is None else float(resolved)}
    if policy == "latest":
        # The caller has brought them into the order of time.
        label, resolved, tie = _side(voters[-1]), voters[-1]["exact"], False
    elif not classes:
        if policy == "majority":
            resolved = None if tie else Fraction(int(label or 0))
        else:
            tie = False
            label = "1" if resolved is not None and resolved >= HALF else "0"
    return {
        "label": None if tie else label,
        "label_reason": "tie" if tie else None,
        "kind": of_kind,
        "reward": None if resolved is None else float(resolved),
    }


def _counts(mine: Sequence[Row], inference: Row) -> Row:
    pairs = list(combinations([_side(event) for event in mine], 2))
    delays = [
        (event["ts"] - inference["ts"]).total_seconds()
        for event in mine
        if event["ts"] is not None and inference["ts"] is not None
    ]
    return {
        "n_feedback": len(mine),
        "n_raters": len({_rater(event) for event in mine}),
        "agreement": sum(a == b for a, b in pairs) / len(pairs) if pairs else None,
        "label_delay": max(delays, default=None),
    }


def enriched(
    inference: Row, label: Row | None, positive_class: str, classes: Sequence[str] = ()
) -> Row:
    """An inference with its label and its calibration pair."""
    nothing: Row = dict.fromkeys(("label", "reward", "label_delay", "agreement"))
    counted: Row = {"n_feedback": 0, "n_raters": 0, "label_reason": "no_feedback", "kind": None}
    row = {**nothing, **counted, **(label or {})}
    predicted, positive = canonical(inference["prediction"]), canonical(positive_class)
    named = row["label"]
    correct = None
    if row["kind"] == "label" and named is not None and predicted is not None:
        correct = named == predicted
    is_class = row.pop("kind") == "label"
    truth = positive if is_class else "1"
    if inference["score"] is not None:
        p, y = inference["score"], named == truth
    elif correct is not None:
        p, y = inference["confidence"], correct
    else:
        p, y = inference["confidence"], named == "1"
    ordered = [canonical(name) for name in classes]
    return {
        **row,
        "label_index": ordered.index(named) if is_class and named in ordered else None,
        "correct": correct,
        "positive": None if named is None else named == truth,
        "selected": None if predicted is None else predicted == positive,
        "calibration_p": p,
        "calibration_y": None if named is None else float(y),
    }
