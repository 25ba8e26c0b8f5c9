"""Labels against their definition, over many random sets of events with ties, gaps and repeats."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import ibis
import ibis.expr.types as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.labels import oracle
from tests.soundness.tables import ENGINES, Row, Tables, at, by, difference
from workbench import contract
from workbench.enrich import with_labels
from workbench.labels import decided, deciding, resolve, rewarded, votes

POLICIES = ("latest", "mean", "majority", "latest_per_rater_then_mean", "rater_weighted")
TEXT = ("feedback_id", "request_id", "kind", "value", "name", "rater_id")
SCHEMA = {
    "events": {
        **dict.fromkeys(TEXT, "VARCHAR"),
        "ts": "TIMESTAMPTZ",
        "reward": "DOUBLE",
        "same_output": "BOOLEAN",
        "retracted": "BOOLEAN",
        "weight": "DOUBLE",
    },
    "inferences": {
        "request_id": "VARCHAR",
        "ts": "TIMESTAMPTZ",
        "prediction": "VARCHAR",
        "score": "DOUBLE",
        "confidence": "DOUBLE",
    },
    "weights": {"weighted_rater": "VARCHAR", "rater_weight": "DOUBLE"},
}
#: Tenths and thirds do not add up exactly as doubles; the label must not depend on that.
#: Shares of events that are credited to several inferences.
WEIGHTS = [Fraction(n, d) for n, d in ((1, 1), (1, 1), (1, 2), (1, 3), (1, 10), (9, 10))]
REWARDS = [Fraction(n, d) for n, d in ((0, 1), (1, 1), (1, 2), (1, 10), (9, 10), (1, 3), (2, 3))]
CLASSES = ("dog", '"cat"', "0")
PROBABILITIES = (None, 0.05, 0.45, 0.55, 0.95, float("nan"))
#: Signals that decide, maturity, as_of.
Rule = tuple[tuple[str, ...], timedelta, datetime | None]
RULES: tuple[Rule, ...] = (
    ((), timedelta(0), None),
    ((), timedelta(seconds=3), at(6)),
    ((), timedelta(seconds=3), None),
    (("stars",), timedelta(0), at(6)),
    (("truth", "thumb"), timedelta(microseconds=1), at(4)),
)
NAMES = ("truth", "thumb", "stars", "fix")
Choose = Callable[[Sequence[Any]], Any]


def some_inferences(choose: Choose) -> list[Row]:
    return [
        {
            "request_id": f"r{number}",
            "ts": at(choose((None, 0, 1, 2, 3, 3.000001, 4))),
            "prediction": choose((None, "cat", '"dog"', "1", "0.0", "true")),
            "score": choose(PROBABILITIES),
            "confidence": choose(PROBABILITIES),
        }
        for number in range(1 + choose(range(4)))
    ]


def some_events(choose: Choose, inferences: Sequence[Row], names: Sequence[str]) -> list[Row]:
    events = []
    shared = choose((False, True))
    for number in range(choose(range(10))):
        name = choose(names)
        exact = choose(REWARDS) if name in ("stars", "thumb") else None
        if name == "thumb":
            exact = Fraction(choose((0, 1)))
        events.append(
            {
                "feedback_id": f"f{number}",
                "request_id": choose([None, *(i["request_id"] for i in inferences)]),
                "kind": {"truth": "label", "fix": "correction", "stars": "rating"}.get(name),
                "value": choose(("cat", '"cat"', "dog", "1", "1.0", "0", "true")),
                "name": name,
                "rater_id": choose((None, "a", "a", "b", "nobody")),
                "ts": at(choose((None, 1, 2, 3, 4, 5, 5))),
                "reward": None if exact is None else float(exact),
                "exact": exact,
                "same_output": choose((True, False, None)) if name == "fix" else None,
                "retracted": choose((False, False, False, True)),
                "share": (share := choose(WEIGHTS if shared else WEIGHTS[:1])),
                "weight": float(share),
            }
        )
    return events


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    def choose(options: Sequence[Any]) -> Any:
        return draw(st.sampled_from(options))

    inferences = some_inferences(choose)
    names = choose((("truth", "thumb", "stars", "fix", "note"), ("thumb", "stars", "fix")))
    return some_events(choose, inferences, names), inferences


@pytest.fixture(scope="module")
def tables() -> Tables:
    return Tables(SCHEMA)


@pytest.fixture(scope="module", params=ENGINES)
def each_engine(request: pytest.FixtureRequest) -> Tables:
    return Tables(SCHEMA, engine=request.param)


def expression(tables: Tables, policy: str, rule: Rule) -> ir.Table:
    signals, maturity, as_of = rule
    inferences = tables.table("inferences")
    events = rewarded(tables.table("events"), inferences)
    until = None if as_of is None else ibis.timestamp(as_of).cast("timestamp('UTC')")
    return resolve(
        events,
        inferences,
        policy=policy,
        signals=signals,
        maturity=maturity,
        as_of=until,
        rater_weights=tables.table("weights") if policy == "rater_weighted" else None,
        other_weight=float(oracle.WEIGHTS[None]),
    )


def run(tables: Tables, policy: str, rule: Rule) -> dict[str, Row]:
    if policy == "rater_weighted":
        trusted = oracle.WEIGHTS.items()
        tables.fill(
            weights=[{"weighted_rater": r, "rater_weight": float(w)} for r, w in trusted if r]
        )
    rows = tables.run((policy, rule), lambda: expression(tables, policy, rule))
    return by(rows, "request_id")


@settings(max_examples=40, deadline=None)
@given(
    world=worlds(),
    policy=st.sampled_from(POLICIES),
    rule=st.sampled_from(RULES),
    seed=st.integers(0, 99),
)
def test_is_its_definition_whatever_the_order_of_the_rows(
    tables: Tables, world: tuple[list[Row], list[Row]], policy: str, rule: Rule, seed: int
) -> None:
    events, inferences = world
    expected = oracle.resolve(events, inferences, policy, *rule)
    shuffled = random.Random(seed)
    shuffled.shuffle(events)
    shuffled.shuffle(inferences)
    tables.fill(events=events, inferences=inferences)
    assert difference(run(tables, policy, rule), expected) == []


def many(names: Sequence[str]) -> tuple[list[Row], list[Row]]:
    """Many worlds in one pair of tables, their names apart."""
    choose = random.Random(2).choice
    events: list[Row] = []
    inferences: list[Row] = []
    for world in range(500):
        these = some_inferences(choose)
        those = some_events(choose, these, names)
        for row in [*these, *those]:
            for key in ("request_id", "feedback_id"):
                if row.get(key) is not None:
                    row[key] = f"{world}:{row[key]}"
        inferences += these
        events += those
    return events, inferences


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("names", [("truth", "thumb", "stars"), ("thumb", "stars", "fix")])
def test_is_its_definition_in_many_worlds_at_once(
    each_engine: Tables, policy: str, names: tuple[str, ...]
) -> None:
    events, inferences = many(names)
    each_engine.fill(events=events, inferences=inferences)
    by_request: dict[str | None, list[Row]] = {}
    for event in events:
        by_request.setdefault(event["request_id"], []).append(event)
    # Whether any label event is there is asked once of all events, so the rule is named here.
    reasons: Counter[Any] = Counter()
    # Spark plans a query for as long as DuckDB runs many.
    for rule in RULES if each_engine.name == "duckdb" else RULES[1::2]:
        signals, *rest = rule
        if not signals and "truth" in names:
            signals = ("truth",)
        expected: dict[str, Row] = {}
        for inference in inferences:
            own = by_request.get(inference["request_id"], [])
            expected |= oracle.resolve(own, [inference], policy, signals, *rest)
        assert difference(run(each_engine, policy, rule), expected) == []
        reasons.update((row["kind"], row["label_reason"]) for row in expected.values())
    by_vote = policy != "latest"
    assert (reasons["label", "tie"] > 0) == ("truth" in names and by_vote)
    assert (reasons["reward", "tie"] > 0) == (policy == "majority")
    assert (reasons["reward", "no_weight"] > 0) == (policy == "rater_weighted")


@pytest.mark.parametrize("policy", POLICIES)
def test_an_event_alone_decides_as_it_does_among_others(each_engine: Tables, policy: str) -> None:
    events, inferences = many(NAMES)
    first = {event["request_id"]: event for event in reversed(events)}
    each_engine.fill(events=[*first.values()], inferences=inferences)

    def labels(alone: bool) -> ir.Table:
        logged = each_engine.table("inferences")
        events = deciding(rewarded(each_engine.table("events"), logged), logged, signals=NAMES)
        given = {}
        if policy == "rater_weighted":
            trusted = each_engine.table("weights")
            given = {"rater_weights": trusted, "other_weight": 0.0}
        return decided(events, policy, **given, alone=alone, kept=("value",))

    each_engine.fill(weights=[{"weighted_rater": "a", "rater_weight": 0.3}])
    alone, among = (
        by(
            each_engine.run(("alone", policy, which), lambda which=which: labels(which)),
            "request_id",
        )
        for which in (True, False)
    )
    assert len(among) > 100
    assert difference(alone, among) == []
    if policy == "rater_weighted":
        assert "no_weight" in {row["label_reason"] for row in alone.values()}


@pytest.mark.parametrize(
    ("each_engine", "positive_class"),
    [*(("duckdb", name) for name in ("1", "cat", "true", '"dog"')), ("spark", '"dog"')],
    indirect=["each_engine"],
)
@pytest.mark.parametrize("names", [("truth", "thumb"), ("thumb", "stars", "fix")])
def test_enriched_inferences_keep_every_row_and_pair_probability_with_outcome(
    each_engine: Tables, positive_class: str, names: tuple[str, ...]
) -> None:
    events, inferences = many(names)
    each_engine.fill(events=events, inferences=inferences)
    rule: Rule = (names, timedelta(0), None)
    policy = "latest_per_rater_then_mean"
    rows = each_engine.run(
        ("enriched", positive_class, names),
        lambda: with_labels(
            each_engine.table("inferences"),
            expression(each_engine, policy, rule),
            positive_class=positive_class,
            unlabelled=ibis.literal("no_feedback"),
            classes=CLASSES,
        ),
    )
    labels = oracle.resolve(events, inferences, policy, *rule)
    expected = {
        inference["request_id"]: oracle.enriched(
            inference, labels.get(inference["request_id"]), positive_class, CLASSES
        )
        for inference in inferences
    }
    assert difference(by(rows, "request_id"), expected) == []
    assert len(labels) < len(inferences) == len(rows)


def test_columns_have_the_types_of_the_contract(each_engine: Tables) -> None:
    run(each_engine, "mean", RULES[0])
    declared = {name: column.type for name, column in contract.table("labels").columns.items()}
    assert each_engine.described(("mean", RULES[0])) == declared


def labelled(tables: Tables, policy: str, *events: Row, signals: tuple[str, ...] = ()) -> Row:
    """The label of one inference that predicted cat."""
    tables.fill(
        inferences=[{"request_id": "r", "ts": at(0), "prediction": "cat"}],
        events=[
            {
                "feedback_id": f"f{n}",
                "request_id": "r",
                "ts": at(n),
                "retracted": False,
                "weight": 1.0,
                **event,
            }
            for n, event in enumerate(events)
        ],
    )
    return run(tables, policy, (signals, timedelta(0), None))["r"]


def truth(value: str) -> Row:
    return {"name": "truth", "kind": "label", "value": value}


def thumb(reward: float, **more: Any) -> Row:
    return {"name": "thumb", "kind": "binary", "reward": reward, **more}


@pytest.mark.parametrize("policy", POLICIES)
def test_a_thumb_is_not_a_vote_on_the_class(tables: Tables, policy: str) -> None:
    events = (truth("cat"), thumb(1.0), thumb(1.0), thumb(0.0))
    found = labelled(tables, policy, *events, signals=("truth", "thumb"))
    assert (found["label"], found["kind"], found["n_feedback"]) == ("cat", "label", 4)


@pytest.mark.parametrize("policy", ["mean", "latest_per_rater_then_mean"])
def test_half_is_positive_in_whatever_order_it_was_added_up(tables: Tables, policy: str) -> None:
    parts = [0.1, 0.2, 0.3, 0.7, 0.8, 0.9]
    for seed in range(5):
        random.Random(seed).shuffle(parts)
        assert labelled(tables, policy, *map(thumb, parts))["label"] == "1"


def test_one_rater_who_says_it_often_counts_once_per_signal(tables: Tables) -> None:
    insists = [thumb(0.0, rater_id="a") for _ in range(5)]
    another = {"name": "stars", "kind": "rating", "reward": 1.0, "rater_id": "a"}
    found = labelled(
        tables, "latest_per_rater_then_mean", *insists, another, thumb(1.0), thumb(1.0)
    )
    assert (found["n_feedback"], found["n_raters"], found["reward"]) == (4, 3, 0.75)


def test_a_label_signal_decides_alone_unless_configured_otherwise(tables: Tables) -> None:
    events = (truth("dog"), thumb(1.0), thumb(1.0))
    found = labelled(tables, "mean", *events)
    assert (found["label"], found["n_feedback"], found["reward"]) == ("dog", 1, 0.0)
    found = labelled(tables, "mean", *events, signals=("thumb",))
    assert (found["label"], found["kind"], found["n_feedback"]) == ("1", "reward", 2)


@pytest.mark.parametrize(("policy", "reward"), [("mean", 0.25), ("majority", 0.0), ("latest", 1.0)])
def test_an_event_counts_for_as_much_as_it_is_credited(
    tables: Tables, policy: str, reward: float
) -> None:
    found = labelled(tables, policy, thumb(0.0, weight=0.75), thumb(1.0, weight=0.25))
    assert (found["reward"], found["n_feedback"]) == (reward, 2)
    found = labelled(tables, "mean", {**truth("dog"), "weight": 0.5}, truth("cat"), truth("dog"))
    assert (found["label"], found["reward"]) == ("dog", 0.4)


def test_of_two_latest_events_the_heavier_decides(tables: Tables) -> None:
    events = (thumb(1.0, weight=0.5, ts=at(3)), thumb(0.0, weight=0.25, ts=at(3)))
    assert labelled(tables, "latest", *events)["label"] == "1"
    assert labelled(tables, "latest", *reversed(events))["label"] == "1"


def test_shares_that_add_up_to_the_same_are_a_tie(tables: Tables) -> None:
    # 0.1 + 0.2 is not 0.3 as doubles.
    parts = [{**truth("dog"), "weight": 0.1}, {**truth("dog"), "weight": 0.2}]
    found = labelled(tables, "mean", *parts, {**truth("cat"), "weight": 0.3})
    assert (found["label"], found["label_reason"]) == (None, "tie")


def test_a_vote_counts_for_as_much_as_its_rater(tables: Tables) -> None:
    said = [{**truth("dog"), "rater_id": "nobody"}, {**truth("cat"), "rater_id": "b"}]
    found = labelled(tables, "rater_weighted", *said, {**truth("dog"), "rater_id": "nobody"})
    assert (found["label"], found["reward"], found["n_raters"]) == ("cat", 1.0, 2)
    found = labelled(tables, "rater_weighted", said[0])
    assert (found["label"], found["label_reason"], found["reward"]) == (None, "no_weight", None)
    # A rater without a weight has that of the average.
    found = labelled(tables, "rater_weighted", said[1], {**truth("dog"), "rater_id": "new"})
    assert oracle.WEIGHTS["b"] < oracle.WEIGHTS[None]
    assert found["label"] == "dog"


def test_votes_are_the_last_word_of_each_rater(tables: Tables) -> None:
    events = [
        {**truth("dog"), "rater_id": "a"},
        {**truth("cat"), "rater_id": "a"},
        {**truth("cat"), "rater_id": None},
        {**thumb(0.0), "rater_id": "b"},
    ]
    for signals, expected in (
        (("truth", "thumb"), [("a", "truth", "cat")]),
        (("thumb",), [("b", "thumb", "0")]),
    ):
        labelled(tables, "mean", *events, signals=signals)
        inferences = tables.table("inferences")
        rows = tables.run(
            ("votes", signals),
            lambda signals=signals, inferences=inferences: votes(
                rewarded(tables.table("events"), inferences), inferences, signals=signals
            ),
        )
        assert [(row["rater_id"], row["name"], row["side"]) for row in rows] == expected
