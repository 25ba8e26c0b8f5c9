"""A small log of chats and agents that has something for every training format, and what it says.

Rows are plain dictionaries, written as JSON lines: tests compare what a training set holds with
them, and with nothing that was built.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from tests.ingest.folder import START, Folder, lines
from workbench.datasets.compile import compile_dataset
from workbench.datasets.slice import Slice
from workbench.datasets.store import Dataset
from workbench.datasets.versions import open_examples

Row = dict[str, Any]

CONFIG = """
[inferences]
source = "logs"
[inferences.features]
age = "DOUBLE"
plan = "VARCHAR"
country = "VARCHAR"
[feedback]
source = "events"
[feedback.signals.thumb]
kind = "binary"
[feedback.signals.stars]
kind = "rating"
scale = [1, 5]
[feedback.signals.fix]
kind = "correction"
[feedback.signals.better]
kind = "preference"
[labels]
signals = ["thumb", "stars"]
[columns]
protected = ["features.country", "user.age_band", "channel"]
[context.user]
source = "users.csv"
on = "user_id"
columns = ["tier", "age_band"]
"""

#: One call per training format.
FORMATS = (
    "sft", "sft(style='text')", "dpo", "dpo(style='text')", "kto", "reward", "stepwise",
    "recsys", "tabular", "soft_labels",
)  # fmt: skip
_QUESTIONS = 96
_TRACES = 10
#: Each question is asked in one of three ways.
_ASKED = ("text", "messages", "object")


def name_of(training_format: str) -> str:
    """A name for a dataset of the format."""
    return "".join(c if c.isalnum() or c == "_" else "-" for c in training_format).strip("-")


def asked(k: int) -> tuple[str, list[Row]]:
    """The input as it is logged, and its messages, of question `k`."""
    text = f'Question {k}: what is "{k}" — plus {k}?'
    user = {"role": "user", "content": text}
    if _ASKED[k % 3] == "text":
        return text, [user]
    before = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hi, you."}]
    if _ASKED[k % 3] == "messages":
        return json.dumps([*before, user]), [*before, user]
    parts = {"role": "user", "content": [{"type": "text", "text": text}]}
    given = {"system": "Be brief.", "messages": [*before, parts]}
    return json.dumps(given), [{"role": "system", "content": "Be brief."}, *before, user]


def calls() -> list[Row]:
    """Two answers to each question, of which most have some feedback, and runs of an agent."""
    rows: list[Row] = []
    for k in range(_QUESTIONS):
        given, _ = asked(k)
        for turn in (0, 1):
            n = 2 * k + turn
            rows.append(
                {
                    "request_id": f"r{n:03}",
                    "ts": START + 600 * k + 30 * turn,
                    "model_version": f"v{n % 3}",
                    # Some questions are asked by two users.
                    "user_id": f"u{(k + turn * (k % 4 == 1)) % 17}",
                    "session_id": f"s{k}" if k % 4 == 0 else f"s{k}-{turn}",
                    "item_id": f"item {n % 5}" if n % 11 else None,
                    "position": n % 3,
                    "propensity": 0.25 + 0.25 * (n % 3),
                    "channel": "hidden channel",
                    "input": given,
                    "output": f"Answer {turn} to {k}: = {2 * k + turn}.",
                    "confidence": (n * 37 % 100) / 100,
                    "input_tokens": 10 + n % 7,
                    "output_tokens": 20,
                    "embedding": [float(n % 5), float(n % 7), 1.0],
                    "age": 20.5 + n,
                    "plan": f"p{n % 4}",
                    "country": f"land {n % 9}",
                }
            )
    for t in range(_TRACES):
        rows += [
            {
                "request_id": f"t{t}-{step}",
                "ts": START + 100_000 + 600 * t + step,
                "model_version": "v1",
                "user_id": f"u{t % 17}",
                "trace_id": f"trace {t}",
                "step": step,
                "input": f"Task {t}",
                "output": f"Step {step} of {t}",
            }
            for step in range(1 + t % 4)
        ]
    return rows


def events() -> list[Row]:
    """What people said: a quarter of the questions each has thumbs, stars, preferences, fixes."""
    rows: list[Row] = []

    def say(request: str | None, name: str, value: Any, rater: int, **more: Any) -> None:
        number = len(rows)
        rows.append(
            {
                "feedback_id": f"f{number:03}",
                "request_id": request,
                "ts": START + 70_000 + 10 * number,
                "name": name,
                "value": value,
                "rater_id": f"rater {rater}",
                **more,
            }
        )

    for k in range(_QUESTIONS):
        one, two = f"r{2 * k:03}", f"r{2 * k + 1:03}"
        if k % 8 == 7:
            continue  # nobody ever said anything about these
        if k % 4 == 0:
            say(one, "thumb", k // 4 % 2, 0)
            say(two, "thumb", 1 - k // 4 % 2, 1)
        elif k % 4 == 1:
            for rater in (0, 1, 2):
                say(one, "stars", 1 + (k + rater) % 2, rater)
                say(two, "stars", 5 - (k + rater) % 2, rater)
        elif k % 4 == 2:
            for rater in (0, 1, 2):
                ids = (one, two) if (k // 4 + (rater == 2)) % 2 else (two, one)
                tied = "tie" if k % 3 == 0 and rater != 1 else "better"
                say(None, "better", tied, rater, chosen_id=ids[0], rejected_id=ids[1])
        else:
            same = k % 3 == 0
            fixed = f"Answer 0 to {k}: = {2 * k}." if same else f"Better answer to {k}."
            say(one, "fix", None, 3, corrected_output=fixed)
    for t in range(_TRACES):
        if t != 6:
            say(None, "thumb", t % 2, 4, trace_id=f"trace {t}", scope="trace")
            rows[-1]["ts"] = START + 100_000 + 600 * t + 100
    return rows


def late() -> list[Row]:
    """A change of mind, a withdrawal, a first word on what had none, a second correction, and a
    second vote that says the same.
    """
    base = START + 200_000
    return [
        {"feedback_id": "late 0", "request_id": "r000", "ts": base, "name": "thumb", "value": 1,
         "rater_id": "rater 0"},
        {"feedback_id": "late 1", "request_id": "r008", "ts": base + 1, "name": "thumb",
         "retracts": "f012"},
        {"feedback_id": "late 2", "request_id": "r014", "ts": base + 2, "name": "thumb",
         "value": 1, "rater_id": "rater 0"},
        {"feedback_id": "late 3", "request_id": "r006", "ts": base + 3, "name": "fix",
         "value": None, "rater_id": "rater 3", "corrected_output": "The last word."},
        {"feedback_id": "late 4", "request_id": "r009", "ts": base + 4, "name": "thumb",
         "value": 0, "rater_id": "rater 2"},
    ]  # fmt: skip


def at(seconds: float) -> datetime:
    """A time of the log."""
    return datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True)
class Said:
    """What is known of each inference from its deciding events alone."""

    reward: float
    ids: list[str]
    last: datetime
    votes: dict[str, float]

    @property
    def good(self) -> bool:
        """Whether it counts as positive."""
        return self.reward >= 0.5


def said(rows: list[Row]) -> dict[str, Said]:
    """Rewards, by the mean over the last word of each rater and signal, and what made them."""
    withdrawn = {row["retracts"] for row in rows if row.get("retracts")}
    last_step = {f"trace {t}": f"t{t}-{t % 4}" for t in range(_TRACES)}
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row["feedback_id"] in withdrawn or row.get("retracts"):
            continue
        if row["name"] in ("thumb", "stars"):
            request = row.get("request_id") or last_step[row["trace_id"]]
            found.setdefault(request, []).append(row)
    return {request: _said(sorted(own, key=_when)) for request, own in found.items()}


def _when(row: Row) -> tuple[float, str]:
    return row["ts"], row["feedback_id"]


def _said(own: list[Row]) -> Said:
    words = {(row["rater_id"], row["name"]): _reward(row) for row in own}
    per_rater: dict[str, list[str]] = {}
    for (rater, _), reward in words.items():
        per_rater.setdefault(rater, []).append("1" if reward >= 0.5 else "0")
    votes: dict[str, float] = {}
    for classes in per_rater.values():
        for one in classes:
            votes[one] = votes.get(one, 0.0) + 1 / len(classes)
    return Said(
        fmean(words.values()),
        [row["feedback_id"] for row in own],
        at(max(row["ts"] for row in own)),
        {one: votes[one] / sum(votes.values()) for one in sorted(votes)},
    )


def _reward(row: Row) -> float:
    return float(row["value"]) if row["name"] == "thumb" else (row["value"] - 1) / 4


def write(path: Path, config: str = CONFIG) -> Folder:
    """Write the project and build it."""
    folder = Folder(path)
    folder.write("workbench.toml", config)
    folder.write("logs/calls.jsonl", lines(calls()))
    folder.write("events/first.jsonl", lines(events()))
    users = [f"u{n},tier {n % 3},band {n % 4}" for n in range(17)]
    folder.write("users.csv", "\n".join(["user_id,tier,age_band", *users]) + "\n")
    folder.build()
    return folder


def compiled(folder: Folder, training_format: str, name: str = "", **chosen: Any) -> Row:
    """Compile a slice; the manifest."""
    made = Slice(**chosen)
    return compile_dataset(folder.path, name or name_of(training_format), made, training_format)


def rows_of(folder: Folder, manifest: Row, query: str | None = None) -> list[Row]:
    """The examples of a version."""
    dataset = Dataset(folder.path / ".workbench", manifest["dataset"])
    with open_examples(dataset, manifest, query) as build:
        found: list[Row] = build.arrow("SELECT * FROM examples ORDER BY example_id").to_pylist()
    return found
