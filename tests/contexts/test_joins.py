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

from tests.soundness.tables import ENGINES, Row, Tables, at, by, difference
from workbench.contexts import JoinSpec, contexts

SCHEMA = {
    "inferences": {"row_id": "BIGINT", "ts": "TIMESTAMPTZ", "user": "VARCHAR", "place": "BIGINT"},
    "facts": {
        "key_0": "VARCHAR",
        "key_1": "VARCHAR",
        "since": "TIMESTAMPTZ",
        "known": "TIMESTAMPTZ",
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
TOLERANT = {"tolerance": timedelta(seconds=2)}
BITEMPORAL = {"ts": "since", "known_at": "known"}
SPECS = {
    "one key": AS_OF,
    "two keys": replace(AS_OF, keys=TWO_KEYS),
    "tolerance": replace(AS_OF, options=TOLERANT),
    "two keys and tolerance": replace(AS_OF, keys=TWO_KEYS, options=TOLERANT),
    "no tolerance at all": replace(AS_OF, options={"tolerance": timedelta(0)}),
    "known at": replace(AS_OF, times=BITEMPORAL),
    "known at, two keys": replace(AS_OF, keys=TWO_KEYS, times=BITEMPORAL),
    "known at, tolerance": replace(AS_OF, times=BITEMPORAL, options=TOLERANT),
}
LOOKUPS = {
    f"{several}{', known at' * bool(times)}{', two keys' * (len(keys) - 1)}": replace(
        AS_OF, keys=keys, times=times, options={"several": several}
    )
    for several in ("error", "null", "first")
    for times in ({}, {"known_at": "known"})
    for keys in (AS_OF.keys, TWO_KEYS)
}
CASES = {
    **{f"as_of: {name}": ("as_of", spec) for name, spec in SPECS.items()},
    **{f"lookup: {name}": ("lookup", spec) for name, spec in LOOKUPS.items()},
}
SECONDS = (0, 1, 2, 3, 3, 4, 5, 2.999999, 3.000001)
# Glued together, ("1", "12") and ("11", "2") are the same text.
USERS = (None, "a", "a", "b", "", "NaN", "1", "11")
PLACES = (1, 1, 2, 12)
Choose = Callable[[Sequence[Any]], Any]


def some_inferences(choose: Choose) -> list[Row]:
    return [
        {
            "row_id": number,
            "ts": at(choose((None, *SECONDS))),
            "user": choose(USERS),
            "place": choose((None, *PLACES)),
        }
        for number in range(choose(range(8)))
    ]


def some_facts(choose: Choose, spec: JoinSpec) -> list[Row]:
    """Facts, some of them twice, in the order that the specification promises."""
    facts = [
        {
            "key_0": choose(USERS),
            "key_1": choose((None, *map(str, PLACES))),
            "since": at(choose(SECONDS)),
            "known": at(choose((None, *SECONDS))),
            "tier": choose((None, "gold", "free")),
            "age": choose((None, 1, 2)),
        }
        for _ in range(choose(range(8)))
    ]
    facts += [dict(fact) for fact in facts if choose((True, False, False))]
    facts.sort(key=lambda fact: placed(fact, spec))
    return [{**fact, "nth": number} for number, fact in enumerate(facts)]


def placed(fact: Row, spec: JoinSpec) -> tuple[Any, ...]:
    """What the order of facts grows with: when they held, then when they were recorded."""
    if "known_at" not in spec.times:
        return (fact["since"] if "ts" in spec.times else 0,)
    if "ts" not in spec.times:
        return (fact["known"] or at(-1e9),)
    return fact["since"], fact["known"] or fact["since"]


def of_key(inference: Row, facts: Sequence[Row], spec: JoinSpec) -> list[Row]:
    return [
        fact
        for fact in facts
        if all(fact[right] == str(inference[left]) for left, right in spec.keys)
    ]


def taken(fact: Row, age: float | None, known: Any) -> Row:
    return {
        "profile": {"tier": fact["tier"], "age": fact["age"]},
        "profile__age": age,
        "profile__reason": None,
        "profile__known": known,
    }


def nothing(reason: str) -> Row:
    return {
        "profile": None,
        "profile__age": None,
        "profile__reason": reason,
        "profile__known": None,
    }


def as_of(inference: Row, facts: Sequence[Row], spec: JoinSpec) -> Row:
    """Of the facts that hold and are known at the inference, the latest; none beyond tolerance."""
    time = inference["ts"]
    if any(inference[left] is None for left, _ in spec.keys):
        return nothing("no_key")
    if time is None:
        return nothing("no_clock")
    own = of_key(inference, facts, spec)
    if not own:
        return nothing("no_match")

    def usable_from(fact: Row) -> Any:
        known = fact["known"] if "known_at" in spec.times else None
        return fact["since"] if known is None else max(fact["since"], known)

    candidates = [fact for fact in own if usable_from(fact) <= time]
    if not candidates:
        return nothing("not_yet_known")
    latest = max(candidates, key=lambda fact: (*placed(fact, spec), fact["nth"]))
    age = time - latest["since"]
    tolerance = spec.options.get("tolerance")
    if tolerance is not None and age > tolerance:
        return nothing("too_old")
    return taken(latest, age.total_seconds(), usable_from(latest))


def lookup(inference: Row, facts: Sequence[Row], spec: JoinSpec) -> Row:
    """The one fact of the key, of those that were known."""
    if any(inference[left] is None for left, _ in spec.keys):
        return nothing("no_key")
    own = of_key(inference, facts, spec)
    if not own:
        return nothing("no_match")
    bitemporal = "known_at" in spec.times
    time = inference["ts"]
    usable = [
        fact
        for fact in own
        if not bitemporal or fact["known"] is None or (time is not None and fact["known"] <= time)
    ]
    if len(usable) > 1 and spec.options["several"] == "null":
        return nothing("several_matches")
    if not usable:
        return nothing("no_clock" if time is None else "not_yet_known")
    first = min(usable, key=lambda fact: (*placed(fact, spec), fact["nth"]))
    known = first["known"] if bitemporal else None
    age = None if None in (known, time) else (time - known).total_seconds()
    return taken(first, age, known)


ORACLES = {"as_of": as_of, "lookup": lookup}


def allowed(facts: Sequence[Row], name: str, spec: JoinSpec) -> list[Row]:
    """The facts with the first of each key, where a lookup would refuse several."""
    if name != "lookup" or spec.options["several"] != "error":
        return list(facts)
    first: dict[Any, Row] = {}
    for fact in facts:
        first.setdefault(tuple(fact[right] for _, right in spec.keys), fact)
    return list(first.values())


@pytest.fixture(scope="module", params=ENGINES)
def tables(request: pytest.FixtureRequest) -> Tables:
    return Tables(SCHEMA, engine=request.param)


@pytest.fixture(scope="module")
def in_duckdb() -> Tables:
    return Tables(SCHEMA)


def run(tables: Tables, name: str, spec: JoinSpec) -> dict[int, Row]:
    def expression() -> Any:
        join = contexts.get(name).join
        return join(tables.table("inferences"), tables.table("facts"), spec)

    return by(tables.run((name, str(spec)), expression), "row_id")


@settings(max_examples=150, deadline=None)
@given(data=st.data(), case=st.sampled_from(list(CASES.values())), seed=st.integers(0, 99))
def test_both_joins_are_their_definition_whatever_the_order_of_the_rows(
    in_duckdb: Tables, data: st.DataObject, case: tuple[str, JoinSpec], seed: int
) -> None:
    name, spec = case

    def choose(options: Sequence[Any]) -> Any:
        return data.draw(st.sampled_from(options))

    inferences = some_inferences(choose)
    facts = allowed(some_facts(choose, spec), name, spec)
    expected = {row["row_id"]: {**row, **ORACLES[name](row, facts, spec)} for row in inferences}
    shuffled = random.Random(seed)
    shuffled.shuffle(inferences)
    shuffled.shuffle(facts)
    in_duckdb.fill(inferences=inferences, facts=facts)
    assert difference(run(in_duckdb, name, spec), expected) == []


@pytest.mark.parametrize(("name", "spec"), CASES.values(), ids=CASES)
def test_is_its_definition_in_many_worlds_at_once(
    tables: Tables, name: str, spec: JoinSpec
) -> None:
    choose = random.Random(3).choice
    inferences: list[Row] = []
    facts: list[Row] = []
    expected: dict[int, Row] = {}
    for world in range(400):
        these = some_inferences(choose)
        known = allowed(some_facts(choose, spec), name, spec)
        for row in [*these, *known]:
            for key in ("user", "key_0"):
                if row.get(key) is not None:
                    row[key] = f"{world}:{row[key]}"
        for row in these:
            row["row_id"] += len(inferences)
        for fact in known:
            fact["nth"] += 100 * world
        inferences += these
        facts += known
        expected |= {row["row_id"]: {**row, **ORACLES[name](row, known, spec)} for row in these}
    tables.fill(inferences=inferences, facts=facts)
    found = run(tables, name, spec)

    assert difference(found, expected) == []
    reasons = Counter(row["profile__reason"] for row in expected.values())
    assert reasons.keys() == REASONS_OF[name](spec)
    # No fact was ever joined that was not known yet.
    known_times = [(row["profile__known"], row["ts"]) for row in found.values()]
    assert all(known is None or known <= time for known, time in known_times)


def _of_as_of(spec: JoinSpec) -> set[str | None]:
    tolerant = {"too_old"} if "tolerance" in spec.options else set()
    return {None, "no_key", "no_clock", "no_match", "not_yet_known"} | tolerant


def _of_lookup(spec: JoinSpec) -> set[str | None]:
    several = {"several_matches"} if spec.options["several"] == "null" else set()
    timed = {"no_clock", "not_yet_known"} if "known_at" in spec.times else set()
    return {None, "no_key", "no_match"} | several | timed


REASONS_OF = {"as_of": _of_as_of, "lookup": _of_lookup}


def test_keys_are_not_glued_together(tables: Tables) -> None:
    tables.fill(
        inferences=[{"row_id": 0, "ts": at(1), "user": "1", "place": 12}],
        facts=[{"key_0": "11", "key_1": "2", "since": at(0), "nth": 0, "tier": "gold"}],
    )
    for name in ("as_of", "lookup"):
        assert run(tables, name, SPECS["two keys"])[0]["profile__reason"] == "no_match"


def test_a_fact_that_was_recorded_later_is_not_used_although_it_speaks_of_before(
    tables: Tables,
) -> None:
    early = {"key_0": "a", "since": at(0), "known": at(0), "nth": 0, "tier": "free"}
    late = {"key_0": "a", "since": at(2), "known": at(8), "nth": 1, "tier": "gold"}
    tables.fill(
        inferences=[{"row_id": n, "ts": at(n), "user": "a"} for n in (7, 8)], facts=[early, late]
    )
    tiers = {
        n: row["profile"]["tier"] for n, row in run(tables, "as_of", SPECS["known at"]).items()
    }
    assert tiers == {7: "free", 8: "gold"}


def test_a_late_correction_of_an_old_fact_does_not_replace_a_newer_one(tables: Tables) -> None:
    newer = {"key_0": "a", "since": at(2), "known": at(2), "nth": 1, "tier": "gold"}
    old = {"key_0": "a", "since": at(0), "known": at(5), "nth": 0, "tier": "free"}
    tables.fill(inferences=[{"row_id": 0, "ts": at(9), "user": "a"}], facts=[newer, old])
    assert run(tables, "as_of", SPECS["known at"])[0]["profile"]["tier"] == "gold"


def test_a_fact_without_record_time_is_known_from_when_it_holds(tables: Tables) -> None:
    tables.fill(
        inferences=[{"row_id": n, "ts": at(n), "user": "a"} for n in (2, 3)],
        facts=[{"key_0": "a", "since": at(3), "known": None, "nth": 0, "tier": "gold"}],
    )
    found = run(tables, "as_of", SPECS["known at"])
    assert [found[n]["profile__reason"] for n in (2, 3)] == ["not_yet_known", None]


@pytest.mark.parametrize("several", ["error", "null", "first"])
def test_several_facts_of_a_key_are_refused_only_where_that_is_an_error(
    tables: Tables, several: str
) -> None:
    spec = replace(AS_OF, keys=TWO_KEYS, options={"several": several})
    keys = [("a", "1"), ("a", "1"), ("a", "2"), ("b", "1"), ("b", "1"), ("b", "1")]
    tables.fill(facts=[{"key_0": a, "key_1": b, "nth": n} for n, (a, b) in enumerate(keys)])
    refused = contexts.get("lookup").refuse(tables.table("facts"), spec)
    if several != "error":
        assert refused is None
        return
    rows = by(tables.run("refused", lambda: refused), "key")
    assert {key: row["n"] for key, row in rows.items()} == {"a, 1": 2, "b, 1": 3}


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
