"""Attribution against its definition, on small random tables full of ties and gaps."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from fractions import Fraction
from math import fsum
from typing import Any

import ibis.expr.types as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.attribution import oracle
from tests.soundness.tables import ENGINES, Row, Tables, at, by, difference
from workbench import contract
from workbench.attribution import EVENT_COLUMNS, INFERENCE_COLUMNS, attribute, credits

TYPES = {"ts": "TIMESTAMPTZ", "step": "BIGINT", "n_candidates": "BIGINT"}
SCHEMA = {
    name: {column: TYPES.get(column, "VARCHAR") for column in columns}
    for name, columns in (
        ("events", EVENT_COLUMNS),
        ("inferences", INFERENCE_COLUMNS),
        ("aliases", ("alias", "request_id")),
        ("attributed", ("feedback_id", "status", "request_id", "method", "n_candidates")),
    )
}
WINDOW = timedelta(seconds=3)
#: Fallback, rule of credit, discount.
Rule = tuple[tuple[str, ...], str, float]
RULES: list[Rule] = [
    ((), "uniform", 1.0),
    (("session",), "last", 1.0),
    (("user",), "discounted", 0.5),
    (("session", "user"), "last", 0.9),
    (("user", "session"), "discounted", 0.9375),
]
SECONDS = (None, 0, 1, 2, 3, 3, 4, 4, 5, 5, 6, 2.999999, 3.000001)
IDS = (None, None, None, "r0", "r1", "r2", "unknown", "a0", "a1", "a2")

Choose = Callable[[Sequence[Any]], Any]
World = tuple[list[Row], list[Row], list[Row]]


def some_inferences(choose: Choose) -> list[Row]:
    return [
        {
            "request_id": f"r{number}",
            "ts": at(choose(SECONDS)),
            "model_version": choose(["v1", "v2"]),
            "session_id": choose([None, "s1", "s2"]),
            "user_id": choose([None, "u1", "u2"]),
            "trace_id": choose([None, "t1", "t1", "t2"]),
            "parent_id": choose([None, "r0", "r1", "r2", "r3", "unknown"]),
            "step": choose([None, None, None, 0, 1, 1, 2, 3]),
            "model": choose([None, None, "m"]),
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
            "scope": choose([None, None, "inference", "session", "conversation", "trace"]),
            "kind": choose(["binary", "binary", "binary", "preference", None]),
            "chosen_id": choose(IDS),
            "rejected_id": choose(IDS),
            "retracts": choose([None] * 6 + ["f0", "f1", "f2", "elsewhere"]),
        }
        for number in range(choose(range(12)))
    ]


def some_aliases(choose: Choose) -> list[Row]:
    return [
        {
            "alias": choose(["a0", "a0", "a1", "a2", "r1"]),
            "request_id": choose(["r0", "r1", "r2", "t1", "t2", "a0", "unknown"]),
        }
        for _ in range(choose(range(6)))
    ]


def some_world(choose: Choose) -> World:
    inferences = some_inferences(choose)
    if choose([False, False, True]):
        inferences = [{**inference, "ts": None} for inference in inferences]
    return some_events(choose), inferences, some_aliases(choose)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    return some_world(lambda options: draw(st.sampled_from(options)))


def apart(rows: list[Row], world: int) -> list[Row]:
    """The rows with names that no other world uses."""
    free = ("ts", "model_version", "scope", "kind", "step", "model")
    return [
        {k: v if k in free or v is None else f"{world}:{v}" for k, v in row.items()} for row in rows
    ]


@pytest.fixture(scope="module", params=ENGINES)
def tables(request: pytest.FixtureRequest) -> Tables:
    return Tables(SCHEMA, engine=request.param)


@pytest.fixture(scope="module")
def duckdb_tables() -> Tables:
    return Tables(SCHEMA)


def expression(tables: Tables, rule: Rule) -> ir.Table:
    fallback, credit, _ = rule
    return attribute(
        tables.table("events"),
        tables.table("inferences"),
        fallback=fallback,
        window=WINDOW,
        aliases=tables.table("aliases"),
        credit=credit,
    )


def run(tables: Tables, rule: Rule) -> dict[str, Row]:
    return by(tables.run(rule, lambda: expression(tables, rule)), "feedback_id")


def run_credits(tables: Tables, rule: Rule) -> dict[tuple[str, str], float]:
    """The credits of the events, over their attribution as a table of its own, as in a build."""
    tables.fill(attributed=run(tables, rule).values())
    rows = tables.run(
        ("credits", rule),
        lambda: credits(
            tables.table("attributed"),
            tables.table("events"),
            tables.table("inferences"),
            rule=rule[1],
            discount=rule[2],
        ),
    )
    found = {(row["feedback_id"], row["request_id"]): row["weight"] for row in rows}
    assert len(found) == len(rows)
    return found


def the_world(world: World, rule: Rule) -> oracle.World:
    return oracle.World(*world, rule[0], WINDOW, rule[1])


def check_credits(
    found: dict[tuple[str, str], float],
    expected: dict[tuple[str, str], Fraction],
    fates: dict[str, Row],
) -> None:
    assert found == pytest.approx({key: float(share) for key, share in expected.items()}, abs=1e-12)
    shares = defaultdict(list)
    for (event, _), share in found.items():
        shares[event].append(share)
    credited = {id_: row for id_, row in fates.items() if row["request_id"] is not None}
    assert shares.keys() == credited.keys()
    for event, parts in shares.items():
        assert fsum(parts) == pytest.approx(1.0, abs=1e-12)
        assert found[event, credited[event]["request_id"]] == max(parts)


@settings(max_examples=20, deadline=None)
@given(world=worlds(), rule=st.sampled_from(RULES), seed=st.integers(0, 99))
def test_is_its_definition_whatever_the_order_of_the_rows(
    duckdb_tables: Tables, world: World, rule: Rule, seed: int
) -> None:
    expected = the_world(world, rule)
    fates, shares = expected.fates(), expected.credits(Fraction(rule[2]))
    shuffled = random.Random(seed)
    events, inferences, aliases = map(list, world)
    for rows in (events, inferences, aliases):
        shuffled.shuffle(rows)
    duckdb_tables.fill(events=events, inferences=inferences, aliases=aliases)
    found = run(duckdb_tables, rule)
    assert difference(found, fates) == []
    check_credits(run_credits(duckdb_tables, rule), shares, found)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: "-".join(map(str, [*rule[0], *rule[1:]])))
def test_is_its_definition_in_many_worlds_at_once(tables: Tables, rule: Rule) -> None:
    choose = random.Random(1).choice
    everything: World = ([], [], [])
    expected: dict[str, Row] = {}
    shares: dict[tuple[str, str], Fraction] = {}
    for number in range(500):
        parts = tuple(apart(rows, number) for rows in some_world(choose))
        world = the_world((parts[0], parts[1], parts[2]), rule)
        for rows, part in zip(everything, parts, strict=True):
            rows += part
        expected |= world.fates()
        shares |= world.credits(Fraction(rule[2]))
    tables.fill(events=everything[0], inferences=everything[1], aliases=everything[2])

    found = run(tables, rule)
    assert difference(found, expected) == []
    check_credits(run_credits(tables, rule), shares, found)
    # The worlds would prove little if they did not hold all that can happen.
    fallback, credit, _ = rule
    seen = Counter((row["status"], row["method"]) for row in expected.values())
    methods = {"request_id", "alias", "session", "trace", "preference", *fallback}
    assert {("attributed", method) for method in methods} <= seen.keys()
    tied = {"alias", "preference", *fallback[:1]}
    tied |= {"session", "trace"} if credit == "last" else set()
    assert {("ambiguous", method) for method in tied} <= seen.keys()
    assert seen["orphan", None] > 100
    rows = expected.values()
    assert {1, 2, 3} <= {row["n_candidates"] for row in rows if row["method"] == "session"}
    assert {row["early"] for row in rows if row["method"] == "request_id"} == {True, False, None}
    per_event = Counter(event for event, _ in shares)
    assert (max(per_event.values()) >= 3) == (credit != "last")


def test_columns_have_the_types_of_the_contract(tables: Tables) -> None:
    run(tables, RULES[1])
    found = tables.described(RULES[1])
    declared = {name: column.type for name, column in contract.table("attribution").columns.items()}
    assert found == {name: declared[name] for name in found}


@pytest.mark.parametrize("rule", RULES[:2], ids=["uniform", "last"])
def test_credits_have_the_types_of_the_contract(tables: Tables, rule: Rule) -> None:
    tables.fill(events=[], inferences=[], aliases=[])
    run_credits(tables, rule)
    declared = {name: column.type for name, column in contract.table("credits").columns.items()}
    assert tables.described(("credits", rule)) == declared


def one(
    tables: Tables,
    inferences: list[Row],
    event: Row,
    *others: Row,
    aliases: Sequence[Row] = (),
) -> Row:
    """What becomes of one event with both fallbacks."""
    named = [
        {"request_id": f"r{number}", "model_version": "v1", **row}
        for number, row in enumerate(inferences)
    ]
    tables.fill(inferences=named, events=[{"feedback_id": "f", **event}, *others], aliases=aliases)
    return run(tables, RULES[3])["f"]


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


def test_an_alias_never_goes_before_a_request_id(tables: Tables) -> None:
    aliases = [{"alias": "r0", "request_id": "r1"}, {"alias": "name", "request_id": "r1"}]
    inferences: list[Row] = [{"ts": at(1)}, {"ts": at(2)}]
    found = one(tables, inferences, {"ts": at(3), "request_id": "r0"}, aliases=aliases)
    assert (found["request_id"], found["method"]) == ("r0", "request_id")
    found = one(tables, inferences, {"ts": at(3), "request_id": "name"}, aliases=aliases)
    assert (found["request_id"], found["method"]) == ("r1", "alias")
    assert found["attribution_confidence"] == 1.0


def test_an_alias_of_several_inferences_is_ambiguous(tables: Tables) -> None:
    aliases = [{"alias": "name", "request_id": f"r{n}"} for n in (0, 1, 1, 7)]
    event = {"ts": at(3), "request_id": "name", "session_id": "s"}
    found = one(tables, [{"ts": at(1), "session_id": "s"}, {"ts": at(2)}], event, aliases=aliases)
    # Of the four rows one repeats another and one leads nowhere.
    assert (found["status"], found["method"], found["n_candidates"]) == ("ambiguous", "alias", 2)


@pytest.mark.parametrize(
    ("steps", "status"),
    [((0, 1), "attributed"), ((1, 1), "ambiguous"), ((None, 1), "ambiguous")],
)
def test_only_the_step_tells_two_inferences_of_one_time_apart(
    tables: Tables, steps: tuple[int | None, int], status: str
) -> None:
    inferences = [{"ts": at(1), "trace_id": "t", "step": step} for step in steps]
    found = one(tables, inferences, {"ts": at(1), "trace_id": "t", "scope": "trace"})
    assert found["status"] == status
    assert found["request_id"] == ("r1" if status == "attributed" else None)


def test_the_last_call_of_a_model_is_what_a_trace_is_judged_by(tables: Tables) -> None:
    inferences = [
        {"ts": at(1), "trace_id": "t", "model": "m"},
        {"ts": at(2), "trace_id": "t", "model": "m"},
        {"ts": at(3), "trace_id": "t"},
        {"ts": at(9), "trace_id": "t", "model": "m"},
    ]
    event = {"trace_id": "t", "scope": "trace"}
    found = one(tables, inferences, {"ts": at(4), **event})
    assert (found["request_id"], found["n_candidates"]) == ("r1", 3)
    # Before any model was called, and where none ever is, it is the last step.
    found = one(tables, inferences[2:], {"ts": at(4), **event})
    assert (found["request_id"], found["n_candidates"]) == ("r0", 1)


@pytest.mark.parametrize(
    ("parents", "request_id"),
    [
        (["r9", "r0", "r1"], "r2"),
        (["r1", "r2", "r9"], "r0"),
        (["r9", "r0", "r0"], None),
        (["r1", "r0", "r1"], "r2"),
        (["r1", "r0", None], "r2"),
        (["r1", "r2", "r0"], None),
    ],
)
def test_of_calls_that_begin_at_once_the_innermost_is_the_last(
    tables: Tables, parents: list[str | None], request_id: str | None
) -> None:
    inferences = [
        {"ts": at(1), "trace_id": "t", "model": "m", "parent_id": parent} for parent in parents
    ]
    found = one(tables, inferences, {"ts": at(1), "trace_id": "t", "scope": "trace"})
    assert found["request_id"] == request_id
    assert found["status"] == ("ambiguous" if request_id is None else "attributed")


def test_a_trace_is_credited_up_to_the_event_and_without_clocks_whole(tables: Tables) -> None:
    steps = [
        {"request_id": f"r{n}", "model_version": "v", "trace_id": "t", "ts": at(n), "step": n}
        for n in range(4)
    ]
    event = {"feedback_id": "f", "trace_id": "t", "scope": "trace", "ts": at(2)}
    tables.fill(inferences=steps, events=[event], aliases=[])
    half = run_credits(tables, RULES[2])
    assert half == {("f", "r0"): 1 / 7, ("f", "r1"): 2 / 7, ("f", "r2"): 4 / 7}
    tables.fill(events=[{**event, "ts": None}])
    whole = run_credits(tables, RULES[0])
    assert whole == {("f", f"r{n}"): 0.25 for n in range(4)}
