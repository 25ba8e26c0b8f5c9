"""Numbers over several facts: what they are of, what they refuse, and that order is nothing."""

from __future__ import annotations

import math
import random
from typing import Any

import ibis
import pytest

from tests.soundness.tables import ENGINES, Row, Tables, at, by, difference, same
from workbench.contexts._aggregates import aggregate, check, column
from workbench.errors import ConfigError
from workbench.project import Aggregate

SCHEMA = {
    "pairs": {
        "__row": "BIGINT",
        "__t": "TIMESTAMPTZ",
        "__at": "TIMESTAMPTZ",
        "__order": "BIGINT",
        "amount": "DOUBLE",
        "Items": "BIGINT",
        "kept": "BOOLEAN",
        "kind": "VARCHAR",
        "day": "TIMESTAMPTZ",
        "share": "DOUBLE",
    }
}
FACTS = ibis.table(
    {"amount": "float64", "Items": "int64", "kind": "string", "tags": "array<string>"}
)


@pytest.fixture(scope="module", params=ENGINES)
def tables(request: pytest.FixtureRequest) -> Tables:
    return Tables(SCHEMA, engine=request.param)


def of(function: str, of_column: str | None = None, name: str = "x") -> Aggregate:
    return Aggregate(name=name, function=function, column=of_column)


def run(tables: Tables, wanted: list[Aggregate], rows: list[Row], *, weighted: bool = False) -> Row:
    """The aggregates of the first inference."""
    tables.fill(pairs=rows)

    def expression() -> Any:
        pairs = tables.table("pairs")
        return aggregate(pairs, wanted, weight=pairs["share"] if weighted else None)

    found = by(tables.run((str(wanted), weighted), expression), "__row")[0]
    return {a.name: found[column(a)] for a in wanted}


def pair(seconds: float, order: int, **values: Any) -> Row:
    return {"__row": 0, "__t": at(0), "__at": at(seconds), "__order": order, **values}


def test_first_and_last_are_by_time_then_order_and_may_be_missing(tables: Tables) -> None:
    wanted = [of(f, c, f"{f}_{c}") for f in ("first", "last") for c in ("kind", "Items")]
    rows = [
        pair(2, 3, kind=None, Items=5),
        pair(1, 2, kind="b", Items=None),
        pair(1, 9, kind="c", Items=7),
        pair(2, 1, kind="d", Items=4),
    ]
    assert run(tables, wanted, rows) == {
        "first_kind": "b", "first_Items": None, "last_kind": None, "last_Items": 5
    }  # fmt: skip


def test_what_is_not_known_or_not_finite_is_left_out(tables: Tables) -> None:
    wanted = [of(f, "amount", f) for f in ("sum", "mean", "min", "max")]
    rows = [pair(1, n, amount=x) for n, x in enumerate((1.0, None, math.nan, math.inf, 4.0))]
    assert run(tables, wanted, rows) == {"sum": 5.0, "mean": 2.5, "min": 1.0, "max": 4.0}
    nothing = [pair(1, 0, amount=None), pair(1, 1, amount=math.nan)]
    assert run(tables, wanted, nothing) == dict.fromkeys(("sum", "mean", "min", "max"))


def test_shares_weigh_counts_sums_and_means(tables: Tables) -> None:
    wanted = [
        of("count", None, "n"), of("sum", "items", "items"), of("mean", "amount", "mean"),
        of("sum", "kept", "kept"), of("any", None, "any"), of("max", "day", "day"),
    ]  # fmt: skip
    rows = [
        pair(1, 0, share=0.5, Items=3, amount=1.0, kept=True, day=at(7)),
        pair(1, 1, share=0.25, Items=4, amount=None, kept=True, day=at(9)),
        pair(1, 2, share=1.0, Items=None, amount=4.0, kept=False, day=at(8)),
    ]
    expected = {"n": 1.75, "items": 2.5, "mean": 3.0, "kept": 0.75, "any": True, "day": at(9)}
    assert difference({0: run(tables, wanted, rows, weighted=True)}, {0: expected}) == []
    plain = {"n": 3, "items": 7, "mean": 2.5, "kept": 2, "any": True, "day": at(9)}
    assert difference({0: run(tables, wanted, rows)}, {0: plain}) == []


def test_a_sum_does_not_depend_on_the_order_of_the_rows(tables: Tables) -> None:
    choose = random.Random(1)
    amounts = [choose.choice([0.1, 0.7, 1e6, 1e-6, -0.3, 1234.56]) for _ in range(4_000)]
    rows = [pair(n, n, amount=amount) for n, amount in enumerate(amounts)]
    exact = math.fsum(amounts)
    for _ in range(3):
        choose.shuffle(rows)
        found = run(tables, [of("sum", "amount"), of("mean", "amount", "mean")], rows)
        assert same(found, {"x": exact, "mean": exact / len(amounts)})


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ([of("sum", "kind")], r"sum\(kind\).*added up"),
        ([of("mean", "tags")], r"mean\(tags\).*added up"),
        ([of("max", "kind")], r"max\(kind\).*greatest"),
        ([of("sum", "amont")], r"no column 'amont'.*\n.*'amount'"),
        ([of("count"), of("any", name="X")], "another field 'X'"),
        ([of("any", name="mature")], "another field 'mature'"),
    ],
)
def test_what_cannot_be_computed_is_refused_with_its_place(
    wanted: list[Aggregate], words: str
) -> None:
    with pytest.raises(ConfigError, match=rf"(?s)context\.outcome.*{words}"):
        check(wanted, FACTS, "outcome", taken=("mature",))


def test_what_can_be_computed_is_not_refused() -> None:
    check(
        [of("sum", "items"), of("first", "kind", "kind"), of("count", name="n")], FACTS, "outcome"
    )
