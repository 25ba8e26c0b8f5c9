"""Earlier inferences and earlier feedback as context, through a whole build, and by definition."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.soundness.tables import Row, at, by, difference
from workbench.build.contexts import described
from workbench.configuration import load
from workbench.contexts.history import _framed
from workbench.errors import ConfigError

CONFIG = """
[project]
name = "log"
[inferences]
source = "inferences.jsonl"
[feedback]
source = "feedback.jsonl"
[feedback.signals.thumb]
kind = "binary"
[feedback.signals.stars]
kind = "rating"
scale = [1, 5]
[feedback.signals.truth]
kind = "label"
[feedback.signals.better]
kind = "preference"
[context.turns]
join = "history"
from = "inferences"
on = "session_id"
k = 3
columns = ["request_id", "input", "output"]
[context.said]
join = "history"
from = "feedback"
on = "user_id"
span = "4h"
columns = ["feedback_id", "comment", "Output", "request_id", "prediction"]
aggregates = { mean_reward = "mean(reward)" }
[context.same_thing]
join = "history"
from = "feedback"
on = { cohort = "cohort", item_id = "item_id", prediction = "prediction" }
k = 1000
[context.same_thing.aggregates]
n = "count"
agreeing = "sum(positive)"
contradicting = "sum(negative)"
mean_reward = "mean(reward)"
"""
HOUR = 3600.0


def time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def iso(hours: float) -> str:
    moment = at(hours * HOUR)
    assert moment is not None
    return moment.isoformat()


def world(seed: int) -> tuple[list[Row], list[Row]]:
    """Few users, things and hours, so that all of them meet."""
    choose = random.Random(seed)
    inferences = [
        {
            "request_id": f"r{n}",
            "ts": iso(choose.randrange(24) / 2),
            "model_version": "v1",
            "user_id": choose.choice(["ann", "bob", None]),
            "session_id": choose.choice(["s1", "s2", None]),
            "cohort": choose.choice(["new", "old"]),
            "item_id": choose.choice(["hat", "tie", None]),
            "prediction": choose.choice(["yes", "no"]),
            "input": f"question {n}",
            "output": f"answer {n}",
            "latency_ms": choose.choice([None, 0, 1, 3_600_000, 1e300]),
        }
        for n in range(50)
    ]
    feedback: list[Row] = []
    for n in range(120):
        happened = choose.randrange(24) / 2
        name = choose.choice(["thumb", "stars", "truth", "better"])
        event: Row = {
            "feedback_id": f"f{n}",
            "ts": iso(happened),
            "received_at": choose.choice([None, iso(happened + 1)]),
            "name": name,
            "user_id": choose.choice(["ann", None]),
            "comment": choose.choice([None, f"comment {n}"]),
            "scope": choose.choice(["inference", None]),
            "request_id": choose.choice([*(row["request_id"] for row in inferences), "unknown"]),
        }
        if name == "better":
            event["chosen_id"], event["rejected_id"] = (
                row["request_id"] for row in choose.sample(inferences, 2)
            )
            event["request_id"] = None
        else:
            event["value"] = {
                "thumb": choose.choice([0, 1]),
                "stars": choose.randint(1, 5),
                "truth": choose.choice(["yes", "no"]),
            }[name]
        if choose.random() < 0.1:
            session = choose.choice(["s1", "s2"])
            event |= {"scope": "session", "request_id": None, "session_id": session}
        feedback.append(event)
    for n, event in enumerate(choose.sample(feedback, 25)):
        happened = choose.randrange(24) / 2
        feedback.append(
            {
                "feedback_id": f"w{n}",
                "ts": iso(happened),
                "received_at": choose.choice([None, iso(happened + 0.5)]),
                "retracts": event["feedback_id"],
            }
        )
    return inferences, feedback


def reward(event: Row, judged: Row | None) -> float | None:
    if event["name"] == "thumb":
        return float(event["value"])
    if event["name"] == "stars":
        return (event["value"] - 1) / 4
    if event["name"] == "truth" and judged is not None:
        return float(event["value"] == judged["prediction"])
    return None


def known_feedback(inferences: list[Row], feedback: list[Row]) -> list[Row]:
    """The events that count, each with what it is about and from when to when it counts."""
    by_id = {row["request_id"]: row for row in inferences}
    result = []
    for event in feedback:
        if event.get("retracts") or event["scope"] == "session":
            continue
        sides = [event[key] for key in ("request_id", "chosen_id", "rejected_id") if event.get(key)]
        if not all(side in by_id for side in sides):
            continue
        judged = by_id[event["request_id"]] if event["request_id"] else None
        received = time(event["received_at"]) or time(event["ts"])
        retracted = [
            time(other["received_at"]) or time(other["ts"])
            for other in feedback
            if other.get("retracts") == event["feedback_id"]
        ]
        about = judged or dict.fromkeys(inferences[0])
        result.append(
            {
                **about,
                "feedback_id": event["feedback_id"],
                "user_id": event["user_id"] or about["user_id"],
                "comment": event["comment"],
                "reward": reward(event, judged),
                "ts": time(event["ts"]),
                "since": max([received, *(time(by_id[side]["ts"]) for side in sides)]),
                "until": min(retracted) if retracted else None,
            }
        )
    return result


def history(row: Row, facts: list[Row], keys: list[str], k: int | None, span: float | None) -> Any:
    """The facts of the keys before an inference, in the order of time; None without a key."""
    if any(row[key] is None for key in keys):
        return None
    now = time(row["ts"])
    assert now is not None
    mine = [
        fact
        for fact in facts
        if all(fact[key] == row[key] for key in keys)
        and fact["since"] < now
        and (span is None or fact["since"] >= now - timedelta(hours=span))
    ]
    identity = "feedback_id" if facts and "feedback_id" in facts[0] else "request_id"
    order = [(fact["ts"], fact["since"], fact[identity]) for fact in mine]
    placed = sorted(zip(mine, order, strict=True), key=lambda pair: (pair[0]["since"], pair[1]))
    placed = placed[-k:] if k else placed
    placed = [pair for pair in placed if not pair[0].get("until") or pair[0]["until"] > now]
    return [fact for fact, _ in sorted(placed, key=lambda pair: pair[1])]


def picked(facts: list[Row], names: tuple[str, ...]) -> list[Row]:
    return [{name: fact[name] for name in names} for fact in facts]


def mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def expected(inferences: list[Row], feedback: list[Row]) -> dict[str, Row]:
    answered = [
        {
            **row,
            "ts": time(row["ts"]),
            "since": time(row["ts"]) + timedelta(milliseconds=min(row["latency_ms"] or 0, 1e12)),
        }
        for row in inferences
    ]
    events = known_feedback(inferences, feedback)
    result = {}
    for row in inferences:
        turns = history(row, answered, ["session_id"], 3, None)
        said = history(row, events, ["user_id"], None, 4)
        same = history(row, events, ["cohort", "item_id", "prediction"], 1000, None)
        about = ("ts", "feedback_id", "comment", "output", "request_id", "prediction")
        rewards = [e["reward"] for e in same or () if e["reward"] is not None]
        # Of no event the sum is 0, of events without a reward it is unknown.
        known = not same or bool(rewards)
        found: Row = {
            "turns": turns is not None
            and {"events": picked(turns, ("ts", "request_id", "input", "output"))},
            "said": said is not None
            and {
                "mean_reward": mean([e["reward"] for e in said if e["reward"] is not None]),
                "events": picked(said, about),
            },
            "same_thing": same is not None
            and {
                "n": len(same),
                "agreeing": sum(r >= 0.5 for r in rewards) if known else None,
                "contradicting": sum(r < 0.5 for r in rewards) if known else None,
                "mean_reward": mean(rewards),
            },
        }
        found = {name: struct or None for name, struct in found.items()}
        result[row["request_id"]] = found
    return result


def project(folder: Path, inferences: list[Row], feedback: list[Row], config: str) -> wb.Workbench:
    (folder / "workbench.toml").write_text(config)
    for name, rows in (("inferences", inferences), ("feedback", feedback)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text)
    return wb.open(folder)


@pytest.mark.parametrize("seed", range(2))
def test_what_was_said_and_answered_before_is_its_definition(tmp_path: Path, seed: int) -> None:
    inferences, feedback = world(seed)
    built = project(tmp_path, inferences, feedback, CONFIG)
    built.build()
    rows = built.sql("SELECT request_id, turns, said, same_thing FROM enriched_inferences").table
    wanted = expected(inferences, feedback)
    assert difference(by(rows.to_pylist(), "request_id"), wanted) == []
    # The world has what the definition speaks of.
    assert any(row["same_thing"] and row["same_thing"]["contradicting"] for row in wanted.values())
    assert {audit.verdict for audit in built.leaks()} == {"proven"}
    report = built.status()["contexts"]["turns"]
    assert report["source"] == ["inferences"]
    assert report["reasons"].keys() == {"no_key", "no_event"}


def test_feedback_counts_from_its_receipt_to_its_retraction_and_never_for_its_own_inference(
    tmp_path: Path,
) -> None:
    hours = [1, 2, 3, 4, 5, 6, 7]
    inferences = [
        {"request_id": f"r{n}", "ts": iso(n), "model_version": "v1", "user_id": "ann"}
        for n in hours
    ]
    thumb = {"name": "thumb", "value": 1, "request_id": "r3"}
    feedback = [
        # Dated before the answer that it is about, received after the fourth, withdrawn at six.
        {**thumb, "feedback_id": "f", "ts": iso(0.5), "received_at": iso(4)},
        {"feedback_id": "w", "ts": iso(5.5), "received_at": iso(6), "retracts": "f"},
        # As early, and received at once.
        {**thumb, "feedback_id": "g", "ts": iso(0.5)},
    ]
    config = (
        CONFIG.split("[context.")[0]
        + """
    [context.said]
    join = "history"
    from = "feedback"
    on = "user_id"
    k = 5
    columns = ["feedback_id"]
    """
    )
    built = project(tmp_path, inferences, feedback, config)
    built.build()
    rows = built.sql("SELECT said FROM enriched_inferences ORDER BY request_id").table.to_pylist()
    said = ["".join(event["feedback_id"] for event in row["said"]["events"]) for row in rows]
    assert said == ["", "", "", "g", "gf", "g", "g"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ('on = "user_id"\nk = 1\ncolumns = ["raward"]', "no column 'raward' here.*reward"),
        ('on = { user_id = "output" }\nk = 1\ncolumns = ["reward"]', "'output' cannot be a key"),
        ('on = "user_id"\ncolumns = ["reward"]', "needs k, span, or both"),
        ('on = "user_id"\nk = 1001\ncolumns = ["reward"]', "more than 1,000"),
        ('on = "user_id"\nk = 1', "needs aggregates, columns, or both"),
        ('on = "user_id"\nk = 1\nts = "ts"\ncolumns = ["reward"]', "Leave out ts"),
        ('on = "user_id"\nk = 1\naggregates = { n = "time_to_first" }', "not an aggregate"),
    ],
)
def test_a_setting_that_cannot_work_is_an_error_that_says_so(
    tmp_path: Path, setting: str, message: str
) -> None:
    head = CONFIG.split("[context.")[0]
    config = f'{head}[context.said]\njoin = "history"\nfrom = "feedback"\n{setting}\n'
    inferences, feedback = world(0)
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        project(tmp_path, inferences, feedback, config).build()


def test_a_log_without_feedback_has_no_history(tmp_path: Path) -> None:
    inferences, _ = world(1)
    built = project(tmp_path, inferences, [], CONFIG)
    built.build()
    rows = built.sql("SELECT said, same_thing FROM enriched_inferences").table.to_pylist()
    assert {row["same_thing"]["n"] for row in rows if row["same_thing"]} == {0}
    assert all(row["said"]["events"] == [] for row in rows if row["said"])


def test_only_events_that_may_be_withdrawn_are_looked_at_for_each_inference(
    tmp_path: Path,
) -> None:
    head = CONFIG.split("[context.")[0]
    for log in ("inferences", "feedback"):
        setting = f'join = "history"\nfrom = "{log}"\non = "user_id"\nk = 3\n'
        head += f'[context.{log[:4]}]\n{setting}aggregates = {{ n = "count" }}\n'
    (tmp_path / "workbench.toml").write_text(head)
    framed = {context.log: _framed(described(context)) for context in load(tmp_path).contexts}
    assert framed == {"inferences": True, "feedback": False}
