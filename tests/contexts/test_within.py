"""What followed an inference, against its definition: ends of the horizon, maturity, credit."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.contexts.test_build import write
from tests.soundness.tables import ENGINES, Row, Tables, at, by, difference
from workbench.contexts import JoinSpec, contexts
from workbench.errors import ConfigError
from workbench.project import Aggregate

SCHEMA = {
    "inferences": {
        "row_id": "BIGINT",
        "request_id": "VARCHAR",
        "ts": "TIMESTAMPTZ",
        "user": "VARCHAR",
        "place": "BIGINT",
    },
    "facts": {
        "key_0": "VARCHAR",
        "key_1": "VARCHAR",
        "at": "TIMESTAMPTZ",
        "recorded": "TIMESTAMPTZ",
        "nth": "BIGINT",
        "amount": "DOUBLE",
        "items": "BIGINT",
        "kind": "VARCHAR",
        "kept": "BOOLEAN",
    },
}
AGGREGATES = tuple(
    Aggregate(name=name, function=function, column=column)
    for name, function, column in (
        ("happened", "any", None),
        ("n", "count", None),
        ("spent", "sum", "amount"),
        ("items", "sum", "items"),
        ("kept", "sum", "kept"),
        ("mean_items", "mean", "items"),
        ("least", "min", "amount"),
        ("greatest", "max", "items"),
        ("first_kind", "first", "kind"),
        ("last_kind", "last", "kind"),
        ("wait", "time_to_first", None),
    )
)
OPTIONS = {"horizon": timedelta(seconds=2), "aggregates": AGGREGATES, "credit": "all"}
PLAIN = JoinSpec(
    name="outcome",
    keys=(("user", "key_0"),),
    facts=(),
    order="nth",
    times={"ts": "at"},
    options=OPTIONS,
    as_of=at(5),
)
KNOWN = {**PLAIN.times, "known_at": "recorded"}
TWO_KEYS = (("user", "key_0"), ("place", "key_1"))
SPECS = {
    "all": PLAIN,
    "recorded later": replace(PLAIN, times=KNOWN),
    "last": replace(PLAIN, options={**OPTIONS, "credit": "last"}, times=KNOWN),
    "linear": replace(PLAIN, options={**OPTIONS, "credit": "linear"}, times=KNOWN),
    "two keys, last": replace(PLAIN, keys=TWO_KEYS, options={**OPTIONS, "credit": "last"}),
    "at once": replace(PLAIN, as_of=at(4), options={**OPTIONS, "horizon": timedelta(0)}),
    "half a second": replace(PLAIN, options={**OPTIONS, "horizon": timedelta(seconds=0.5)}),
    "no clock": replace(PLAIN, as_of=None),
}
SECONDS = (0, 1, 2, 3, 3, 4, 5, 2.999999, 3.000001)
Choose = Callable[[Sequence[Any]], Any]


def some_inferences(choose: Choose) -> list[Row]:
    numbers = list(range(choose(range(8))))
    return [
        {
            "row_id": number,
            # The greatest request is not of the greatest row.
            "request_id": f"r{9 - number}",
            "ts": at(choose((None, -2, *SECONDS))),
            "user": choose((None, "a", "a", "b", "")),
            "place": choose((None, 1, 1, 2)),
        }
        for number in numbers
    ]


def some_facts(choose: Choose) -> list[Row]:
    facts = [
        {
            "key_0": choose(("a", "a", "b", "")),
            "key_1": choose(("1", "1", "2")),
            "at": at(choose(SECONDS)),
            "recorded": at(choose((None, 0, 4, 5, 6))),
            "amount": choose((None, 0.1, 0.2, 2.5, -1.0, math.nan)),
            "items": choose((None, 0, 1, 7)),
            "kind": choose((None, "sale", "return")),
            "kept": choose((None, True, False)),
        }
        for _ in range(choose(range(8)))
    ]
    facts.sort(key=lambda fact: fact["at"])
    for number, fact in enumerate(facts):
        fact["nth"] = number
    return facts


def number(value: Any) -> float | int | None:
    """What counts of a value: numbers, and true as 1."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return int(value) if isinstance(value, bool) else value


def aggregated(a: Aggregate, now: datetime, mine: Sequence[tuple[Row, float]], shared: bool) -> Any:
    """One aggregate over facts and their shares; what is shared is a fraction."""
    facts = sorted((fact for fact, _ in mine), key=lambda fact: (fact["at"], fact["nth"]))
    match a.function:
        case "any":
            return bool(facts)
        case "count":
            return math.fsum(share for _, share in mine) if shared else len(facts)
        case "time_to_first":
            return (facts[0]["at"] - now).total_seconds() if facts else None
        case "first":
            return facts[0][a.column] if facts else None
        case "last":
            return facts[-1][a.column] if facts else None
    values = [(number(fact[a.column]), share) for fact, share in mine]
    known = [(value, share) for value, share in values if value is not None]
    if a.function == "sum" and (known or not facts):
        total = math.fsum(value * share for value, share in known)
        return total if shared or a.column == "amount" else int(total)
    if not known:
        return None
    if a.function == "mean":
        return math.fsum(v * w for v, w in known) / math.fsum(w for _, w in known)
    return (min if a.function == "min" else max)(value for value, _ in known)


def outcomes(inferences: Sequence[Row], facts: Sequence[Row], spec: JoinSpec) -> dict[int, Row]:
    """Every inference with its part of what followed."""
    horizon, credit = spec.options["horizon"], spec.options["credit"]

    def same(inference: Row, fact: Row) -> bool:
        return all(
            inference[left] is not None and fact[right] == str(inference[left])
            for left, right in spec.keys
        )

    def usable(fact: Row) -> bool:
        recorded = fact["recorded"] if "known_at" in spec.times else None
        return spec.as_of is not None and max(fact["at"], recorded or fact["at"]) <= spec.as_of

    mine: dict[int, list[tuple[Row, float]]] = {row["row_id"]: [] for row in inferences}
    users: dict[Any, list[Row]] = {}
    for row in inferences:
        users.setdefault(row["user"], []).append(row)
    for fact in facts:
        before = [
            row
            for row in users.get(fact["key_0"], [])
            if row["ts"] is not None
            and same(row, fact)
            and usable(fact)
            and row["ts"] <= fact["at"] <= row["ts"] + horizon
        ]
        if before and credit == "last":
            before = [max(before, key=lambda row: (row["ts"], row["request_id"]))]
        for row in before:
            share = 1 / len(before) if credit == "linear" else 1.0
            mine[row["row_id"]].append((fact, share))
    result = {}
    for row in inferences:
        reason, mature, found = None, False, mine[row["row_id"]]
        if any(row[left] is None for left, _ in spec.keys):
            reason = "no_key"
        elif row["ts"] is None or spec.as_of is None:
            reason = "no_clock"
        elif spec.as_of < row["ts"] + horizon:
            reason = "not_mature"
        else:
            mature, reason = True, None if found else "no_event"
        struct: Row | None = {"mature": mature}
        for a in spec.options["aggregates"]:
            value = aggregated(a, row["ts"], found, credit == "linear") if mature else None
            struct = {**(struct or {}), a.name: value}
        if reason in ("no_key", "no_clock"):
            struct = None
        result[row["row_id"]] = {
            **row,
            "outcome": struct,
            "outcome__age": None,
            "outcome__known": None,
            "outcome__reason": reason,
        }
    return result


def many_worlds(choose: Choose, n: int) -> tuple[list[Row], list[Row]]:
    """`n` worlds with users of their own, side by side."""
    inferences: list[Row] = []
    facts: list[Row] = []
    for world in range(n):
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
    return inferences, facts


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    def choose(options: Sequence[Any]) -> Any:
        return draw(st.sampled_from(options))

    return some_inferences(choose), some_facts(choose)


@pytest.fixture(scope="module", params=ENGINES)
def tables(request: pytest.FixtureRequest) -> Tables:
    return Tables(SCHEMA, engine=request.param)


@pytest.fixture(scope="module")
def duckdb() -> Tables:
    return Tables(SCHEMA)


def run(tables: Tables, spec: JoinSpec) -> dict[int, Row]:
    def expression() -> Any:
        join = contexts.get("within").join
        return join(tables.table("inferences"), tables.table("facts"), spec)

    return by(tables.run(("within", str(spec)), expression), "row_id")


@settings(max_examples=60, deadline=None)
@given(world=worlds(), spec=st.sampled_from(list(SPECS.values())), seed=st.integers(0, 99))
def test_is_its_definition_whatever_the_order_of_the_rows(
    duckdb: Tables, world: tuple[list[Row], list[Row]], spec: JoinSpec, seed: int
) -> None:
    inferences, facts = world
    expected = outcomes(inferences, facts, spec)
    shuffled = random.Random(seed)
    shuffled.shuffle(inferences)
    shuffled.shuffle(facts)
    duckdb.fill(inferences=inferences, facts=facts)
    assert difference(run(duckdb, spec), expected) == []


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_is_its_definition_in_many_worlds_at_once(tables: Tables, spec: JoinSpec) -> None:
    inferences, facts = many_worlds(random.Random(7).choice, 300)
    expected = outcomes(inferences, facts, spec)
    tables.fill(inferences=inferences, facts=facts)
    assert difference(run(tables, spec), expected) == []
    reasons = Counter(row["outcome__reason"] for row in expected.values())
    clock = {None, "not_mature", "no_event"} if spec.as_of is not None else set()
    assert reasons.keys() == {"no_key", "no_clock"} | clock


@pytest.mark.parametrize("credit", ["last", "linear"])
def test_what_is_credited_adds_up_to_what_happened(tables: Tables, credit: str) -> None:
    """Every fact that has an inference in its horizon is credited once, in one or more shares."""
    spec = replace(PLAIN, options={**OPTIONS, "credit": credit}, as_of=at(100))
    inferences, facts = many_worlds(random.Random(11).choice, 60)
    tables.fill(inferences=inferences, facts=facts)
    found = run(tables, spec).values()
    starts: dict[Any, list[datetime]] = {}
    for row in inferences:
        if row["ts"] is not None:
            starts.setdefault(row["user"], []).append(row["ts"])
    credited: Counter[tuple[str, str]] = Counter()
    followed: Counter[tuple[str, str]] = Counter()
    for row in found:
        for field in ("n", "spent", "items"):
            credited[row["user"], field] += (row["outcome"] or {}).get(field) or 0
    for fact in facts:
        user, horizon = fact["key_0"], OPTIONS["horizon"]
        if any(start <= fact["at"] <= start + horizon for start in starts.get(user, [])):
            followed[user, "n"] += 1
            followed[user, "spent"] += number(fact["amount"]) or 0
            followed[user, "items"] += fact["items"] or 0
    assert followed
    for place in credited.keys() | followed.keys():
        assert credited[place] == pytest.approx(followed[place], abs=1e-12), place


@pytest.mark.parametrize(
    ("after", "n"), [(-0.000001, 0), (0, 1), (1, 1), (2, 1), (2.000001, 0), (-1, 0)]
)
@pytest.mark.parametrize("start", [0, 1.5, 1.999999])
def test_both_ends_of_the_horizon_are_in_it(
    tables: Tables, start: float, after: float, n: int
) -> None:
    tables.fill(
        inferences=[{"row_id": 0, "request_id": "r", "ts": at(start), "user": "a"}],
        facts=[{"key_0": "a", "at": at(start + after), "nth": 0}],
    )
    assert run(tables, PLAIN)[0]["outcome"]["n"] == n


@pytest.mark.parametrize(("as_of", "mature"), [(1.999999, False), (2, True)])
def test_nothing_is_said_before_the_horizon_has_ended(
    tables: Tables, as_of: float, mature: bool
) -> None:
    spec = replace(PLAIN, as_of=at(as_of))
    tables.fill(
        inferences=[{"row_id": 0, "request_id": "r", "ts": at(0), "user": "a"}],
        facts=[{"key_0": "a", "at": at(1), "nth": 0}],
    )
    found = run(tables, spec)[0]
    assert found["outcome"]["mature"] is mature
    assert found["outcome"]["happened"] is (True if mature else None)
    assert found["outcome__reason"] == (None if mature else "not_mature")


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize(("inferences", "facts"), [(0, 3), (3, 0), (0, 0)])
def test_an_empty_side_keeps_the_rows(
    tables: Tables, spec: JoinSpec, inferences: int, facts: int
) -> None:
    tables.fill(
        inferences=[
            {"row_id": n, "request_id": f"{n}", "ts": at(1), "user": "a", "place": 1}
            for n in range(inferences)
        ],
        facts=[{"key_0": f"{n}", "key_1": "1", "at": at(1), "nth": n} for n in range(facts)],
    )
    found = run(tables, spec)
    assert len(found) == inferences
    assert {row["outcome__reason"] for row in found.values()} <= {"no_event", "no_clock"}


def test_a_field_may_not_hide_whether_the_numbers_are_mature(tables: Tables) -> None:
    mature = (Aggregate(name="mature", function="any", column=None),)
    spec = replace(PLAIN, options={**OPTIONS, "aggregates": mature})
    with pytest.raises(ConfigError, match=r"context\.outcome.*mature"):
        contexts.get("within").join(tables.table("inferences"), tables.table("facts"), spec)


CONFIG = """
[project]
name = "outcomes"
[inferences]
source = "inferences.jsonl"
[feedback]
source = "feedback.jsonl"
"""
CONTEXT = """
[context.NAME]
source = "orders*.jsonl"
join = "within"
on = { user_id = "buyer" }
ts = "at"
known_at = "booked"
horizon = "1d"
credit = "CREDIT"
[context.NAME.aggregates]
converted = "any"
n = "count"
revenue = "sum(Amount)"
wait = "time_to_first"
"""
ORDERS = [
    {"buyer": "u", "at": "2026-01-01T18:00:00Z", "amount": 5},
    {"buyer": "u", "at": "2026-01-02T13:00:00Z", "amount": 2.5, "booked": "2026-01-03T00:00:00Z"},
    {"buyer": "u", "at": "2026-01-02T14:00:00Z", "amount": 70, "booked": "2026-02-01T00:00:00Z"},
    {"buyer": "other", "at": "2026-01-01T18:00:00Z", "amount": 900},
]


def project(folder: Path, orders: Sequence[Row], **credits: str) -> wb.Workbench:
    contexts = "".join(
        CONTEXT.replace("NAME", name).replace("CREDIT", credit) for name, credit in credits.items()
    )
    (folder / "workbench.toml").write_text(CONFIG + contexts)
    times = ("01T12", "02T12", "02T12", "05T12", "09T12")
    write(
        folder / "inferences.jsonl",
        [
            {"request_id": f"r{n}", "ts": f"2026-01-{time}:00:00Z", "model_version": "v1",
             "user_id": "u"}
            for n, time in enumerate(times)
        ],
    )  # fmt: skip
    write(
        folder / "feedback.jsonl",
        [{"request_id": "r0", "ts": "2026-01-09T13:00:00Z", "name": "thumb", "kind": "binary",
          "value": 1}],
    )  # fmt: skip
    write(folder / "orders.jsonl", list(orders))
    return wb.open(folder)


def found(built: wb.Workbench, name: str, field: str) -> list[Any]:
    rows = built.sql(f"SELECT {name}.{field} AS x FROM enriched_inferences ORDER BY request_id")
    return [row["x"] for row in rows.table.to_pylist()]


def test_revenue_through_a_whole_build(tmp_path: Path) -> None:
    built = project(tmp_path, ORDERS, every="all", latest="last", shared="linear")
    built.build()
    assert found(built, "every", "revenue") == [5.0, 2.5, 2.5, 0.0, None]
    assert found(built, "latest", "revenue") == [5.0, 0.0, 2.5, 0.0, None]
    assert found(built, "shared", "revenue") == [5.0, 1.25, 1.25, 0.0, None]
    assert found(built, "shared", "n") == [1.0, 0.5, 0.5, 0.0, None]
    assert found(built, "every", "mature") == [True, True, True, True, False]
    assert found(built, "latest", "converted") == [True, False, True, False, None]
    assert found(built, "every", "wait") == [6 * 3600, 3600, 3600, None, None]
    reports = built.status()["contexts"]
    assert reports["every"]["reasons"] == {"no_event": 1, "not_mature": 1}
    assert reports["latest"]["reasons"] == {"no_event": 2, "not_mature": 1}


def test_orders_that_look_alike_are_several_and_a_row_that_was_read_twice_is_one(
    tmp_path: Path,
) -> None:
    alike = [{**ORDERS[1], "order_id": n} for n in range(3)]
    write(tmp_path / "orders-again.jsonl", [alike[1], {**ORDERS[1], "order_id": 9}])
    built = project(tmp_path, alike, every="all")
    built.build()
    assert found(built, "every", "n") == [0, 4, 4, 0, None]
    assert found(built, "every", "revenue") == [0, 10.0, 10.0, 0, None]


def test_a_source_without_a_value_says_that_nothing_happened(tmp_path: Path) -> None:
    built = project(tmp_path, [{**ORDERS[1], "buyer": "other", "amount": None}], every="all")
    built.build()
    assert found(built, "every", "revenue") == [0, 0, 0, 0, None]
    assert found(built, "every", "n") == [0, 0, 0, 0, None]


def test_what_cannot_be_added_up_is_an_error_that_names_the_field(tmp_path: Path) -> None:
    built = project(tmp_path, [{**ORDERS[1], "amount": "5 EUR"}], every="all")
    with pytest.raises(ConfigError, match=r"context\.every.*revenue.*sum\(Amount\)"):
        built.build()
