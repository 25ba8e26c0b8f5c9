"""A project whose files hold known numbers of everything that can go wrong with feedback."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

CONFIG = """
[project]
name = "planted"
[inferences]
source = "inferences/*.{format}"
[feedback]
source = "feedback/*"
format = "jsonl"
spam = "rater_id = 'load-test'"
[feedback.signals.thumb]
kind = "binary"
[feedback.signals.stars]
kind = "rating"
scale = [1, 5]
[feedback.signals.dwell]
kind = "implicit"
positive = "value >= 30"
[feedback.signals.fix]
kind = "correction"
[feedback.signals.better]
kind = "preference"
[attribution]
fallback = ["session", "user"]
window = "1h"
"""
START = datetime(2026, 3, 1, tzinfo=UTC)
ATTRIBUTED, ORPHAN, AMBIGUOUS = "attributed", "orphan", "ambiguous"
DUPLICATE, SPAM = "duplicate", "spam"
REFUSED = {
    "bad_type", "bad_value", "missing_value", "not_allowed", "not_json", "not_utf8",
    "ts_out_of_range",
}  # fmt: skip


def stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def key_of(line: str) -> str:
    """What a line says, whatever the order of its keys and when it came; ties are one."""
    try:
        read = json.loads(line)
    except ValueError:
        return line
    if not isinstance(read, dict):
        return line
    if str(read.get("feedback_id")).startswith("tie"):
        return str(read["feedback_id"])
    read.pop("received_at", None)
    return json.dumps(read, sort_keys=True)


@dataclass
class Planted:
    """Lines of feedback and rows of inferences, and what a build must make of them.

    Attributes
    ----------
    fate
        How often a line, by `key_of`, meets a status or the reason of its refusal.
    """

    inferences: list[dict[str, Any]] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    fate: Counter[tuple[str, str]] = field(default_factory=Counter)
    methods: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    values: dict[str, str] = field(default_factory=dict)
    found: dict[str, str | None] = field(default_factory=dict)
    labelled: set[str] = field(default_factory=set)
    number: int = 0

    def next(self) -> int:
        self.number += 1
        return self.number

    def call(self, after: float = 0.0, **more: Any) -> str:
        """Log an inference and return its id; each has a session and a user of its own."""
        number = self.next()
        row = {
            "request_id": f"r{number}",
            "ts": START + timedelta(minutes=self.number, seconds=after),
            "model_version": "v1",
            "session_id": f"s{number}",
            "user_id": f"u{number}",
            "output": "an answer",
            "confidence": 0.75,
        }
        self.inferences.append({**row, **more})
        self.calls["accepted"] += 1
        return str({**row, **more}["request_id"])

    def event(self, request_id: str | None, after: float = 30.0, **more: Any) -> dict[str, Any]:
        """An event about an inference, not yet sent."""
        known = {row["request_id"]: row["ts"] for row in self.inferences[-4:]}
        moment = known.get(request_id, START + timedelta(minutes=self.number))
        event = {
            "feedback_id": f"f{self.next()}",
            "request_id": request_id,
            "ts": stamp(moment + timedelta(seconds=after)),
            "name": "thumb",
            "value": 1,
            "rater_id": f"p{self.number}",
            **more,
        }
        return {name: value for name, value in event.items() if value is not None}

    def send(self, event: dict[str, Any] | str, fate: str, method: str | None = None) -> None:
        """Write a line, and note what must become of it."""
        line = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
        self.lines.append(line.encode())
        self.fate[key_of(line), fate] += 1
        if method is not None:
            self.methods[method] += 1
        if isinstance(event, dict) and method == "request_id" and "retracts" not in event:
            self.labelled.add(event["request_id"])


Plant = Callable[[Planted], None]
PLANTS: dict[str, Plant] = {}


def plant(function: Plant) -> Plant:
    PLANTS[function.__name__] = function
    return function


@plant
def plain(p: Planted) -> None:
    p.send(p.event(p.call(), comment='dæmon 🎉 \x00 "quoted" \\ tab\t'), ATTRIBUTED, "request_id")
    p.send(p.event(p.call(), name="stars", value="5.0"), ATTRIBUTED, "request_id")
    p.send(p.event(p.call(), name="dwell", value=29.5, odd={"deep": [1]}), ATTRIBUTED, "request_id")
    p.send(
        p.event(p.call(), name="fix", value=None, corrected_output="better"),
        ATTRIBUTED,
        "request_id",
    )


@plant
def broken_line(p: Planted) -> None:
    n = p.next()
    p.send(f'{{"feedback_id": "f{n}", "name": "thumb", "val', "not_json")
    p.send(f'["f{n}", 1]', "not_json")
    p.send(f"f{n} plain text", "not_json")


@plant
def broken_bytes(p: Planted) -> None:
    p.lines.append(b'{"name": "thumb\xff", "feedback_id": "f%d"}' % p.next())
    p.fate["bytes", "not_utf8"] += 1


@plant
def refused(p: Planted) -> None:
    request = p.call()
    p.send(p.event(request, ts=None), "missing_value")
    p.send(p.event(request, name=None), "missing_value")
    p.send(p.event(request, value=None), "missing_value")
    p.send(p.event(request, name="better", value=None, chosen_id=request), "missing_value")
    p.send(p.event(request, ts="yesterday"), "bad_type")
    p.send(p.event(request, ts=10), "ts_out_of_range")
    p.send(p.event(request, ts="2100-01-01T00:00:00Z"), "ts_out_of_range")
    p.send(p.event(request, scope="galaxy"), "not_allowed")
    p.send(p.event(request, rater_kind="alien"), "not_allowed")
    p.send(p.event(request, kind="applause"), "not_allowed")
    p.send(p.event(request, value=7), "bad_value")
    p.send(p.event(request, name="stars", value=5.01), "bad_value")
    p.send(p.event(request, name="stars", value="NaN"), "bad_value")
    p.send(p.event(request, name="dwell", value="long"), "bad_value")
    p.send(p.event(request, name="fix", value="better"), "bad_value")


@plant
def same_event_again(p: Planted) -> None:
    event = p.event(p.call())
    p.send(event, ATTRIBUTED, "request_id")
    p.send(event, DUPLICATE)
    # The same with its keys in another order is the same.
    p.send(dict(reversed(event.items())), DUPLICATE)


@plant
def same_event_without_id(p: Planted) -> None:
    event = p.event(p.call(), feedback_id=None)
    p.send(event, ATTRIBUTED, "request_id")
    p.send(event, DUPLICATE)
    # Received at another time, it is the same event.
    p.send({**event, "received_at": stamp(START + timedelta(days=1))}, DUPLICATE)
    # One more word makes it another one.
    p.send({**event, "comment": "really"}, ATTRIBUTED, "request_id")


@plant
def same_id_other_content(p: Planted) -> None:
    request = p.call()
    first = p.event(request, after=10, value=0)
    p.send({**first, "ts": p.event(request, after=20)["ts"], "value": 1}, DUPLICATE)
    p.send(first, ATTRIBUTED, "request_id")
    p.values[first["feedback_id"]] = "0"


@plant
def same_id_same_time(p: Planted) -> None:
    event = p.event(p.call(), feedback_id=f"tie{p.next()}")
    p.send(event, ATTRIBUTED, "request_id")
    p.send({**event, "value": 0}, DUPLICATE)
    p.send({**event, "value": "true"}, DUPLICATE)


@plant
def refused_namesake(p: Planted) -> None:
    event = p.event(p.call())
    p.send({**event, "value": 12, "ts": stamp(START)}, "bad_value")
    p.send({**event, "scope": "none"}, "not_allowed")
    p.send(event, ATTRIBUTED, "request_id")


@plant
def spam(p: Planted) -> None:
    event = p.event(p.call(), rater_id="load-test")
    p.send(event, SPAM)
    p.send(event, DUPLICATE)
    p.send(p.event("gone", rater_id="load-test"), SPAM)
    p.send(p.event(p.call(), rater_id="load-test", value=3), "bad_value")


@plant
def orphan(p: Planted) -> None:
    p.call()
    own = p.inferences[-1]
    keys = {"session_id": own["session_id"], "user_id": own["user_id"]}
    lost = p.event("gone", **keys, comment="of an inference that never came")
    p.send(lost, ORPHAN)
    p.send(lost, DUPLICATE)
    p.send(p.event(None), ORPHAN)
    p.send(p.event(None, session_id="elsewhere", user_id="nobody"), ORPHAN)


@plant
def outside_of_the_window(p: Planted) -> None:
    request = p.call()
    session = p.inferences[-1]["session_id"]
    for after, fate in ((3600, ATTRIBUTED), (3600.000001, ORPHAN), (0, ATTRIBUTED), (-1, ORPHAN)):
        ts = p.event(request, after=after)["ts"]
        p.send(
            p.event(None, ts=ts, session_id=session),
            fate,
            "session" if fate == ATTRIBUTED else None,
        )
    p.labelled.add(request)


@plant
def ambiguous(p: Planted) -> None:
    same = {"ts": START, "session_id": f"both{p.next()}"}
    request = p.call(**same)
    p.call(**same)
    alone = p.call(ts=START)
    user = next(row["user_id"] for row in p.inferences if row["request_id"] == alone)
    ts = p.event(request, after=5)["ts"]
    # The user alone would be clear, but an ambiguous session does not fall through.
    event = p.event(None, ts=ts, session_id=same["session_id"], user_id=user)
    p.send(event, AMBIGUOUS)
    p.found[event["feedback_id"]] = None


@plant
def by_session(p: Planted) -> None:
    session = f"long{p.next()}"
    for minute in (-90, -20, -10):
        request = p.call(ts=START + timedelta(minutes=minute), session_id=session)
    event = p.event(None, ts=stamp(START), session_id=session, user_id="somebody else")
    p.send(event, ATTRIBUTED, "session")
    p.found[event["feedback_id"]] = request
    p.labelled.add(request)


@plant
def by_user(p: Planted) -> None:
    request = p.call()
    event = p.event(request, session_id="never logged", user_id=p.inferences[-1]["user_id"])
    p.send({k: v for k, v in event.items() if k != "request_id"}, ATTRIBUTED, "user")
    p.found[event["feedback_id"]] = request
    p.labelled.add(request)


@plant
def early(p: Planted) -> None:
    p.send(p.event(p.call(), after=-0.001), ATTRIBUTED, "request_id")
    p.flags["early"] += 1


@plant
def late(p: Planted) -> None:
    p.send(p.event(p.call(), after=90 * 86400), ATTRIBUTED, "request_id")


@plant
def other_version(p: Planted) -> None:
    p.send(p.event(p.call(), model_version="v0"), ATTRIBUTED, "request_id")
    p.flags["other_model_version"] += 1
    p.send(p.event(p.call(), model_version="v1"), ATTRIBUTED, "request_id")


@plant
def retracted(p: Planted) -> None:
    request = p.call()
    event = p.event(request)
    p.send(event, ATTRIBUTED, "request_id")
    p.labelled.discard(request)
    withdrawal = p.event(
        None, ts=stamp(START + timedelta(days=300)), name=None, value=None,
        retracts=event["feedback_id"],
    )  # fmt: skip
    p.send(withdrawal, ATTRIBUTED, "request_id")
    p.found[withdrawal["feedback_id"]] = request
    p.flags["retracted"] += 1
    p.send(p.event(None, value=None, retracts="never sent"), ORPHAN)


@plant
def preference(p: Planted) -> None:
    chosen, rejected = p.call(), p.call()
    for left, right, known in (
        (chosen, rejected, True),
        (chosen, "gone", False),
        ("gone", rejected, False),
    ):
        event = p.event(None, name="better", value=None, chosen_id=left, rejected_id=right)
        p.send(event, ATTRIBUTED if known else ORPHAN, "preference" if known else None)
        p.found[event["feedback_id"]] = None


@plant
def bad_calls(p: Planted) -> None:
    p.call(model_version=None)
    p.call(confidence=1.5)
    p.calls["accepted"] -= 2
    p.calls["invalid"] += 2
    request = p.call()
    p.inferences.append(dict(p.inferences[-1]))
    later = p.inferences[-1]["ts"] + timedelta(seconds=1)
    p.inferences.append({**p.inferences[-1], "ts": later, "model_version": "v9"})
    p.calls["duplicate"] += 2
    p.send(p.event(request, model_version="v1"), ATTRIBUTED, "request_id")


def everything(p: Planted) -> None:
    """An event with every field that any other event has."""
    event = p.event(
        p.call(), name="note", kind="comment", value="all of it", comment="much", odd=1,
        corrected_output="better", chosen_id="a", rejected_id="b", retracts="nothing",
        session_id="s", user_id="u", model_version="v1", scope="inference", rater_kind="human",
        received_at=stamp(START),
    )  # fmt: skip
    p.send(event, ATTRIBUTED, "request_id")


def planted(times: Mapping[str, int]) -> Planted:
    """Plant each fault as often as it is said."""
    result = Planted()
    plain(result)
    everything(result)
    everything(result)
    for name, count in times.items():
        for _ in range(count):
            PLANTS[name](result)
    return result


def write_calls(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write inferences, as Parquet or as JSON lines by the ending of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        dated = [{**row, "ts": stamp(row["ts"])} for row in rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in dated))


def write_lines(path: Path, lines: list[bytes]) -> None:
    """Append lines to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.writelines(line + b"\n" for line in lines)
