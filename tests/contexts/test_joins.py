"""Context joins against their definition: ties, missing keys, ends of the tolerance."""

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

from tests.soundness.tables import Row, Tables, at, by, difference
from workbench.contexts import JoinSpec, contexts

SCHEMA = {
    "inferences": {"row_id": "BIGINT", "ts": "TIMESTAMPTZ", "user": "VARCHAR", "place": "BIGINT"},
    "facts": {
        "key_0": "VARCHAR",
        "key_1": "VARCHAR",
        "since": "TIMESTAMPTZ",
        "nth": "BIGINT",
        "tier": "VARCHAR",
        "age": "BIGINT",
    },
}
AS_OF = JoinSpec(
    name="profile",
    keys=(("user", "key_0"),),
    facts=("tier", "age"),
    order="nth",
    times={"ts": "since"},
)
TWO_KEYS = (("user", "key_0"), ("place", "key_1"))
SPECS = {
    "one key": AS_OF,
    "two keys": replace(AS_OF, keys=TWO_KEYS),
    "tolerance": replace(AS_OF, options={"tolerance": timedelta(seconds=2)}),
    "two keys and tolerance": replace(
        AS_OF, keys=TWO_KEYS, options={"tolerance": timedelta(seconds=2)}
    ),
    "no tolerance at all": replace(AS_OF, options={"tolerance": timedelta(0)}),
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
            "since": at(choose(SECONDS)),
            "tier": choose((None, "gold", "free")),
            "age": choose((None, 1, 2)),
        }
        for _ in range(choose(range(8)))
    ]
    facts.sort(key=lambda fact: fact["since"])
    for number, fact in enumerate(facts):
        fact["nth"] = number
    return facts


def as_of(inference: Row, facts: Sequence[Row], spec: JoinSpec) -> Row:
    """The latest fact at or before the inference, no older than the tolerance."""
    nothing: Row = {"profile": None, "profile__age": None}
    if any(inference[left] is None for left, _ in spec.keys):
        return {**nothing, "profile__reason": "no_key"}
    if inference["ts"] is None:
        return {**nothing, "profile__reason": "no_clock"}
    own = [f for f in facts if all(f[right] == str(inference[left]) for left, right in spec.keys)]
    if not own:
        return {**nothing, "profile__reason": "no_match"}
    known = [fact for fact in own if fact["since"] <= inference["ts"]]
    if not known:
        return {**nothing, "profile__reason": "not_yet_known"}
    latest = max(known, key=lambda fact: (fact["since"], fact["nth"]))
    age = inference["ts"] - latest["since"]
    tolerance = spec.options.get("tolerance")
    if tolerance is not None and age > tolerance:
        return {**nothing, "profile__reason": "too_old"}
    return {
        "profile": {"tier": latest["tier"], "age": latest["age"]},
        "profile__age": age.total_seconds(),
        "profile__reason": None,
    }


def lookup(inference: Row, facts: Sequence[Row], spec: JoinSpec) -> Row:
    """The one fact of the key, whatever the time."""
    nothing: Row = {"profile": None, "profile__age": None}
    if any(inference[left] is None for left, _ in spec.keys):
        return {**nothing, "profile__reason": "no_key"}
    own = [f for f in facts if all(f[right] == str(inference[left]) for left, right in spec.keys)]
    if not own:
        return {**nothing, "profile__reason": "no_match"}
    (fact,) = own
    found = {"tier": fact["tier"], "age": fact["age"]}
    return {**nothing, "profile": found, "profile__reason": None}


def unique(facts: Sequence[Row], spec: JoinSpec) -> list[Row]:
    """The facts with the first of each key, as a lookup needs them."""
    first: dict[Any, Row] = {}
    for fact in facts:
        first.setdefault(tuple(fact[right] for _, right in spec.keys), fact)
    return list(first.values())


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    def choose(options: Sequence[Any]) -> Any:
        return draw(st.sampled_from(options))

    return some_inferences(choose), some_facts(choose)


@pytest.fixture(scope="module")
def tables() -> Tables:
    return Tables(SCHEMA)


def run(tables: Tables, name: str, spec: JoinSpec) -> dict[int, Row]:
    def expression() -> Any:
        join = contexts.get(name).join
        return join(tables.table("inferences"), tables.table("facts"), spec)

    return by(tables.run((name, str(spec)), expression), "row_id")


@settings(max_examples=40, deadline=None)
@given(world=worlds(), spec=st.sampled_from(list(SPECS.values())), seed=st.integers(0, 99))
def test_both_joins_are_their_definition_whatever_the_order_of_the_rows(
    tables: Tables, world: tuple[list[Row], list[Row]], spec: JoinSpec, seed: int
) -> None:
    inferences, facts = world
    shuffled = random.Random(seed)
    shuffled.shuffle(inferences)
    shuffled.shuffle(facts)
    for name, oracle, known in (("as_of", as_of, facts), ("lookup", lookup, unique(facts, spec))):
        expected = {row["row_id"]: {**row, **oracle(row, known, spec)} for row in inferences}
        tables.fill(inferences=inferences, facts=known)
        assert difference(run(tables, name, spec), expected) == []


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_as_of_is_its_definition_in_many_worlds_at_once(tables: Tables, spec: JoinSpec) -> None:
    choose = random.Random(3).choice
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
        expected |= {row["row_id"]: {**row, **as_of(row, known, spec)} for row in these}
    tables.fill(inferences=inferences, facts=facts)
    found = run(tables, "as_of", spec)

    assert difference(found, expected) == []
    reasons = Counter(row["profile__reason"] for row in expected.values())
    tolerant = {"too_old"} if "tolerance" in spec.options else set()
    assert reasons.keys() == {None, "no_key", "no_clock", "no_match", "not_yet_known"} | tolerant
    # No fact was ever joined that was not known yet.
    assert all(row["profile__age"] is None or row["profile__age"] >= 0 for row in found.values())


@pytest.mark.parametrize("name", ["as_of", "lookup"])
@pytest.mark.parametrize(("inferences", "facts"), [(0, 3), (3, 0), (0, 0)])
def test_an_empty_side_keeps_the_rows(
    tables: Tables, name: str, inferences: int, facts: int
) -> None:
    tables.fill(
        inferences=[{"row_id": n, "ts": at(1), "user": "a"} for n in range(inferences)],
        facts=[{"key_0": f"{n}", "since": at(1), "nth": n} for n in range(facts)],
    )
    found = run(tables, name, AS_OF)
    assert len(found) == inferences
    assert {row["profile__reason"] for row in found.values()} <= {"no_match"}


@pytest.mark.parametrize(
    ("age", "reason"),
    [(0, None), (2, None), (2.000001, "too_old"), (-1e-6, "not_yet_known")],
)
def test_both_ends_of_the_tolerance_are_in_it(
    tables: Tables, age: float, reason: str | None
) -> None:
    tables.fill(
        inferences=[{"row_id": 0, "ts": at(10), "user": "a"}],
        facts=[{"key_0": "a", "since": at(10 - age), "nth": 0, "tier": "gold"}],
    )
    assert run(tables, "as_of", SPECS["tolerance"])[0]["profile__reason"] == reason


def test_a_fact_whose_columns_are_all_missing_is_still_a_match(tables: Tables) -> None:
    tables.fill(
        inferences=[{"row_id": 0, "ts": at(1), "user": "a"}],
        facts=[{"key_0": "a", "since": at(1), "nth": 0}],
    )
    for name in ("as_of", "lookup"):
        found = run(tables, name, AS_OF)[0]
        assert found["profile__reason"] is None
        assert found["profile"] == {"tier": None, "age": None}
