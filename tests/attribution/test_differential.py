"""Attribution against its definition, on small random tables full of ties and gaps."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import ibis.expr.types as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.attribution import oracle
from tests.soundness.tables import Row, Tables, at, by, difference
from workbench import contract
from workbench.attribution import EVENT_COLUMNS, INFERENCE_COLUMNS, attribute, credits

SCHEMA = {
    name: {column: "TIMESTAMPTZ" if column == "ts" else "VARCHAR" for column in columns}
    for name, columns in (("events", EVENT_COLUMNS), ("inferences", INFERENCE_COLUMNS))
}
WINDOW = timedelta(seconds=3)
FALLBACKS = [(), ("session",), ("user",), ("session", "user"), ("user", "session")]
SECONDS = (None, 0, 1, 2, 3, 3, 4, 4, 5, 5, 6, 2.999999, 3.000001)
IDS = (None, None, "r0", "r1", "r2", "unknown")

Choose = Callable[[Sequence[Any]], Any]


def some_inferences(choose: Choose) -> list[Row]:
    return [
        {
            "request_id": f"r{number}",
            "ts": at(choose(SECONDS)),
            "model_version": choose(["v1", "v2"]),
            "session_id": choose([None, "s1", "s2"]),
            "user_id": choose([None, "u1", "u2"]),
            "trace_id": choose([None, "t1", "t1"]),
        }
        for number in range(choose(range(8)))
    ]


def some_events(choose: Choose) -> list[Row]:
    return [
        {
            "feedback_id": f"f{number}",
            "request_id": choose(IDS),
            "ts": at(choose(SECONDS)),
            "model_version": choose([None, "v1", "v2"]),
            "session_id": choose([None, "s1", "s2", "s3"]),
            "user_id": choose([None, "u1", "u2"]),
            "trace_id": choose([None, "t1", "t2"]),
            "scope": choose([None, None, "inference", "session", "trace"]),
            "kind": choose(["binary", "binary", "binary", "preference", None]),
            "chosen_id": choose(IDS),
            "rejected_id": choose(IDS),
            "retracts": choose([None] * 6 + ["f0", "f1", "f2", "elsewhere"]),
        }
        for number in range(choose(range(12)))
    ]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    def choose(options: Sequence[Any]) -> Any:
        return draw(st.sampled_from(options))

    return some_events(choose), some_inferences(choose)


def apart(rows: list[Row], world: int) -> list[Row]:
    """The rows with names that no other world uses."""
    free = ("ts", "model_version", "scope", "kind")
    return [
        {k: v if k in free or v is None else f"{world}:{v}" for k, v in row.items()} for row in rows
    ]


@pytest.fixture(scope="module")
def tables() -> Tables:
    return Tables(SCHEMA)


def expression(tables: Tables, fallback: Sequence[str]) -> ir.Table:
    return attribute(
        tables.table("events"), tables.table("inferences"), fallback=fallback, window=WINDOW
    )


def run(tables: Tables, fallback: Sequence[str]) -> dict[str, Row]:
    return by(tables.run(fallback, lambda: expression(tables, fallback)), "feedback_id")


@settings(max_examples=25, deadline=None)
@given(world=worlds(), fallback=st.sampled_from(FALLBACKS), seed=st.integers(0, 99))
def test_is_its_definition_whatever_the_order_of_the_rows(
    tables: Tables, world: tuple[list[Row], list[Row]], fallback: Sequence[str], seed: int
) -> None:
    events, inferences = world
    expected = oracle.attribute(events, inferences, fallback, WINDOW)
    shuffled = random.Random(seed)
    shuffled.shuffle(events)
    shuffled.shuffle(inferences)
    tables.fill(events=events, inferences=inferences)
    assert difference(run(tables, fallback), expected) == []


@pytest.mark.parametrize("fallback", FALLBACKS, ids="-".join)
def test_is_its_definition_in_many_worlds_at_once(tables: Tables, fallback: Sequence[str]) -> None:
    choose = random.Random(1).choice
    events: list[Row] = []
    inferences: list[Row] = []
    expected: dict[str, Row] = {}
    for world in range(500):
        those, these = apart(some_events(choose), world), apart(some_inferences(choose), world)
        events += those
        inferences += these
        expected |= oracle.attribute(those, these, fallback, WINDOW)
    tables.fill(events=events, inferences=inferences)

    assert difference(run(tables, fallback), expected) == []
    # The worlds would prove little if they did not hold all that can happen.
    seen = Counter((row["status"], row["method"]) for row in expected.values())
    methods = {"request_id", "session", "trace", "preference", *fallback}
    assert {("attributed", method) for method in methods} <= seen.keys()
    assert {("ambiguous", method) for method in ("session", "trace", *fallback)} <= seen.keys()
    assert seen["orphan", None] > 100
    found = expected.values()
    assert {1, 2, 3} <= {row["n_candidates"] for row in found if row["method"] == "session"}
    assert {row["early"] for row in found if row["method"] == "request_id"} == {True, False, None}

    shares: Counter[str] = Counter()
    for row in tables.run(("credits", fallback), lambda: credits(expression(tables, fallback))):
        shares[row["feedback_id"]] += row["weight"]
    assert shares == {
        id_: 1.0
        for id_, row in expected.items()
        if row["status"] == "attributed" and row["method"] != "preference"
    }


def test_columns_have_the_types_of_the_contract(tables: Tables) -> None:
    run(tables, ("session",))
    found = tables.described(("session",))
    declared = {name: column.type for name, column in contract.table("attribution").columns.items()}
    assert found == {name: declared[name] for name in found}


def one(tables: Tables, inferences: list[Row], event: Row, *others: Row) -> Row:
    """What becomes of one event with both fallbacks."""
    named = [
        {"request_id": f"r{number}", "model_version": "v1", **row}
        for number, row in enumerate(inferences)
    ]
    tables.fill(inferences=named, events=[{"feedback_id": "f", **event}, *others])
    return run(tables, ("session", "user"))["f"]


@pytest.mark.parametrize(
    ("age", "status"),
    [(0, "attributed"), (3, "attributed"), (3.000001, "orphan"), (-1e-6, "orphan")],
)
def test_both_ends_of_the_window_are_in_it(tables: Tables, age: float, status: str) -> None:
    found = one(
        tables, [{"ts": at(10 - age), "session_id": "s"}], {"ts": at(10), "session_id": "s"}
    )
    assert found["status"] == status


def test_an_ambiguous_session_does_not_fall_through_to_the_user(tables: Tables) -> None:
    inferences = [
        {"ts": at(1), "session_id": "s"},
        {"ts": at(1), "session_id": "s"},
        {"ts": at(2), "user_id": "u"},
    ]
    found = one(tables, inferences, {"ts": at(2), "session_id": "s", "user_id": "u"})
    assert (found["status"], found["method"], found["request_id"]) == ("ambiguous", "session", None)


def test_a_session_without_candidates_falls_through_to_the_user(tables: Tables) -> None:
    inferences = [{"ts": at(-9), "session_id": "s"}, {"ts": at(2), "user_id": "u"}]
    found = one(tables, inferences, {"ts": at(2), "session_id": "s", "user_id": "u"})
    assert (found["method"], found["request_id"]) == ("user", "r1")


def test_an_unknown_request_id_is_an_orphan_and_never_falls_back(tables: Tables) -> None:
    event = {"ts": at(1), "session_id": "s", "user_id": "u", "request_id": "gone"}
    found = one(tables, [{"ts": at(1), "session_id": "s", "user_id": "u"}], event)
    assert (found["status"], found["request_id"]) == ("orphan", None)
    assert found["reason"] == "unknown_request_id"


def test_confidence_is_one_over_the_candidates_in_the_window(tables: Tables) -> None:
    inferences = [{"ts": at(second), "session_id": "s"} for second in (0, 5, 6, 7)]
    found = one(tables, inferences, {"ts": at(8), "session_id": "s"})
    assert (found["request_id"], found["n_candidates"]) == ("r3", 3)
    assert found["attribution_confidence"] == 1 / 3


@pytest.mark.parametrize(
    ("chosen", "rejected", "status"),
    [
        ("r0", "r1", "attributed"),
        ("r0", "gone", "orphan"),
        ("gone", "r1", "orphan"),
        ("r0", None, "orphan"),
        ("gone", "away", "orphan"),
    ],
)
def test_a_preference_needs_both_sides(
    tables: Tables, chosen: str, rejected: str | None, status: str
) -> None:
    event = {"kind": "preference", "chosen_id": chosen, "rejected_id": rejected, "ts": at(1)}
    # The session would be found, but a preference never falls back either.
    found = one(tables, [{"ts": at(1), "session_id": "s"}] * 2, {**event, "session_id": "s"})
    assert found["status"] == status
