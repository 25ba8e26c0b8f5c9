"""Facts that are valid for a time, against their definition: overlaps, gaps, open ends."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.contexts.test_build import write
from tests.soundness.tables import ENGINES, Row, Tables, at, by, difference
from workbench.contexts import JoinSpec, contexts
from workbench.errors import DataError

SCHEMA = {
    "inferences": {"row_id": "BIGINT", "ts": "TIMESTAMPTZ", "user": "VARCHAR", "place": "BIGINT"},
    "facts": {
        "key_0": "VARCHAR",
        "key_1": "VARCHAR",
        "since": "TIMESTAMPTZ",
        "until": "TIMESTAMPTZ",
        "recorded": "TIMESTAMPTZ",
        "nth": "BIGINT",
        "tier": "VARCHAR",
    },
}
PLAIN = JoinSpec(
    name="profile",
    keys=(("user", "key_0"),),
    facts=("tier",),
    order="nth",
    times={"valid_from": "since", "valid_to": "until"},
)
KNOWN = {**PLAIN.times, "known_at": "recorded"}
SPECS = {
    "one key": PLAIN,
    "recorded later": replace(PLAIN, times=KNOWN),
    "two keys": replace(PLAIN, keys=(("user", "key_0"), ("place", "key_1")), times=KNOWN),
    "no key": replace(PLAIN, keys=()),
    "no key, recorded later": replace(PLAIN, keys=(), times=KNOWN),
    "never ends": replace(PLAIN, times={"valid_from": "since"}),
}
SECONDS = (0, 1, 2, 3, 3, 4, 5, 2.999999, 3.000001)
Choose = Callable[[Sequence[Any]], Any]
FIRST = datetime.min.replace(tzinfo=UTC)


def some_inferences(choose: Choose) -> list[Row]:
    return [
        {
            "row_id": number,
            "ts": at(choose((None, -1, *SECONDS, 9))),
            "user": choose((None, "a", "a", "b", "")),
            "place": choose((None, 1, 1, 2)),
        }
        for number in range(choose(range(8)))
    ]


def some_facts(choose: Choose) -> list[Row]:
    facts = []
    for _ in range(choose(range(6))):
        since = choose(SECONDS)
        facts.append(
            {
                "key_0": choose(("a", "a", "b", "")),
                "key_1": choose(("1", "1", "2")),
                "since": at(since),
                "until": at(choose((None, since + 1e-6, since + 1, since + 2, since + 4))),
                "recorded": at(choose((None, since - 1, since, since + 1, since + 3))),
                "tier": choose((None, "gold", "free")),
            }
        )
    facts.sort(key=lambda fact: (fact["since"], fact["recorded"] or FIRST))
    for number, fact in enumerate(facts):
        fact["nth"] = number
    return facts


def usable_from(fact: Row, spec: JoinSpec) -> datetime:
    recorded = fact["recorded"] if "known_at" in spec.times else None
    since: datetime = fact["since"]
    return max(since, recorded or since)


def interval(inference: Row, facts: Sequence[Row], spec: JoinSpec) -> Row:
    """Of the facts that are valid and known, the one that became valid last."""
    nothing: Row = {"profile": None, "profile__age": None, "profile__known": None}
    if any(inference[left] is None for left, _ in spec.keys):
        return {**nothing, "profile__reason": "no_key"}
    now = inference["ts"]
    if now is None:
        return {**nothing, "profile__reason": "no_clock"}
    own = [f for f in facts if all(f[right] == str(inference[left]) for left, right in spec.keys)]
    if not own:
        return {**nothing, "profile__reason": "no_match"}
    known = [fact for fact in own if usable_from(fact, spec) <= now]
    if not known:
        return {**nothing, "profile__reason": "not_yet_known"}
    ends = "valid_to" in spec.times
    valid = [fact for fact in known if not ends or fact["until"] is None or now < fact["until"]]
    if not valid:
        return {**nothing, "profile__reason": "not_valid"}
    latest = max(valid, key=lambda fact: (fact["since"], fact["nth"]))
    return {
        "profile": {"tier": latest["tier"]},
        "profile__age": (now - latest["since"]).total_seconds(),
        "profile__reason": None,
        "profile__known": usable_from(latest, spec),
    }


def overlapping(facts: Sequence[Row], spec: JoinSpec) -> int:
    """Facts that are valid and known at one time with another fact of the same key."""

    def lasts(fact: Row) -> tuple[datetime, datetime]:
        until = fact["until"] if "valid_to" in spec.times else None
        return usable_from(fact, spec), until or datetime.max.replace(tzinfo=UTC)

    def meet(one: Row, other: Row) -> bool:
        same = all(one[right] == other[right] for _, right in spec.keys)
        begin = max(lasts(one)[0], lasts(other)[0])
        return same and begin < min(lasts(one)[1], lasts(other)[1])

    return sum(
        any(meet(one, other) for other in facts if other["nth"] != one["nth"]) for one in facts
    )


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
        join = contexts.get("interval").join
        return join(tables.table("inferences"), tables.table("facts"), spec)

    return by(tables.run(("interval", str(spec)), expression), "row_id")


def figures(tables: Tables, spec: JoinSpec) -> Row:
    def expression() -> Any:
        return contexts.get("interval").figures(tables.table("facts"), spec)

    (row,) = tables.run(("figures", str(spec)), expression)
    return row


@settings(max_examples=60, deadline=None)
@given(world=worlds(), spec=st.sampled_from(list(SPECS.values())), seed=st.integers(0, 99))
def test_is_its_definition_whatever_the_order_of_the_rows(
    duckdb: Tables, world: tuple[list[Row], list[Row]], spec: JoinSpec, seed: int
) -> None:
    inferences, facts = world
    shuffled = random.Random(seed)
    shuffled.shuffle(inferences)
    shuffled.shuffle(facts)
    expected = {row["row_id"]: {**row, **interval(row, facts, spec)} for row in inferences}
    duckdb.fill(inferences=inferences, facts=facts)
    assert difference(run(duckdb, spec), expected) == []
    assert figures(duckdb, spec) == {"overlapping": overlapping(facts, spec)}


@pytest.mark.parametrize("spec", [s for s in SPECS.values() if s.keys])
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
        expected |= {row["row_id"]: {**row, **interval(row, known, spec)} for row in these}
    tables.fill(inferences=inferences, facts=facts)
    assert difference(run(tables, spec), expected) == []
    reasons = Counter(row["profile__reason"] for row in expected.values())
    gaps = {"not_valid"} if "valid_to" in spec.times else set()
    assert reasons.keys() == {None, "no_key", "no_clock", "no_match", "not_yet_known"} | gaps


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize(("inferences", "facts"), [(0, 3), (3, 0), (0, 0)])
def test_an_empty_side_keeps_the_rows(
    tables: Tables, spec: JoinSpec, inferences: int, facts: int
) -> None:
    tables.fill(
        inferences=[{"row_id": n, "ts": at(1), "user": "a", "place": 1} for n in range(inferences)],
        facts=[{"key_0": f"{n}", "since": at(1), "nth": n} for n in range(facts)],
    )
    found = run(tables, spec)
    assert len(found) == inferences
    assert {row["profile__reason"] for row in found.values()} <= {"no_match"}


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [(1.999999, "not_yet_known"), (2, None), (3.999999, None), (4, "not_valid")],
)
def test_the_start_is_in_the_interval_and_the_end_is_not(
    tables: Tables, seconds: float, reason: str | None
) -> None:
    tables.fill(
        inferences=[{"row_id": 0, "ts": at(seconds), "user": "a"}],
        facts=[{"key_0": "a", "since": at(2), "until": at(4), "nth": 0, "tier": "gold"}],
    )
    assert run(tables, PLAIN)[0]["profile__reason"] == reason


CONFIG = """
[project]
name = "validity"
[inferences]
source = "inferences.jsonl"
[feedback]
source = "feedback.jsonl"
[context.incident]
source = "incidents.jsonl"
join = "interval"
valid_from = "began"
valid_to = "ended"
known_at = "noticed"
overlap = "OVERLAP"
columns = ["name"]
"""
INCIDENTS = [
    {"name": "slow", "began": "2026-01-02", "ended": "2026-01-05"},
    {"name": "down", "began": "2026-01-04", "ended": "2026-01-06", "noticed": "2026-01-05"},
    {"name": "late", "began": "2026-01-07", "ended": "2026-01-08", "noticed": "2026-01-08"},
    {"name": "on", "began": "2026-01-09", "ended": "9999-12-31"},
    {"name": "backwards", "began": "2026-01-03", "ended": "2026-01-02"},
    {"name": "empty", "began": "2026-01-03", "ended": "2026-01-03"},
    {"name": "future", "began": "9999-12-31"},
]


def project(folder: Path, overlap: str) -> wb.Workbench:
    (folder / "workbench.toml").write_text(CONFIG.replace("OVERLAP", overlap))
    write(
        folder / "inferences.jsonl",
        [
            {"request_id": f"r{day:02}", "ts": f"2026-01-{day:02}T12:00:00Z", "model_version": "v1"}
            for day in range(1, 11)
        ],
    )
    write(
        folder / "feedback.jsonl",
        [{"request_id": "r05", "ts": "2026-01-05T13:00:00Z", "name": "thumb", "kind": "binary",
          "value": 1}],
    )  # fmt: skip
    write(folder / "incidents.jsonl", INCIDENTS)
    return wb.open(folder)


def test_incidents_without_key_through_a_whole_build(tmp_path: Path) -> None:
    built = project(tmp_path, "latest")
    built.build()
    rows = built.sql(
        "SELECT request_id, incident.name AS name FROM enriched_inferences ORDER BY request_id"
    ).table.to_pylist()
    names = [row["name"] for row in rows]
    assert names == [None, "slow", "slow", "slow", "down", None, None, None, "on", "on"]
    status = built.status()
    report = status["contexts"]["incident"]
    assert report["reasons"] == {"not_yet_known": 1, "not_valid": 3}
    assert report["overlapping"] == 0
    # Who ends before it begins is refused; an end that never comes is not a bad time.
    assert status["context_quarantine"] == {
        "context_incident": {"empty_interval": 2, "ts_out_of_range": 1}
    }


def test_where_overlaps_are_an_error_the_build_names_them(tmp_path: Path) -> None:
    built = project(tmp_path, "error")
    built.build()
    other = {"name": "twice", "began": "2026-01-02", "ended": "2026-01-03"}
    write(tmp_path / "incidents.jsonl", [*INCIDENTS, other])
    with pytest.raises(DataError, match="2026-01-02"):
        built.build()
