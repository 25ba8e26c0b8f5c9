"""The skew of senders' clocks against its definition, and found again where it was planted."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.soundness.tables import ENGINES, Row, Tables, at, by, difference
from workbench.attribution import CLOCK_COLUMNS, clocks, corrected

TEXT = ("feedback_id", "request_id", "kind", *CLOCK_COLUMNS[:3])
SCHEMA = {
    "events": {
        **dict.fromkeys(TEXT, "VARCHAR"), "ts": "TIMESTAMPTZ", "received_at": "TIMESTAMPTZ"
    },
    "inferences": {"request_id": "VARCHAR", "trace_id": "VARCHAR", "ts": "TIMESTAMPTZ"},
    "aliases": {"alias": "VARCHAR", "request_id": "VARCHAR"},
}  # fmt: skip


@pytest.fixture(scope="module", params=ENGINES)
def tables(request: pytest.FixtureRequest) -> Tables:
    return Tables(SCHEMA, engine=request.param)


def estimate(tables: Tables) -> dict[str, Row]:
    names = ("events", "inferences", "aliases")
    return by(tables.run("clocks", lambda: clocks(*map(tables.table, names))), "source")


def quantile(values: Sequence[Fraction], share: Fraction) -> Fraction:
    """Between the two values around the place, in proportion."""
    place = share * (len(values) - 1)
    low = int(place)
    values = sorted(values)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])


def seconds(span: timedelta) -> Fraction:
    return Fraction(span // timedelta(microseconds=1), 1_000_000)


def by_hand(events: Sequence[Row], inferences: Sequence[Row], aliases: Sequence[Row]) -> Any:
    known = {inference["request_id"]: inference for inference in inferences}
    uppers, lowers = defaultdict(list), defaultdict(list)
    for event in events:
        if event["kind"] == "preference" or event["request_id"] is None:
            continue
        targets = {event["request_id"]} & known.keys()
        if not targets:
            named = {a["request_id"] for a in aliases if a["alias"] == event["request_id"]}
            targets = named & known.keys()
        if len(targets) != 1:
            continue
        made = known[targets.pop()]["ts"]
        if made is None or event["ts"] is None:
            continue
        parts = [f"{c}={event[c]}" for c in CLOCK_COLUMNS[:3] if event[c] is not None]
        uppers[" ".join(parts)].append(seconds(event["ts"] - made))
        if event["received_at"] not in (None, event["ts"]):
            lowers[" ".join(parts)].append(seconds(event["ts"] - event["received_at"]))
    result = {}
    for source, upper in uppers.items():
        lower = lowers[source]
        row: Row = {"n": len(upper), "low": None, "high": None, "skew": None, "reason": "too_few"}
        if len(upper) >= 20:
            high = quantile(upper, Fraction(5, 100))
            low = quantile(lower, Fraction(95, 100)) if len(lower) >= 20 else None
            skew = min(max(low or Fraction(0), Fraction(0)), high)
            crossed = low is not None and low > high
            row |= {
                "low": None if low is None else float(low),
                "high": float(high),
                "skew": None if crossed else float(skew),
                "reason": "inconsistent" if crossed else None,
            }
        result[source] = row
    return result


def some_events(seed: int) -> tuple[list[Row], list[Row], list[Row]]:
    """A few sources whose clocks are off, with events of all sorts."""
    chance = random.Random(seed)
    inferences = [
        {"request_id": f"r{n}", "ts": at(chance.choice([None, *range(20)]))} for n in range(9)
    ]
    aliases = [
        {"alias": f"a{chance.randrange(6)}", "request_id": f"r{chance.randrange(12)}"}
        for _ in range(8)
    ]
    events: list[Row] = []
    for _ in range(chance.choice((1, 3))):
        mine = {c: chance.choice((None, "x", "y")) for c in CLOCK_COLUMNS[:3]}
        skew, arrives = chance.choice((-50, 0, 0, 50)), chance.choice((True, True, False))
        for _ in range(chance.choice((5, 40, 60))):
            happened = chance.choice([None, *range(10, 30)])
            ts = None if happened is None else at(happened + skew)
            late = chance.choice((0, 1, 2.5, -3))
            events.append(
                {
                    "feedback_id": f"f{len(events)}",
                    "request_id": chance.choice(
                        [None, *(f"{p}{n}" for p in "rra" for n in range(9))]
                    ),
                    "kind": chance.choice((None, "binary", "binary", "preference")),
                    "ts": ts,
                    "received_at": ts if not arrives or ts is None else at((happened or 0) + late),
                    **mine,
                }
            )
    return events, inferences, aliases


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_is_its_definition(tables: Tables, seed: int) -> None:
    events, inferences, aliases = some_events(seed)
    tables.fill(events=events, inferences=inferences, aliases=aliases)
    assert difference(estimate(tables), by_hand(events, inferences, aliases)) == []


def planted(skew: float, *, arrives: bool = True) -> tuple[list[Row], list[Row]]:
    """Forty events of a clock that is off by `skew` seconds, each 5 s after its inference."""
    inferences = [{"request_id": f"r{n}", "ts": at(100 * n)} for n in range(40)]
    events = [
        {
            "feedback_id": f"f{n}",
            "request_id": f"r{n}",
            "ts": at(100 * n + 5 + skew),
            "received_at": at(100 * n + 7) if arrives else at(100 * n + 5 + skew),
            "device_type": "phone",
        }
        for n in range(40)
    ]
    return events, inferences


@pytest.mark.parametrize(
    ("skew", "arrives", "found"),
    [(3600, True, 3598.0), (-3600, True, -3595.0), (1, True, 0.0), (-3600, False, -3595.0)],
)
def test_a_planted_skew_is_found_as_far_as_the_events_say(
    tables: Tables, skew: float, arrives: bool, found: float
) -> None:
    events, inferences = planted(skew, arrives=arrives)
    tables.fill(events=events, inferences=inferences, aliases=[])
    row = estimate(tables)["device_type=phone"]
    assert (row["skew"], row["reason"]) == (found, None)
    assert (row["low"] is None) == (not arrives)


def test_a_clock_that_is_ahead_is_not_corrected_without_arrivals(tables: Tables) -> None:
    events, inferences = planted(3600, arrives=False)
    tables.fill(events=events, inferences=inferences, aliases=[])
    assert estimate(tables)["device_type=phone"]["skew"] == 0.0


def test_a_clock_that_jumps_has_no_skew(tables: Tables) -> None:
    (ahead, inferences), (behind, _) = planted(3600), planted(-3600)
    tables.fill(events=[*ahead[:20], *behind[20:]], inferences=inferences, aliases=[])
    row = estimate(tables)["device_type=phone"]
    assert (row["skew"], row["reason"]) == (None, "inconsistent")


def test_only_events_of_a_known_clock_are_corrected(tables: Tables) -> None:
    events, inferences = planted(-3600)
    other = {"feedback_id": "other", "ts": at(0), "device_type": "desk"}
    untimed = {"feedback_id": "untimed", "device_type": "phone"}
    tables.fill(events=[*events, other, untimed], inferences=inferences, aliases=[])
    names = ("events", "inferences", "aliases")

    def expression() -> Any:
        return corrected(tables.table("events"), clocks(*map(tables.table, names)))

    rows = by(tables.run("corrected", expression), "feedback_id")
    assert {key: row["ts"] for key, row in rows.items()} == {
        **{event["feedback_id"]: event["ts"] + timedelta(seconds=3595) for event in events},
        "other": at(0),
        "untimed": None,
    }
    assert rows["f3"]["received_at"] == events[3]["received_at"]
