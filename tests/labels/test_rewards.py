"""Rewards and refused values against their definition, over every kind and odd values."""

from __future__ import annotations

from itertools import product

import pytest

from tests.labels import oracle
from tests.soundness.tables import ENGINES, Row, Tables, by, difference
from workbench.labels import bad_value, effective_kind, rewarded, signal_reward
from workbench.project import Signal

TEXT = ("feedback_id", "request_id", "name", "kind", "value", "corrected_output", "chosen_id")
SCHEMA = {
    "events": {
        **dict.fromkeys((*TEXT, "rejected_id", "retracts"), "VARCHAR"),
        "positive": "BOOLEAN",
    },
    "inferences": {"request_id": "VARCHAR", "prediction": "VARCHAR"},
    "scored": {
        **dict.fromkeys(("feedback_id", "request_id", "kind", "value"), "VARCHAR"),
        "reward": "DOUBLE",
        "same_output": "BOOLEAN",
    },
}
SIGNALS = {
    signal.name: signal
    for signal in (
        Signal(name="thumb", kind="binary"),
        Signal(name="face", kind="binary", positive="value = 'smile'"),
        Signal(name="stars", kind="rating", scale=(1.0, 5.0)),
        Signal(name="nps", kind="rating", scale=(-100.0, 100.0)),
        Signal(name="dwell", kind="implicit", positive="value >= 30"),
        Signal(name="truth", kind="label"),
        Signal(name="fix", kind="correction"),
        Signal(name="better", kind="preference"),
        Signal(name="note", kind="comment"),
        Signal(name="sold", kind="outcome"),
    )
}
KINDS = (None, "binary", "rating", "label", "correction", "preference", "comment", "outcome")
NAMES = (*SIGNALS, "unheard of")
VALUES = (
    None, "", "0", "1", "true", "false", "True", '"1"', '"true"', "1.0", "0.0", '"0.0"', "1.5", "2",
    "0.999", "5", "5.0", "5.0001", "-100", "100.00", "-1", "nan", "inf", "-inf", "cat", '"cat"',
    "Cat", "up", "1e0", "4.50", "null", "{}", "NaN", "yes",
)  # fmt: skip
CLASSES = ("cat", "2.0", "true")


@pytest.fixture(scope="module", params=ENGINES)
def tables(request: pytest.FixtureRequest) -> Tables:
    return Tables(SCHEMA, engine=request.param)


def some_events() -> list[Row]:
    empty: Row = dict.fromkeys(SCHEMA["events"])
    values = [
        {"name": name, "kind": kind, "value": value, "positive": positive, "retracts": retracts}
        for name, kind, value in product(NAMES, KINDS, VALUES)
        for positive in ((True, False, None) if name in ("face", "dwell") else (None,))
        for retracts in (None, "f1")
    ]
    carried = [
        {"name": name, "kind": kind, **carries}
        for name, kind in product(NAMES, KINDS)
        for carries in (
            {"corrected_output": "better"},
            {"chosen_id": "r1"},
            {"rejected_id": "r1"},
            {"corrected_output": "better", "retracts": "f1"},
        )
    ]
    return [
        {**empty, "feedback_id": f"f{number}", **event}
        for number, event in enumerate([*values, *carried])
    ]


@pytest.mark.parametrize("classes", [(), CLASSES], ids=["any class", "classes"])
def test_kind_reward_and_refusal(tables: Tables, classes: tuple[str, ...]) -> None:
    def expression() -> object:
        events = tables.table("events")
        events = events.mutate(kind=effective_kind(events, SIGNALS))
        events = events.mutate(reward=signal_reward(events, SIGNALS))
        return events.mutate(is_bad=bad_value(events, SIGNALS, classes))

    events = some_events()
    expected = {}
    for event in events:
        exact = oracle.own_reward(event, SIGNALS)
        expected[event["feedback_id"]] = {
            "name": event["name"],
            "value": event["value"],
            "kind": oracle.kind(event, SIGNALS),
            "reward": None if exact is None else float(exact),
            "is_bad": oracle.is_bad(event, SIGNALS, classes),
        }
    tables.fill(events=events)
    found = by(tables.run(classes, expression), "feedback_id")
    problems = difference(found, expected)
    assert problems == [], [found[line.split("'")[1]] for line in problems[:3]]


def test_a_label_and_a_correction_are_rewarded_for_what_the_model_said(tables: Tables) -> None:
    predictions = [None, "cat", '"cat"', "1", "1.0", "true", "0", "false", "10", "10.0", "1.5"]
    inferences = [
        {"request_id": f"r{number}", "prediction": prediction}
        for number, prediction in enumerate(predictions)
    ]
    events: list[Row] = []
    for inference, (kind, value) in product(
        inferences, product(("label", "correction", "binary", None), (*predictions, "Cat"))
    ):
        for same_output, own in ((True, 1.0), (False, 0.25), (None, None)):
            events.append(
                {
                    "feedback_id": f"f{len(events)}",
                    "request_id": inference["request_id"],
                    "kind": kind,
                    "value": value,
                    "same_output": same_output if kind == "correction" else None,
                    "reward": own if kind == "binary" else None,
                }
            )
    expected = {}
    for event in events:
        known = next(i for i in inferences if i["request_id"] == event["request_id"])
        exact = oracle.reward({**event, "exact": event["reward"]}, known["prediction"])
        expected[event["feedback_id"]] = {
            "reward": None if exact is None else float(exact),
            "class": oracle.canonical(event["value"]) if event["kind"] == "label" else None,
        }
    tables.fill(scored=events, inferences=inferences)
    rows = tables.run(
        "rewarded", lambda: rewarded(tables.table("scored"), tables.table("inferences"))
    )
    assert difference(by(rows, "feedback_id"), expected) == []
