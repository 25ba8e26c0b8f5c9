"""Random histories: calls, events and facts of three days, and the batches in which they arrive.

What arrives in which batch has nothing to do with when it happened, so most of it is late.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_START = 1_772_600_000
_SPAN = 3 * 86_400

_SPAM = "value = 'spam'"
#: A verdict that depends on all events of its rater, also on those that come later.
BURST = "count(*) OVER (PARTITION BY rater_id) > 9"

_CONFIG = """
[inferences]
source = "logs"
[feedback]
source = "events"
spam = "{spam}"
[feedback.signals.thumb]
kind = "binary"
[feedback.signals.stars]
kind = "rating"
scale = [1, 5]
[feedback.signals.class]
kind = "label"
[attribution]
fallback = ["session", "user"]
window = "6h"
credit = "{credit}"

[aliases]
source = "aliases"
[labels]
policy = "{policy}"
maturity = "5h"
[context.profile]
source = "profiles"
on = "user_id"
several = "first"
known_at = "known_at"
[context.price]
source = "prices"
join = "as_of"
on = "user_id"
ts = "ts"
known_at = "known_at"
tolerance = "1d"
[context.health]
source = "health"
join = "as_of"
on = "model_version"
ts = "ts"
columns = ["load"]
[context.incident]
source = "incidents"
join = "interval"
valid_from = "begin"
valid_to = "end"
[context.outcome]
source = "orders"
join = "within"
on = "user_id"
ts = "ts"
known_at = "known_at"
horizon = "8h"
credit = "{touch}"
aggregates = {{ converted = "any", revenue = "sum(amount)", n = "count" }}
[context.before]
from = "inferences"
join = "history"
on = "user_id"
k = 3
columns = ["prediction"]
aggregates = {{ n = "count" }}
[context.lately]
from = "inferences"
join = "history"
on = "model_version"
k = 2
{span}
aggregates = {{ n = "count", slowest = "max(latency_ms)" }}
[context.said]
from = "feedback"
join = "history"
on = "user_id"
span = "1d"
aggregates = {{ n = "count", good = "sum(positive)", worth = "mean(reward)" }}
[context.bought]
source = "orders2"
join = "history"
on = "user_id"
ts = "ts"
k = 2
aggregates = {{ spent = "sum(amount)" }}
[context.truth]
source = "knowledge"
join = "claims"
pattern = 'answer (\\w+) is (\\d+)'
path = "value"
known_at = "known_at"
[context.article]
source = "articles"
join = "nearest"
embedding = "vector"
text = "text"
ts = "ts"
k = 2
columns = ["text"]
"""


def write_config(folder: Path, seed: int) -> None:
    """Write the configuration of a history."""
    chosen = random.Random(seed)
    text = _CONFIG.format(
        spam=chosen.choice([_SPAM, _SPAM, BURST]),
        credit=chosen.choice(["last", "uniform", "discounted"]),
        policy=chosen.choice(["latest", "mean", "majority", "latest_per_rater_then_mean"]),
        touch=chosen.choice(["all", "last", "linear"]),
        span=chosen.choice(["", 'span = "12h"']),
    )
    (folder / "workbench.toml").write_text(text)


def batches(seed: int, n: int) -> list[dict[str, list[dict[str, Any]]]]:
    """Rows by source, of each of `n` batches."""
    made = random.Random(seed)
    rows = {
        "logs": _calls(made),
        "aliases": [],
        "profiles": [
            {"user_id": f"u{made.randrange(7)}", "plan": made.choice("abc"),
             "known_at": _time(made) if n == 0 or made.random() < 0.7 else None}
            for n in range(9)
        ],
        "prices": [
            {"user_id": f"u{made.randrange(7)}", "ts": _time(made), "price": made.random(),
             "known_at": _time(made) if n == 0 or made.random() < 0.5 else None}
            for n in range(15)
        ],
        "health": [
            {"model_version": made.choice(["v1", "v2"]), "ts": _time(made), "load": made.random()}
            for _ in range(8)
        ],
        "incidents": [_incident(made, n) for n in range(4)],
        "orders": [
            {"user_id": f"u{made.randrange(7)}", "ts": _time(made), "amount": made.randrange(9),
             "known_at": _time(made) if n == 0 or made.random() < 0.5 else None}
            for n in range(20)
        ],
        "orders2": [
            {"user_id": f"u{made.randrange(7)}", "ts": _time(made), "amount": made.randrange(9)}
            for _ in range(12)
        ],
    }  # fmt: skip
    rows["knowledge"] = [
        {"subject": f"q{made.randrange(5)}", "predicate": "value", "object": str(made.randrange(3)),
         "known_at": _time(made) if n == 0 or made.random() < 0.5 else None}
        for n in range(6)
    ]  # fmt: skip
    rows["articles"] = [
        {"vector": _vector(made), "text": f"article {n}", "ts": _time(made)} for n in range(5)
    ]
    rows["aliases"] = [
        {"alias": f"alias{made.randrange(8)}",
         "request_id": made.choice([f"r{made.randrange(90)}", f"t{made.randrange(9)}"])}
        for _ in range(8)
    ]  # fmt: skip
    rows["events"] = _events(made)
    found: list[dict[str, list[dict[str, Any]]]] = [{} for _ in range(n)]
    for source, listed in rows.items():
        for number, row in enumerate(listed):
            # The first row has a value in every column: from it the types are known.
            batch = found[0 if number == 0 else made.randrange(n)]
            batch.setdefault(source, []).append(row)
    for number, batch in enumerate(found):
        # What is known of the world goes on with each batch, whatever else is in it.
        at = _START + _SPAN + number * 10_000
        last = {"feedback_id": f"last{number}", "request_id": "r0", "ts": at, "received_at": at,
                "name": "thumb", "value": "1"}  # fmt: skip
        batch.setdefault("events", []).append(last)
    return found


def write(folder: Path, number: int, batch: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Let a batch arrive, as files of their own."""
    for source, rows in batch.items():
        (folder / source).mkdir(exist_ok=True)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / source / f"{number}.jsonl").write_text(text)


def _time(made: random.Random) -> int:
    # To the minute, so that some times are equal.
    return _START + made.randrange(_SPAN // 60) * 60


def _vector(made: random.Random) -> list[float]:
    return [made.randrange(1, 9) / 4 for _ in range(3)]


def _answer(made: random.Random) -> str:
    return f"answer q{made.randrange(5)} is {made.randrange(3)}"


def _calls(made: random.Random) -> list[dict[str, Any]]:
    rows = [
        {
            "request_id": f"r{n}",
            "ts": _time(made),
            "model_version": made.choice(["v1", "v2"]),
            "user_id": made.choice([None, *(f"u{i}" for i in range(6))]),
            "session_id": made.choice([None, *(f"s{i}" for i in range(12))]),
            "trace_id": made.choice([None, None, *(f"t{i}" for i in range(9))]),
            "step": made.choice([None, 0, 1, 2]),
            "cohort": made.choice([None, "a", "b"]),
            "prediction": made.choice(["0", "1"]),
            "confidence": made.randrange(100) / 100,
            "latency_ms": made.choice([None, 10.0, 90_000.0]),
            "output": _answer(made),
            "embedding": made.choice([None, _vector(made)]),
        }
        for n in range(90)
    ]
    # Some are received again, at another time or as another user's.
    again = [{**made.choice(rows), "ts": _time(made)} for _ in range(6)]
    again += [{**made.choice(rows), "user_id": f"u{made.randrange(6)}"} for _ in range(4)]
    return rows + again


def _events(made: random.Random) -> list[dict[str, Any]]:
    rows = []
    for n in range(130):
        at = _time(made)
        row: dict[str, Any] = {
            "feedback_id": f"f{n}",
            "ts": at,
            "received_at": min(at + made.choice([0, 0, 60, 86_400]), _START + _SPAN),
            "rater_id": f"p{made.randrange(14)}",
            "source_system": made.choice(["web", "app"]),
        }
        row["name"] = made.choice(
            ["thumb", "thumb", "stars", "class", "fix", "better", "take_back"]
        )
        row |= {
            "thumb": {"value": made.choice(["0", "1", "1", "spam", "oops"])},
            "stars": {"value": str(made.randrange(1, 7))},
            "class": {"value": made.choice(["0", "1"])},
            "fix": {"corrected_output": _answer(made)},
            "better": {
                "chosen_id": f"r{made.randrange(95)}",
                "rejected_id": f"r{made.randrange(95)}",
            },
            "take_back": {"retracts": f"f{made.randrange(130)}"},
        }[row["name"]]
        if row["name"] == "better":
            rows.append(row)
            continue
        if made.random() < 0.6:
            row["request_id"] = made.choice(
                [f"r{made.randrange(95)}", f"r{made.randrange(95)}", f"alias{made.randrange(9)}"]
            )
        else:
            row["scope"] = made.choice([None, None, "session", "trace"])
            row["user_id"] = made.choice([None, *(f"u{i}" for i in range(6))])
            row["session_id"] = made.choice([None, *(f"s{i}" for i in range(12))])
            row["trace_id"] = made.choice([None, *(f"t{i}" for i in range(9))])
        rows.append(row)
    again = [{**made.choice(rows), "ts": _time(made)} for _ in range(8)]
    again += [{**made.choice(rows), "rater_id": "p0"} for _ in range(4)]
    return rows + again


def _incident(made: random.Random, number: int) -> dict[str, Any]:
    begin = _time(made)
    end = begin + made.randrange(60, _SPAN)
    ends = end if number == 0 else made.choice([None, end])
    return {"begin": begin, "end": ends, "what": made.choice(["outage", "slow"])}
