"""What had happened before an inference, against its definition."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.soundness.tables import ENGINES, Row, Tables, at, by, difference
from workbench.contexts import JoinSpec, contexts
from workbench.errors import ConfigError
from workbench.project import Aggregate

SCHEMA = {
    "inferences": {"row_id": "BIGINT", "ts": "TIMESTAMPTZ", "user": "VARCHAR", "place": "BIGINT"},
    "facts": {
        "key_0": "VARCHAR",
        "key_1": "VARCHAR",
        "at": "TIMESTAMPTZ",
        "known": "TIMESTAMPTZ",
        "until": "TIMESTAMPTZ",
        "nth": "BIGINT",
        "item": "VARCHAR",
        "amount": "DOUBLE",
        "vector": "DOUBLE[]",
    },
}
AGGREGATES = (
    Aggregate(name="n", function="count", column=None),
    Aggregate(name="some", function="any", column=None),
    Aggregate(name="spent", function="sum", column="amount"),
    Aggregate(name="mean", function="mean", column="amount"),
    Aggregate(name="first", function="first", column="item"),
    Aggregate(name="last", function="last", column="amount"),
    Aggregate(name="taste", function="mean_vector", column="vector"),
)
ALL = JoinSpec(
    name="past",
    keys=(("user", "key_0"),),
    facts=("item", "amount"),
    order="nth",
    times={"ts": "at", "known_at": "known", "until": "until"},
    options={"k": 2, "span": timedelta(seconds=3), "aggregates": AGGREGATES},
)
#: What is worked out for each event in a window, and then looked up.
FRAMED = (
    *AGGREGATES[:4],
    Aggregate(name="least", function="min", column="amount"),
    Aggregate(name="most", function="max", column="amount"),
)
SPECS = {
    "all": ALL,
    "k": replace(ALL, options={"k": 3}, times={"ts": "at"}),
    "span": replace(ALL, options={"span": timedelta(seconds=2), "aggregates": AGGREGATES}),
    "two keys, no list": replace(
        ALL, facts=(), keys=(("user", "key_0"), ("place", "key_1")), times={"ts": "at"}
    ),
    "frames": replace(
        ALL,
        facts=(),
        times={"ts": "at", "known_at": "known"},
        options={"k": 2, "aggregates": FRAMED},
    ),
    "frames, two keys": replace(
        ALL,
        facts=(),
        keys=(("user", "key_0"), ("place", "key_1")),
        times={"ts": "at"},
        options={"k": 3, "aggregates": FRAMED},
    ),
    "no span at all": replace(ALL, options={"k": 2, "span": timedelta(0)}),
}
SECONDS = (0, 1, 2, 3, 3, 4, 5, 2.999999, 3.000001)
Choose = Callable[[Sequence[Any]], Any]


def some_inferences(choose: Choose) -> list[Row]:
    return [
        {
            "row_id": number,
            "ts": at(choose((None, *SECONDS))),
            "user": choose((None, "a", "a", "b", "")),
            "place": choose((None, 1, 1, 2)),
        }
        for number in range(choose(range(8)))
    ]


def some_facts(choose: Choose) -> list[Row]:
    facts = [
        {
            "key_0": choose((None, "a", "a", "b", "")),
            "key_1": choose((None, "1", "1", "2")),
            "at": at(choose((None, *SECONDS))),
            "known": at(choose((None, *SECONDS))),
            "until": at(choose((None, None, *SECONDS))),
            "item": choose((None, "x", "y")),
            "amount": choose((None, 1.0, 2.5)),
            "vector": choose((None, [1.0, 2.0], [1.0, 2.0], [3.0, None], [0.5, 4.0], [7.0], [])),
        }
        for _ in range(choose(range(12)))
    ]
    # Equal times have their order from elsewhere, and it need not follow when a fact was known.
    facts.sort(key=lambda fact: fact["at"] or at(-1))
    for number, fact in enumerate(facts):
        fact["nth"] = number
    return facts


def mean_vector(vectors: list[list[float | None]]) -> list[float | None] | None:
    if not vectors or len({len(vector) for vector in vectors}) > 1 or not vectors[0]:
        return None
    result: list[float | None] = []
    for values in zip(*vectors, strict=True):
        known = [value for value in values if value is not None]
        result.append(sum(known) / len(known) if known else None)
    return result


def compute(function: str, column: str | None, events: list[Row]) -> Any:
    """An aggregate over events in the order of time."""
    values = [event[column] for event in events] if column else []
    known = [value for value in values if value is not None]
    return {
        "count": lambda: len(events),
        "any": lambda: bool(events),
        # Nothing was spent where nothing happened; it is unknown where no amount is.
        "sum": lambda: sum(known) if known else (None if events else 0.0),
        "mean": lambda: sum(known) / len(known) if known else None,
        "min": lambda: min(known, default=None),
        "max": lambda: max(known, default=None),
        "first": lambda: values[0] if values else None,
        "last": lambda: values[-1] if values else None,
        "mean_vector": lambda: mean_vector(known),
    }[function]()


def history(inference: Row, facts: Sequence[Row], spec: JoinSpec) -> Row:
    """Of the facts of the key that could be used strictly before, those of the span, the last k."""
    nothing: Row = {"past": None, "past__age": None, "past__known": None}
    if any(inference[left] is None for left, _ in spec.keys):
        return {**nothing, "past__reason": "no_key"}
    now = inference["ts"]
    if now is None:
        return {**nothing, "past__reason": "no_clock"}
    usable = []
    for fact in facts:
        if fact["at"] is None or any(
            fact[right] != str(inference[left]) for left, right in spec.keys
        ):
            continue
        since = fact["at"]
        if "known_at" in spec.times and fact["known"] is not None:
            since = max(since, fact["known"])
        span = spec.options.get("span")
        if since < now and (span is None or since >= now - span):
            usable.append((since, fact["nth"], fact))
    usable.sort(key=lambda entry: entry[:2])
    kept = usable[-spec.options["k"] :] if spec.options.get("k") else usable
    if "until" in spec.times:
        kept = [entry for entry in kept if not entry[2]["until"] or entry[2]["until"] > now]
    events = [fact for *_, fact in sorted(kept, key=lambda entry: entry[1])]
    struct = {
        a.name: compute(a.function, a.column, events) for a in spec.options.get("aggregates", ())
    }
    if spec.facts:
        struct["events"] = [
            {"ts": event["at"], **{name: event[name] for name in spec.facts}} for event in events
        ]
    return {
        "past": struct,
        "past__age": (now - max(e["at"] for e in events)).total_seconds() if events else None,
        "past__known": max(since for since, *_ in kept) if kept else None,
        "past__reason": None if events else "no_event",
    }


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    def choose(options: Sequence[Any]) -> Any:
        return draw(st.sampled_from(options))

    return some_inferences(choose), some_facts(choose)


@pytest.fixture(scope="module", params=ENGINES)
def tables(request: pytest.FixtureRequest) -> Tables:
    return Tables(SCHEMA, engine=request.param)


def run(tables: Tables, spec: JoinSpec) -> dict[int, Row]:
    def expression() -> Any:
        join = contexts.get("history").join
        return join(tables.table("inferences"), tables.table("facts"), spec)

    return by(tables.run(("history", str(spec)), expression), "row_id")


def test_is_its_definition_whatever_the_order_of_the_rows() -> None:
    tables = Tables(SCHEMA)

    @settings(max_examples=60, deadline=None)
    @given(world=worlds(), spec=st.sampled_from(list(SPECS.values())), seed=st.integers(0, 99))
    def check(world: tuple[list[Row], list[Row]], spec: JoinSpec, seed: int) -> None:
        inferences, facts = world
        expected = {row["row_id"]: {**row, **history(row, facts, spec)} for row in inferences}
        shuffled = random.Random(seed)
        shuffled.shuffle(inferences)
        shuffled.shuffle(facts)
        tables.fill(inferences=inferences, facts=facts)
        assert difference(run(tables, spec), expected) == []

    check()


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_is_its_definition_in_many_worlds_at_once(tables: Tables, spec: JoinSpec) -> None:
    choose = random.Random(5).choice
    inferences: list[Row] = []
    facts: list[Row] = []
    expected: dict[int, Row] = {}
    for world in range(400):
        these, known = some_inferences(choose), some_facts(choose)
        for row in [*these, *known]:
            for key in ("user", "key_0"):
                if row.get(key) is not None:
                    row[key] = f"{world}:{row[key]}"
        for row in these:
            row["row_id"] += len(inferences)
        for fact in known:
            fact["nth"] += len(facts)
        inferences += these
        facts += known
        expected |= {row["row_id"]: {**row, **history(row, known, spec)} for row in these}
    tables.fill(inferences=inferences, facts=facts)
    found = run(tables, spec)
    assert difference(found, expected) == []
    reasons = Counter(row["past__reason"] for row in expected.values())
    some = set() if spec is SPECS["no span at all"] else {None}
    assert reasons.keys() == {"no_key", "no_clock", "no_event"} | some


def test_a_history_ends_strictly_before_and_begins_with_the_span(tables: Tables) -> None:
    """One microsecond decides on both ends; what was recorded late counts from then on."""
    spec = replace(ALL, facts=("item",), options={"span": timedelta(seconds=3)})
    ends = {"start": 7, "too old": 6.999999, "just before": 9.999999, "at once": 10}
    tables.fill(
        inferences=[{"row_id": 0, "ts": at(10), "user": "a"}],
        facts=[
            {"key_0": "a", "at": at(0), "known": at(known), "nth": nth, "item": item}
            for nth, (item, known) in enumerate(ends.items())
        ],
    )
    events = run(tables, spec)[0]["past"]["events"]
    assert [event["item"] for event in events] == ["start", "just before"]


@pytest.mark.parametrize(("inferences", "facts"), [(0, 3), (3, 0), (0, 0), (3, 3)])
def test_without_a_fact_nothing_is_counted_and_no_row_is_lost(
    tables: Tables, inferences: int, facts: int
) -> None:
    tables.fill(
        inferences=[{"row_id": n, "ts": at(1), "user": "a"} for n in range(inferences)],
        facts=[{"key_0": f"{n}", "at": at(0), "nth": n} for n in range(facts)],
    )
    found = run(tables, ALL)
    assert len(found) == inferences
    for row in found.values():
        assert row["past__reason"] == "no_event"
        assert row["past"]["n"] == 0
        assert row["past"]["some"] is False
        assert row["past"]["spent"] == 0
        assert row["past"]["mean"] is None
        assert row["past"]["taste"] is None
        assert row["past"]["events"] == []


@pytest.mark.parametrize(
    ("aggregates", "facts", "message"),
    [
        ((Aggregate(name="v", function="mean_vector", column="item"),), (), "lists of numbers"),
        ((Aggregate(name="events", function="count", column=None),), ("item",), "events"),
        ((), ("ts",), "ts already"),
    ],
)
def test_what_cannot_be_computed_is_an_error(
    aggregates: tuple[Aggregate, ...], facts: tuple[str, ...], message: str
) -> None:
    tables = Tables(SCHEMA)
    spec = replace(ALL, facts=facts, options={"k": 1, "aggregates": aggregates})
    with pytest.raises(ConfigError, match=message):
        contexts.get("history").join(tables.table("inferences"), tables.table("facts"), spec)
