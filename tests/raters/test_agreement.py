"""Agreement against a second implementation, at its edges, and the coverage of its intervals."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.raters import oracle
from tests.soundness.tables import ENGINES, Tables, at
from workbench import agreement

SCHEMA = {
    "events": {
        **dict.fromkeys(
            ("feedback_id", "request_id", "name", "kind", "value", "rater_id"),
            "VARCHAR",
        ),
        "feedback_ts": "TIMESTAMPTZ",
        "retracted": "BOOLEAN",
    }
}


@pytest.fixture(scope="module", params=ENGINES)
def tables(request: pytest.FixtureRequest) -> Tables:
    return Tables(SCHEMA, engine=request.param)


@pytest.fixture(scope="module")
def duckdb() -> Tables:
    return Tables(SCHEMA)


def rating(unit: str, rater: str | None, value: str | None, **more: Any) -> dict[str, Any]:
    row = {"request_id": unit, "rater_id": rater, "value": value, "name": "s", "kind": "rating"}
    return {**row, "feedback_id": f"{unit} {rater} {value}", "feedback_ts": at(0), **more}


def fill(tables: Tables, units: oracle.Ratings, name: str = "s") -> list[dict[str, Any]]:
    rows = [
        rating(unit, rater, value, name=name, feedback_id=f"{name} {unit} {rater}")
        for unit, said in units.items()
        for rater, value in said.items()
    ]
    random.Random(len(rows)).shuffle(rows)
    return rows


def patterns(tables: Tables) -> dict[str, agreement.Units]:
    found = tables.run(
        "patterns",
        lambda: agreement.unit_patterns(agreement.ratings(tables.table("events"))),
    )
    names = {row["name"] for row in found}
    return {n: agreement.units_of([row for row in found if row["name"] == n]) for n in names}


def worlds(seed: int) -> dict[str, dict[str, str]]:
    rng = random.Random(seed)
    values = rng.choice((["0", "1"], ["1", "2", "3", "4", "5"], ["0", "0.5", "2", "10", "100"]))
    raters = rng.choice((2, 3, 5))
    noise = rng.random()
    units: dict[str, dict[str, str]] = {}
    for u in range(rng.choice((1, 2, 8, 60))):
        truth = rng.choice(values)
        units[f"u{u}"] = {
            f"r{r}": rng.choice(values) if rng.random() < noise else truth
            for r in range(raters)
            if rng.random() < 0.7
        }
    return {unit: said for unit, said in units.items() if said}


def test_is_its_definition_in_many_worlds(tables: Tables) -> None:
    many = {f"w{seed}": worlds(seed) for seed in range(60)}
    tables.fill(events=[row for name, units in many.items() for row in fill(tables, units, name)])
    found = patterns(tables)
    undefined = 0
    for name, units in many.items():
        mine = found.get(name)
        if mine is None:
            assert not units
            continue
        assert mine.n.sum() + mine.single == len(units)
        for level in agreement.LEVELS:
            value = agreement.alpha(mine, level)(mine.n)
            expected = oracle.alpha(units, level)
            undefined += expected is None
            assert value == pytest.approx(
                np.nan if expected is None else expected, rel=1e-12, abs=1e-12, nan_ok=True
            )
        taken, kappa = agreement.fleiss(mine)
        expected = oracle.fleiss(units)
        value = kappa(taken.n) if taken.n.sum() else np.nan
        assert value == pytest.approx(
            np.nan if expected is None else expected, rel=1e-12, abs=1e-12, nan_ok=True
        )
    assert 0 < undefined < 120
    cells = tables.run(
        "pairs", lambda: agreement.pair_counts(agreement.ratings(tables.table("events")), 1)
    )
    pairs: dict[Any, list[Any]] = {}
    for row in cells:
        pairs.setdefault((row["name"], row["rater_a"], row["rater_b"]), []).append(row)
    for (name, a, b), rows in pairs.items():
        n, kappa = agreement.cohen(rows)
        both = [(said[a], said[b]) for said in many[name].values() if {a, b} <= said.keys()]
        expected = oracle.cohen(both)
        assert n.sum() == len(both)
        assert float(kappa(n)) == pytest.approx(
            np.nan if expected is None else expected, rel=1e-12, abs=1e-12, nan_ok=True
        )


def test_the_last_word_of_a_rater_counts_and_no_other_event(duckdb: Tables) -> None:
    rows = [
        rating("u", "a", "1", feedback_ts=at(1)),
        rating("u", "a", "2", feedback_ts=at(2)),
        rating("u", "a", "3", feedback_ts=None),
        rating("u", "a", "4", feedback_ts=at(3), retracted=True),
        rating("u", "b", '"2.0"'),
        rating("u", None, "5"),
        rating("u", "c", None),
        rating("u", "d", "6", kind="comment"),
        rating("u", "e", "because", kind=None),
        rating("v", "a", "true", kind="binary"),
    ]
    duckdb.fill(events=rows)
    found = duckdb.run("rated", lambda: agreement.ratings(duckdb.table("events")))
    said = sorted((row["request_id"], row["rater_id"], row["value"]) for row in found)
    assert said == [("u", "a", "2"), ("u", "b", "2"), ("v", "a", "1")]


def units(*said: str) -> agreement.Units:
    rows = []
    for texts in said:
        values = texts.split()
        pattern = [{"value": v, "k": values.count(v)} for v in sorted(set(values))]
        rows.append({"name": "s", "pattern": pattern, "n": 1})
    return agreement.units_of(rows)


def test_what_is_undefined_is_no_number() -> None:
    equal = units("1 1", "1 1 1", "2")
    assert equal.single == 1
    for level in agreement.LEVELS:
        assert np.isnan(agreement.alpha(equal, level)(equal.n))
    words = units("a b", "b b")
    assert np.isfinite(agreement.alpha(words, "nominal")(words.n))
    assert not agreement.fits(words, "ordinal")
    assert not agreement.fits(units("-1 2", "2 2"), "ratio")
    assert agreement.fits(units("-1 2", "2 2"), "interval")
    for text in ("1_000", "0x1F", "1e400", "nan", "", "١"):
        assert np.isnan(agreement.number(text))


def test_far_away_numbers_keep_their_digits() -> None:
    near, far = units("1 2", "3 3", "5 4", "2 2"), units(
        "1000000001 1000000002", "1000000003 1000000003", "1000000005 1000000004",
        "1000000002 1000000002",
    )  # fmt: skip
    for level in ("ordinal", "interval"):
        first, second = (agreement.alpha(u, level)(u.n) for u in (near, far))
        assert second == pytest.approx(first, rel=1e-12)


def test_perfect_agreement_has_no_interval_of_width_zero() -> None:
    perfect = units("1 1", "2 2", "1 1")
    value = agreement.alpha(perfect, "nominal")
    assert value(perfect.n) == 1.0
    assert agreement.interval(perfect.n, value) == (None, None)
    assert agreement.interval(np.array([1.0]), lambda n: 0.5) == (None, None)


def drawn(rng: np.random.Generator, n: int) -> agreement.Units:
    """Units with 2 to 4 raters, each of whom is right four times of five, on a scale of 1 to 3."""
    truth = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    rows = []
    for t in truth:
        m = rng.integers(2, 5)
        said = np.where(rng.random(m) < 0.8, t, rng.integers(0, 3, m)) + 1
        values, counts = np.unique(said, return_counts=True)
        rows.append(tuple(zip(map(str, values), counts.tolist(), strict=True)))
    counted = [
        {"pattern": [{"value": v, "k": k} for v, k in row], "n": n}
        for row, n in Counter(rows).items()
    ]
    return agreement.units_of(counted)


@pytest.mark.parametrize(
    "measure",
    [
        lambda u: (u.n, agreement.alpha(u, "nominal")),
        lambda u: (u.n, agreement.alpha(u, "ordinal")),
        lambda u: (agreement.fleiss(u)[0].n, agreement.fleiss(u)[1]),
    ],
    ids=["nominal", "ordinal", "fleiss"],
)
def test_intervals_hold_the_value_of_the_population(
    measure: Callable[[agreement.Units], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "RESAMPLES", 200)
    rng = np.random.default_rng(5)
    n, value = measure(drawn(rng, 30_000))
    true = value(n)
    inside = 0
    for _ in range(200):
        low, high = agreement.interval(*measure(drawn(rng, 150)))
        inside += low <= true <= high
    assert 0.92 <= inside / 200 <= 0.98


def test_kappa_of_pairs_has_an_interval_that_holds() -> None:
    rng = np.random.default_rng(6)

    def cells(n: int) -> Any:
        a = rng.random(n) < 0.4
        b = np.where(rng.random(n) < 0.75, a, rng.random(n) < 0.4)
        codes, counts = np.unique(2 * a + b, return_counts=True)
        return agreement.cohen(
            [
                {"value_a": str(c // 2), "value_b": str(c % 2), "n": int(k)}
                for c, k in zip(codes, counts, strict=True)
            ]
        )

    n, value = cells(1_000_000)
    true = float(value(n))
    inside = 0
    for _ in range(400):
        low, high = agreement.interval(*cells(200), at_once=True)
        inside += low <= true <= high
    assert 0.92 <= inside / 400 <= 0.98
