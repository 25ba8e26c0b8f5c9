"""The point-in-time helper against its definition: in its native and in its portable form."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.soundness.tables import Row, Tables, at, by
from workbench import point_in_time

SCHEMA = {
    "rows": {"__row": "BIGINT", "__t": "TIMESTAMPTZ", "user": "VARCHAR", "place": "VARCHAR"},
    "facts": {"__rank": "BIGINT", "__t": "TIMESTAMPTZ", "user": "VARCHAR", "place": "VARCHAR"},
}
KEYS: tuple[tuple[str, ...], ...] = ((), ("user",), ("user", "place"))
# Glued together, some pairs of these look like others: 1 and 12 like 11 and 2.
TEXTS = (None, "", "NaN", "1", "11", "2", "12", "a", "A", "é")
SECONDS = (None, 0, 1, 1.000001, 2, 2, 3)
Choose = Callable[[Sequence[Any]], Any]


@pytest.fixture(
    scope="module", params=[("duckdb", "native"), ("duckdb", "portable"), ("spark", "portable")]
)
def tables(request: pytest.FixtureRequest) -> Iterator[Tables]:
    name, form = request.param
    with pytest.MonkeyPatch.context() as patch:
        if form == "portable":
            patch.setattr(point_in_time.engine, "is_duckdb", lambda _: False)
        yield Tables(SCHEMA, engine=name)


def some_rows(choose: Choose, many: int) -> list[Row]:
    return [
        {
            "__row": number,
            "__t": at(choose(SECONDS)),
            "user": choose(TEXTS),
            "place": choose(TEXTS),
        }
        for number in range(many)
    ]


def some_facts(choose: Choose, many: int, *, monotone: bool) -> list[Row]:
    """Facts whose ranks are unique, and grow with time where they are monotone."""
    facts = [
        {"__t": at(choose(SECONDS)), "user": choose(TEXTS), "place": choose(TEXTS)}
        for _ in range(many)
    ]
    facts.sort(key=lambda fact: str(fact["__t"]) if monotone else str(choose(range(1000))))
    return [{**fact, "__rank": number} for number, fact in enumerate(facts)]


def definition(rows: Sequence[Row], facts: Sequence[Row], keys: Sequence[str]) -> dict[int, int]:
    """The greatest rank of the facts with equal keys that are not later than the row."""
    found = {}
    for row in rows:
        ranks = [
            fact["__rank"]
            for fact in facts
            if None not in (row["__t"], fact["__t"])
            and fact["__t"] <= row["__t"]
            and all(row[key] is not None and row[key] == fact[key] for key in keys)
        ]
        if ranks:
            found[row["__row"]] = max(ranks)
    return found


def one_at_a_time(facts: Sequence[Row], keys: Sequence[str]) -> list[Row]:
    """The first of the facts that have the same keys and the same time."""
    kept = {(fact["__t"], *(fact[key] for key in keys)): fact for fact in reversed(facts)}
    return list(kept.values())


def found(
    tables: Tables, keys: Sequence[str], *, monotone: bool, distinct: bool = False
) -> dict[int, int]:
    def expression() -> Any:
        return point_in_time.latest(
            tables.table("rows"),
            tables.table("facts").mutate(tenfold=lambda t: t["__rank"] * 10),
            keys=keys,
            monotone=monotone,
            distinct=distinct,
            taken=["tenfold"],
        )

    rows = by(tables.run((keys, monotone, distinct), expression), "__row")
    assert all(row["tenfold"] == 10 * row["__found"] for row in rows.values())
    return {number: row["__found"] for number, row in rows.items()}


@pytest.mark.parametrize("distinct", [True, False])
@pytest.mark.parametrize("monotone", [True, False])
@pytest.mark.parametrize("keys", KEYS, ids=["no key", "one key", "two keys"])
def test_is_its_definition_in_large_worlds(
    tables: Tables, keys: tuple[str, ...], monotone: bool, distinct: bool
) -> None:
    for seed, (rows, facts) in enumerate([(600, 900), (300, 3), (3, 300)]):
        choose = random.Random(seed).choice
        asking = some_rows(choose, rows)
        known = some_facts(choose, facts, monotone=monotone)
        random.Random(seed).shuffle(known)
        known = one_at_a_time(known, keys) if distinct else known
        tables.fill(rows=asking, facts=known)
        expected = definition(asking, known, keys)
        assert found(tables, keys, monotone=monotone, distinct=distinct) == expected
        assert seed > 0 or len(expected) > 3


@settings(max_examples=40, deadline=None)
@given(data=st.data(), keys=st.sampled_from(KEYS), monotone=st.booleans(), distinct=st.booleans())
def test_is_its_definition_in_small_worlds(
    tables: Tables, data: st.DataObject, keys: tuple[str, ...], monotone: bool, distinct: bool
) -> None:
    def choose(options: Sequence[Any]) -> Any:
        return data.draw(st.sampled_from(options))

    rows = some_rows(choose, choose(range(6)))
    facts = some_facts(choose, choose(range(6)), monotone=monotone)
    facts = one_at_a_time(facts, keys) if distinct else facts
    tables.fill(rows=rows, facts=facts)
    wanted = definition(rows, facts, keys)
    assert found(tables, keys, monotone=monotone, distinct=distinct) == wanted


@pytest.mark.parametrize("monotone", [True, False])
def test_keys_are_not_glued_together(tables: Tables, monotone: bool) -> None:
    tables.fill(
        rows=[{"__row": 0, "__t": at(5), "user": "1", "place": "12"}],
        facts=[{"__rank": 0, "__t": at(5), "user": "11", "place": "2"}],
    )
    assert found(tables, ("user", "place"), monotone=monotone) == {}


@pytest.mark.parametrize("monotone", [True, False])
def test_a_fact_at_the_very_time_counts_and_of_several_the_greatest_rank(
    tables: Tables, monotone: bool
) -> None:
    tables.fill(
        rows=[{"__row": n, "__t": at(5), "user": "a"} for n in range(50)],
        facts=[{"__rank": (n * 7) % 40, "__t": at(5), "user": "a"} for n in range(40)],
    )
    assert set(found(tables, ("user",), monotone=monotone).values()) == {39}


@pytest.mark.parametrize("keys", KEYS, ids=["no key", "one key", "two keys"])
@pytest.mark.parametrize(("rows", "facts"), [(0, 2), (2, 0), (0, 0)])
def test_an_empty_side_finds_nothing(
    tables: Tables, keys: tuple[str, ...], rows: int, facts: int
) -> None:
    same = {"__t": at(1), "user": "a", "place": "b"}
    tables.fill(
        rows=[{"__row": n, **same} for n in range(rows)],
        facts=[{"__rank": n, **same} for n in range(facts)],
    )
    assert found(tables, keys, monotone=True) == {}
