"""The whole enrichment, from events to enriched views, is the same on every engine.

A context join that works in the engine needs an entry in `JOINS`.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any

import ibis
import ibis.expr.types as ir
import pytest

from tests.soundness.tables import Row, Tables, at, by, difference
from workbench import attribution, enrich, labels, steps
from workbench.contexts import JoinSpec, contexts
from workbench.project import Aggregate, Signal

HOUR = 3600.0
TEXT, TIME, NUMBER, WHOLE = "VARCHAR", "TIMESTAMPTZ", "DOUBLE", "BIGINT"
SCHEMA: dict[str, dict[str, str]] = {
    "inferences": {
        **dict.fromkeys((*steps.KEPT, *attribution.INFERENCE_COLUMNS), TEXT),
        **dict.fromkeys(("prediction", "device", "output"), TEXT),
        **dict.fromkeys(("score", "confidence", "latency_ms", "cost"), NUMBER),
        **dict.fromkeys(("row_id", "step", "input_tokens", "output_tokens"), WHOLE),
        "ts": TIME,
        **dict.fromkeys(("probabilities", "token_logprobs"), "DOUBLE[]"),
        "ensemble": "DOUBLE[][]",
    },
    "events": {
        **dict.fromkeys((*attribution.EVENT_COLUMNS, *attribution.CLOCK_COLUMNS), TEXT),
        **dict.fromkeys(("name", "value", "rater_id", "corrected_output"), TEXT),
        **dict.fromkeys(("ts", "received_at"), TIME),
        "positive": "BOOLEAN",
    },
    "aliases": {"alias": TEXT, "request_id": TEXT},
    "devices": {"key_0": TEXT, "nth": WHOLE, "maker": TEXT, "known": TIME},
    "profiles": {
        "key_0": TEXT,
        "nth": WHOLE,
        **dict.fromkeys(("since", "until", "known"), TIME),
        "tier": TEXT,
        "size": NUMBER,
    },
    "orders": {
        "key_0": TEXT,
        "nth": WHOLE,
        **dict.fromkeys(("at", "known"), TIME),
        "item": TEXT,
        "amount": NUMBER,
        "pieces": WHOLE,
    },
    "triples": {
        "nth": WHOLE,
        **dict.fromkeys(("subject", "predicate", "object"), TEXT),
        **dict.fromkeys(("since", "until", "known"), TIME),
    },
}
SIGNALS = {
    signal.name: signal
    for signal in (
        Signal(name="thumb", kind="binary"),
        Signal(name="stars", kind="rating", scale=(1.0, 5.0)),
        Signal(name="dwell", kind="implicit", positive="value >= 30"),
        Signal(name="truth", kind="label"),
        Signal(name="fix", kind="correction"),
        Signal(name="better", kind="preference"),
        Signal(name="note", kind="comment"),
        Signal(name="sale", kind="outcome"),
    )
}
VALUES = {
    "thumb": ("1", "0", "true", "false", "1.0", "2"),
    "stars": ("1", "2", "4.0", "5", '"3"', "6"),
    "dwell": ("12", "31", "90.5"),
    "truth": ("cat", '"cat"', "dog", "1", "true", "bird"),
    "sale": ("12.50",),
}
AGGREGATES = tuple(
    Aggregate(name=name, function=function, column=column)
    for name, function, column in (
        ("happened", "any", None),
        ("n", "count", None),
        ("spent", "sum", "amount"),
        ("pieces", "sum", "pieces"),
        ("typical", "mean", "amount"),
        ("first", "first", "item"),
        ("last", "last", "item"),
    )
)
USER = (("user_id", "key_0"),)
#: For each join its facts and a specification.
JOINS: dict[str, tuple[str, JoinSpec]] = {
    "lookup": (
        "devices",
        JoinSpec(
            name="hardware",
            keys=(("device", "key_0"),),
            facts=("maker",),
            order="nth",
            times={"known_at": "known"},
            options={"several": "first"},
        ),
    ),
    "as_of": (
        "profiles",
        JoinSpec(
            name="profile",
            keys=USER,
            facts=("tier", "size"),
            order="nth",
            times={"ts": "since", "known_at": "known"},
            options={"tolerance": timedelta(hours=20)},
        ),
    ),
    "interval": (
        "profiles",
        JoinSpec(
            name="plan",
            keys=USER,
            facts=("tier",),
            order="nth",
            times={"valid_from": "since", "valid_to": "until", "known_at": "known"},
        ),
    ),
    "within": (
        "orders",
        JoinSpec(
            name="outcome",
            keys=USER,
            facts=(),
            order="nth",
            times={"ts": "at", "known_at": "known"},
            options={
                "horizon": timedelta(hours=5),
                "credit": "linear",
                "aggregates": AGGREGATES,
            },
            as_of=at(50 * HOUR),
        ),
    ),
    "history": (
        "orders",
        JoinSpec(
            name="bought",
            keys=USER,
            facts=("item", "amount"),
            order="nth",
            times={"ts": "at", "known_at": "known"},
            options={"k": 3, "span": timedelta(hours=30), "aggregates": AGGREGATES},
        ),
    ),
    "claims": (
        "triples",
        JoinSpec(
            name="policy",
            keys=(),
            facts=(),
            order="nth",
            times={"ts": "since", "valid_to": "until", "known_at": "known"},
            options={
                "pattern": r"(\w+) allows (\w+)",
                "path": "terms/days",
                **{name: name for name in ("subject", "predicate", "object")},
            },
        ),
    ),
}


def some_rows() -> dict[str, list[Row]]:
    """Two days of a support chat: ties, gaps, repeats, and every kind of feedback."""
    random_ = random.Random(11)
    choose = random_.choice

    def time(hours: float = 48) -> Any:
        # Whole minutes make ties; microseconds must not be lost.
        return at(random_.randrange(int(hours * 60)) * 60 + choose((0, 0, 1e-6, 0.999999)))

    users = [f"u{n}" for n in range(12)]
    inferences: list[Row] = []
    for number in range(300):
        p = choose((0.05, 0.3, 0.5, 0.8, 0.95))
        inferences.append(
            {
                "row_id": number,
                "request_id": f"r{number}",
                "ts": choose((None, *[time() for _ in range(15)])),
                "model": "m",
                "model_version": choose(("v1", "v2")),
                "session_id": choose((None, *[f"s{n}" for n in range(40)])),
                "user_id": choose((None, *users)),
                "trace_id": choose((None, *[f"t{n}" for n in range(30)])),
                "parent_id": choose((None, "r0")),
                "step": choose((None, 0, 1, 2)),
                "prediction": choose((None, "cat", '"dog"', "1", "0.0", "true")),
                "device": choose((None, "phone", "desk", "tv")),
                "output": choose((None, "same", "gold allows 30, iron allows 9")),
                "score": choose((None, p, p, float("nan"))),
                "confidence": choose((None, p)),
                "probabilities": choose((None, [p, 1 - p], [0.1, 0.2, 0.7], [p, p], [1.0, 0.0])),
                "ensemble": choose((None, [[p, 1 - p], [1.0, 0.0], [0.5, 0.5]], [[p, 1 - p], [p]])),
                "token_logprobs": choose((None, [-p, -2 * p, -0.5], [-0.5, None], [])),
                "latency_ms": choose((None, 12.5)),
                "cost": choose((None, 0.001)),
                "input_tokens": choose((None, 100)),
                "output_tokens": 20,
            }
        )
    for twin in random_.sample(inferences, 30):
        twin["ts"] = choose(inferences)["ts"]
    events: list[Row] = []
    for number in range(700):
        # Some answers are much discussed.
        judged = choose(inferences[:: choose((1, 1, 10))])
        name = choose(("truth", *SIGNALS, "unknown"))
        how = choose(("id", "id", "alias", "session", "user", "session_scope", "trace_scope"))
        seen = judged["ts"] or time()
        happened = choose((None, *[seen + timedelta(minutes=choose((-1, 0, 3, 50)))] * 8))
        preferred = [choose(inferences)["request_id"] for _ in range(2)]
        events.append(
            {
                "feedback_id": f"f{number}",
                "request_id": {"id": judged["request_id"], "alias": f"a{number % 90}"}.get(how),
                "ts": happened,
                "received_at": happened and happened + timedelta(seconds=choose((0, 2, 7.5))),
                "model_version": choose((None, "v1", "v2")),
                "session_id": judged["session_id"] if how.startswith("session") else None,
                "user_id": judged["user_id"] if how == "user" else None,
                "trace_id": judged["trace_id"] if how == "trace_scope" else None,
                "scope": how.removesuffix("_scope") if how.endswith("_scope") else None,
                "kind": choose((None, "binary", "label")) if name == "unknown" else None,
                "name": name,
                "value": choose((None, *VALUES.get(name, ("1", "0")))),
                "positive": choose((True, False, None)) if name == "dwell" else None,
                "corrected_output": choose(("same", "else")) if name == "fix" else None,
                "chosen_id": preferred[0] if name == "better" else None,
                "rejected_id": choose((None, preferred[1])) if name == "better" else None,
                "retracts": choose((None,) * 19 + (f"f{number // 2}",)),
                "rater_id": choose((None, "ann", "bob", "cem")),
                "source_system": choose((None, "web", "web", "app")),
                "channel": choose((None, "chat")),
            }
        )
    targets = [i["request_id"] for i in inferences] + [f"t{n}" for n in range(30)]
    aliases = [{"alias": f"a{n % 80}", "request_id": choose(targets)} for n in range(100)]
    devices = [
        {
            "key_0": choose(("phone", "desk")),
            "nth": n,
            "maker": f"m{n % 3}",
            "known": choose((None, time())),
        }
        for n in range(6)
    ]
    profiles = []
    for user in users[:9]:
        for _ in range(4):
            since = time()
            profiles.append(
                {
                    "key_0": user,
                    "since": since,
                    "until": choose((None, since + timedelta(hours=choose((0, 6, 12))))),
                    "known": choose((None, since, since + timedelta(hours=3))),
                    "tier": choose((None, "gold", "free")),
                    "size": choose((None, 0.1, 1e300, float("nan"))),
                }
            )
    orders = [
        {
            "key_0": choose(users[:9]),
            "at": (when := time()),
            "known": choose((None, when + timedelta(minutes=30))),
            "item": choose((None, "pen", "ink")),
            "amount": choose((None, 0.1, 0.2, 7.25)),
            "pieces": choose((None, 1, 2)),
        }
        for _ in range(250)
    ]
    triples = []
    for subject, predicate, objects in (
        ("Gold", "terms", ("long", "short")),
        ("iron", "terms", ("short",)),
        ("long", "days", ("30", "30.0")),
        ("short", "days", ("9", "14")),
    ):
        for _ in range(4):
            since = time(24)
            triples.append(
                {
                    "nth": len(triples),
                    "subject": subject,
                    "predicate": predicate,
                    "object": choose(objects),
                    "since": choose((None, since)),
                    "until": choose((None, since + timedelta(hours=20))),
                    "known": choose((None, since + timedelta(hours=2))),
                }
            )
    for facts, clock in ((profiles, "since"), (orders, "at")):
        facts.sort(key=lambda fact: (fact[clock], fact["known"] or fact[clock]))
        for nth, fact in enumerate(facts):
            fact["nth"] = nth
    return {
        "inferences": inferences,
        "events": events,
        "aliases": aliases,
        "devices": devices,
        "profiles": profiles,
        "orders": orders,
        "triples": triples,
    }


#: The stages and what each has one row of.
STAGES = {
    "events": ("feedback_id",),
    "clocks": ("source",),
    "attribution": ("feedback_id",),
    "credits": ("feedback_id", "request_id"),
    "rewarded": ("feedback_id", "request_id"),
    "labels": ("request_id",),
    **dict.fromkeys(JOINS, ("request_id",)),
    "steps": ("request_id",),
    "enriched_inferences": ("request_id",),
    "enriched_feedback": ("feedback_id",),
}


@cache
def pipeline(engine: str) -> dict[str, list[Row]]:
    """The rows of each stage on an engine; each is kept, as in a build."""
    tables = Tables(SCHEMA, engine=engine)
    tables.fill(**some_rows())
    done: dict[str, list[Row]] = {}

    def stage(name: str, expression: ir.Table) -> ir.Table:
        kept = tables.keep(f"kept_{name}", expression)
        done[name] = tables.run(name, lambda: kept)
        return kept

    names = itertools.count()

    def keep(expression: ir.Table) -> ir.Table:
        return tables.keep(f"between_{next(names)}", expression)

    given, aliases = tables.table("events"), tables.table("aliases")
    given = given.mutate(kind=labels.effective_kind(given, SIGNALS))
    given = given.mutate(reward=labels.signal_reward(given, SIGNALS))
    given = given.filter(~labels.bad_value(given, SIGNALS, ("cat", "dog", "1")))
    events = stage("events", given)
    inferences = keep(enrich.uncertainty(tables.table("inferences")))

    skews = stage("clocks", attribution.clocks(events, inferences, aliases))
    timed = keep(attribution.corrected(events, skews))
    rule: dict[str, Any] = {"discount": 0.9, "rule": "discounted"}
    found = stage(
        "attribution",
        attribution.attribute(
            timed,
            inferences,
            fallback=("session", "user"),
            window=timedelta(hours=1),
            aliases=aliases,
            credit="discounted",
            keep=keep,
        ),
    )
    credited = stage("credits", attribution.credits(found, timed, inferences, **rule))

    judged = events.inner_join(
        found.filter(found["status"] == "attributed").select("feedback_id", "retracted"),
        "feedback_id",
    ).drop("request_id")
    judged = judged.inner_join(credited, "feedback_id")
    outputs = inferences.select(__id="request_id", __output="output")
    judged = judged.left_join(outputs, judged["request_id"] == outputs["__id"])
    judged = judged.mutate(
        same_output=ibis.ifelse(
            judged["kind"] == "correction",
            judged["corrected_output"] == judged["__output"],
            ibis.null("boolean"),
        )
    ).drop("__id", "__output")
    rewarded = stage("rewarded", labels.rewarded(keep(judged), inferences))
    resolved = stage(
        "labels",
        labels.resolve(
            rewarded,
            inferences,
            policy="latest_per_rater_then_mean",
            signals=("truth", "thumb", "stars", "dwell", "fix"),
            maturity=timedelta(hours=1),
            as_of=ibis.timestamp(at(47 * HOUR)).cast("timestamp('UTC')"),
        ),
    )

    joined = inferences
    for name, (facts, spec) in JOINS.items():
        joined = stage(name, contexts.get(name).join(joined, tables.table(facts), spec))
    stage("steps", steps.steps(inferences, rewarded, rewarded, resolved))
    enriched = stage(
        "enriched_inferences",
        enrich.with_labels(
            joined, resolved, positive_class="cat", unlabelled=ibis.literal("no_feedback")
        ),
    )
    stage("enriched_feedback", enrich.feedback_view(events, found, enriched))
    return done


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_is_the_same_on_spark(name: str) -> None:
    duckdb, spark = (
        by([{**row, "key": tuple(row[k] for k in STAGES[name])} for row in rows], "key")
        for rows in (pipeline("duckdb")[name], pipeline("spark")[name])
    )
    assert len(duckdb) > 2
    assert [*next(iter(spark.values()))] == [*next(iter(duckdb.values()))]
    assert difference(spark, duckdb) == []


def test_the_data_holds_what_can_happen() -> None:
    done = pipeline("duckdb")

    def counted(name: str, column: str, of: Callable[[Any], Any] = lambda value: value) -> set[Any]:
        return {value for value, n in Counter(of(r[column]) for r in done[name]).items() if n > 1}

    assert counted("attribution", "status") == {"attributed", "ambiguous", "orphan"}
    methods = {"request_id", "alias", "session", "user", "trace", "preference"}
    assert methods <= counted("attribution", "method")
    assert {signal.kind for signal in SIGNALS.values()} <= counted("events", "kind")
    assert counted("attribution", "retracted") == {True, False}
    assert {None, "tie", "no_feedback"} <= counted("enriched_inferences", "label_reason")
    assert any(row["weight"] < 1 for row in done["credits"])
    assert any(row["skew"] for row in done["clocks"])
    for name, (_, spec) in JOINS.items():
        assert counted(name, spec.name, bool) == {True, False}


def test_every_join_that_works_in_the_engine_is_in_the_pipeline() -> None:
    inside = {name for name in contexts.names() if contexts.get(name).compute is None}
    assert JOINS.keys() == inside
