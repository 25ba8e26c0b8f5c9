"""Laws of every context join, over the whole pipeline from files to enriched views.

A new join needs an entry in `CONTEXTS`; everything else follows from it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.soundness.tables import Row, at, same
from workbench.contexts import REASONS, contexts

DAY = 86_400.0
USERS = ("ann", "bob", "cem", "dee")

#: For each join a configuration; the sources are those of `world`.
CONTEXTS: dict[str, str] = {
    "lookup": """
[context.device_facts]
source = "devices*.jsonl"
join = "lookup"
on = { device = "device" }
known_at = "known"
several = "first"
""",
    "as_of": """
[context.profile]
source = "profiles*.jsonl"
join = "as_of"
on = "user_id"
ts = "since"
known_at = "known"
tolerance = "20d"
columns = ["tier", "size"]
""",
    "interval": """
[context.plan]
source = "plans*.jsonl"
join = "interval"
on = "user_id"
valid_from = "begins"
valid_to = "ends"
known_at = "known"
columns = ["plan"]
[context.incident]
source = "incidents*.jsonl"
join = "interval"
valid_from = "begins"
valid_to = "ends"
columns = ["cause"]
""",
    "within": """
[context.outcome]
source = "orders*.jsonl"
join = "within"
on = "user_id"
ts = "at"
known_at = "known"
horizon = "3d"
aggregates.n = "count"
aggregates.any = "any"
aggregates.spent = "sum(amount)"
aggregates.item = "first(item)"
aggregates.wait = "time_to_first"
[context.touch]
source = "orders*.jsonl"
join = "within"
on = "user_id"
ts = "at"
horizon = "3d"
credit = "last"
aggregates = { spent = "sum(amount)" }
""",
    "history": """
[context.bought]
source = "orders*.jsonl"
join = "history"
on = "user_id"
ts = "at"
known_at = "known"
k = 5
span = "9d"
columns = ["item", "amount"]
aggregates = { n = "count", spent = "sum(amount)", item = "last(item)" }
[context.turns]
join = "history"
from = "inferences"
on = "session_id"
k = 3
columns = ["request_id", "prediction", "features"]
[context.said]
join = "history"
from = "feedback"
on = { user_id = "user_id", prediction = "prediction" }
span = "20d"
columns = ["feedback_id", "reward"]
aggregates = { n = "count", agreeing = "sum(positive)", mean_reward = "mean(reward)" }
""",
    "nearest": """
[context.handbook]
source = "handbook*.jsonl"
join = "nearest"
embedding = "vector"
text = "text"
k = 2
ts = "at"
known_at = "known"
""",
    "claims": """
[context.policy]
source = "triples*.jsonl"
join = "claims"
pattern = '(\\w+) allows (\\d+)'
path = "terms/days"
ts = "begins"
valid_to = "ends"
known_at = "known"
""",
}
HEAD = """
[project]
name = "laws"
[inferences]
source = "inferences*.jsonl"
[inferences.features]
size = "DOUBLE"
[feedback]
source = "feedback*.jsonl"
[feedback.signals.thumb]
kind = "binary"
[feedback.signals.stars]
kind = "rating"
scale = [1, 5]
[feedback.signals.truth]
kind = "label"
[attribution]
fallback = ["session", "user"]
window = "2d"
[labels]
signals = ["thumb", "truth"]
"""
World = dict[str, list[Row]]

#: When a row of each source was there to be known.
TIMES: dict[str, tuple[str, ...]] = {
    "inferences": ("ts",),
    "feedback": ("ts", "received_at"),
    "profiles": ("since", "known"),
    "devices": ("known",),
    "plans": ("begins", "known"),
    "incidents": ("begins",),
    "orders": ("at", "known"),
    "handbook": ("at", "known"),
    "triples": ("begins", "known"),
}
#: Answers that make a claim; the triples of `world` support and contradict some of them.
SENTENCES = ("gold allows 30", "Gold allows 14", "free allows 30", "free allows 9", "iron allows 1")


def iso(seconds: float) -> str:
    moment = at(seconds)
    assert moment is not None
    return moment.isoformat()


def world(seed: int) -> World:
    """A month of a few users, on a coarse clock, so that times meet; nothing is in order."""
    choose = random.Random(seed)

    def time(until: float = 30) -> float:
        return choose.randrange(0, int(until * 4)) * DAY / 4

    inferences = []
    for n in range(60):
        user = choose.choice(USERS)
        inferences.append(
            {
                "request_id": f"r{n}",
                "ts": iso(time()),
                "model_version": "v1",
                "user_id": choose.choice([user, user, user, None]),
                "session_id": f"{user}-{choose.randrange(4)}",
                "device": choose.choice(["phone", "desk", "tv", None]),
                "prediction": choose.choice(["yes", "no"]),
                "confidence": choose.choice([0.25, 0.5, 0.75]),
                "size": choose.choice([1, 2.5, None]),
                "latency_ms": choose.choice([None, 100, 3_600_000]),
                "output": choose.choice(["yes", "no, never", None, *SENTENCES]),
                "embedding": choose.choice([[1, 0], [1, 2], [0, 1, 0], None]),
            }
        )
    feedback = []
    for n in range(90):
        judged = choose.choice(inferences)
        seconds = time()
        name = choose.choice(["thumb", "stars", "truth"])
        event: Row = {
            "feedback_id": f"f{n}",
            "ts": iso(seconds),
            "received_at": iso(seconds + choose.choice([0, 0, DAY])),
            "name": name,
            "value": {"thumb": choose.choice([0, 1]), "stars": choose.randint(1, 5)}.get(
                name, choose.choice(["yes", "no"])
            ),
            "rater_id": choose.choice(["x", "y", None]),
        }
        if choose.random() < 0.6:
            event["request_id"] = choose.choice([judged["request_id"], "unknown"])
        else:
            event |= {"session_id": judged["session_id"], "user_id": judged["user_id"] or "ann"}
        feedback.append(event)
    profiles = []
    for _ in range(40):
        since = time()
        profiles.append(
            {
                "user_id": choose.choice(USERS),
                "since": iso(since),
                "known": choose.choice([None, iso(since), iso(since + DAY), iso(since + 9 * DAY)]),
                "tier": choose.choice(["free", "gold", None]),
                "size": choose.choice([1, 2, 2.5]),
            }
        )
    devices = [
        {"device": device, "known": iso(time(20)), "maker": f"maker {choose.randrange(3)}"}
        for device in ("phone", "phone", "desk", "radio")
    ]
    plans = []
    for n in range(30):
        begins = time()
        plans.append(
            {
                "user_id": choose.choice(USERS),
                "begins": iso(begins),
                "ends": choose.choice(
                    [None, "9999-12-31", iso(begins + DAY), iso(begins + 8 * DAY)]
                ),
                "known": choose.choice([None, iso(begins + DAY)]),
                "plan": f"plan {n % 5}",
            }
        )
    incidents = [
        {"begins": iso(begins), "ends": iso(begins + 2 * DAY), "cause": f"cause {n}"}
        for n, begins in enumerate([2 * DAY, 3 * DAY, 9 * DAY, 20 * DAY])
    ]
    orders = []
    for _ in range(40):
        seconds = time()
        orders.append(
            {
                "user_id": choose.choice(USERS),
                "at": iso(seconds),
                "known": choose.choice([None, iso(seconds + 2 * DAY)]),
                "amount": choose.choice([1, 2.5, None]),
                "item": choose.choice(["x", "y", None]),
            }
        )
    handbook = []
    for n in range(12):
        seconds = time(15)
        handbook.append(
            {
                "at": iso(seconds),
                "known": choose.choice([None, iso(seconds + 2 * DAY)]),
                "vector": choose.choice([[1, 0], [1, 1], [0, 1.5], [1, 0, 0], None]),
                "title": f"title {n}",
                "text": choose.choice(["yes or no", "no"]),
            }
        )
    triples = []
    for n in range(24):
        begins = time(20)
        subject, predicate, value = choose.choice(
            [
                *(("gold", "terms", "long"), ("free", "terms", choose.choice(["long", "short"]))),
                *(("long", "days", 30), ("short", "days", choose.choice([9, 14]))),
            ]
        )
        triples.append(
            {
                "subject": subject,
                "predicate": predicate,
                "object": value,
                "begins": choose.choice([None, iso(begins)]) if n > 4 else iso(begins),
                "ends": choose.choice([None, "9999-12-31", iso(begins + 6 * DAY)]),
                "known": choose.choice([None, iso(begins), iso(begins + 2 * DAY)]),
            }
        )
    return {
        "inferences": inferences,
        "feedback": feedback,
        "profiles": profiles,
        "devices": devices,
        "plans": plans,
        "incidents": incidents,
        "orders": orders,
        "handbook": handbook,
        "triples": triples,
    }


def write(folder: Path, given: World, part: str = "") -> None:
    for source, rows in given.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{source}{part}.jsonl").write_text(text)


def start(folder: Path) -> wb.Workbench:
    folder.mkdir()
    (folder / "workbench.toml").write_text(HEAD + "".join(CONTEXTS.values()))
    return wb.open(folder)


def values(built: wb.Workbench) -> dict[str, Row]:
    """Every context value of every inference, with its age and what it knew when."""
    struct = [context.name for context in built.project.contexts]
    private = [f"{name}__{what}" for name in struct for what in ("age", "known")]
    listed = ", ".join([*(f'e."{n}"' for n in struct), *(f'c."{n}"' for n in private)])
    rows = built.current.arrow(
        f"SELECT e.request_id, {listed} FROM narrow.enriched_inferences e "
        "JOIN narrow.contexts c USING (request_id)"
    ).to_pylist()
    return {row["request_id"]: row for row in rows}


def looks_back(built: wb.Workbench, row: Mapping[str, Any]) -> Row:
    forward = {c.name for c in built.project.contexts if contexts.get(c.join).forward}
    return {k: v for k, v in row.items() if k.split("__")[0] not in forward}


def test_every_join_is_here() -> None:
    assert set(CONTEXTS) >= {name for name in contexts.names() if name not in ("explain",)}


@pytest.mark.parametrize(("forget", "seed"), [("what happened", 0), ("what was known", 1)])
def test_nothing_that_came_after_changes_what_was_known(
    tmp_path: Path, seed: int, forget: str
) -> None:
    whole = world(seed)
    after = 15 * DAY
    times = {name: columns[:1] if forget == "what happened" else columns
             for name, columns in TIMES.items()}  # fmt: skip
    past = {
        source: [
            row
            for row in rows
            if all(row.get(c) is None or row[c] <= iso(after) for c in times[source])
        ]
        for source, rows in whole.items()
    }
    assert sum(map(len, past.values())) < 0.8 * sum(map(len, whole.values()))
    found = {}
    for name, rows in (("whole", whole), ("past", past)):
        built = start(tmp_path / name)
        write(built.folder, rows)
        built.build()
        found[name] = {k: looks_back(built, row) for k, row in values(built).items()}
    some = 0
    for request_id, row in found["past"].items():
        assert same(row, found["whole"][request_id]), request_id
        some += sum(value is not None for value in row.values())
    assert some > 20


@pytest.mark.parametrize("seed", [1])
def test_order_and_splitting_of_files_change_nothing(tmp_path: Path, seed: int) -> None:
    given = world(seed)
    choose = random.Random(seed)
    whole = start(tmp_path / "whole")
    write(whole.folder, given)
    whole.build()
    split = start(tmp_path / "split")
    parts = 3
    cut: dict[str, list[list[Row]]] = {}
    for source, rows in given.items():
        shuffled = choose.sample(rows, len(rows))
        cut[source] = [shuffled[n::parts] for n in range(parts)]
        choose.shuffle(cut[source])
    for n in choose.sample(range(parts), parts):
        write(split.folder, {source: cut[source][n] for source in given}, f"-{n}")
        split.build()
    assert values(whole).keys() == values(split).keys()
    for relation, key in (
        ("narrow.contexts", "request_id"),
        ("narrow.enriched_inferences", "request_id"),
        ("narrow.enriched_feedback", "feedback_id"),
        ("narrow.attribution", "feedback_id"),
        ("narrow.labels", "request_id"),
        ("narrow.credits", "feedback_id, request_id"),
    ):
        left, right = (rows_of(built, relation, key) for built in (whole, split))
        assert len(left) == len(right)
        assert left
        for one, other in zip(left, right, strict=True):
            assert same(one, other), relation
    assert reasons_of(whole) <= set(REASONS)
    for built in (whole, split):
        assert {a.verdict for a in built.leaks()} <= {"proven", "forward", "unproven"}


def reasons_of(built: wb.Workbench) -> set[str]:
    """The reasons that any context gives for any inference."""
    names = [context.name for context in built.project.contexts]
    listed = ", ".join(f'"{name}__reason"' for name in names)
    rows = built.current.arrow(f"SELECT DISTINCT unnest([{listed}]) AS r FROM narrow.contexts")
    return {reason for reason in rows["r"].to_pylist() if reason is not None}


def rows_of(built: wb.Workbench, relation: str, key: str) -> list[Row]:
    """The rows of a relation, without what says where they were read."""
    own = {"row_id", "feedback_row_id", "ingested_at", "source_file", "source_row"}
    own |= {f"feedback_{name}" for name in own}
    rows = built.current.arrow(f"FROM {relation} ORDER BY {key}").to_pylist()
    return [{k: v for k, v in row.items() if k not in own} for row in rows]


@pytest.mark.parametrize("days", [0, 40])
def test_a_world_without_facts_keeps_every_inference(tmp_path: Path, days: int) -> None:
    given = world(1)
    kept = {"inferences", "feedback"}
    later = timedelta(days=days)
    given = {
        source: rows if source in kept else [] if not days else _moved(rows, later)
        for source, rows in given.items()
    }
    built = start(tmp_path / "empty")
    write(built.folder, given)
    built.build()
    assert len(values(built)) == len(given["inferences"])


def _moved(rows: list[Row], by: timedelta) -> list[Row]:
    """The rows, all of their times later."""
    from datetime import datetime

    def moved(value: Any) -> Any:
        if isinstance(value, str) and value[:3] == "202":
            return (datetime.fromisoformat(value) + by).isoformat()
        return value

    return [{key: moved(value) for key, value in row.items()} for row in rows]
