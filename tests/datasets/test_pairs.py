"""What makes a pair, and what is no pair although it looks like one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.datasets import world
from tests.datasets.world import Row
from tests.ingest.folder import START, Folder, lines

CONFIG = """
[inferences]
source = "logs"
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
"""
Case = tuple[str, list[tuple[str, str, str]], list[Row]]


def stars(answer: str, value: int, **more: Any) -> Row:
    return {"request_id": answer, "name": "stars", "value": value, **more}


def thumb(answer: str, value: int, **more: Any) -> Row:
    return {"request_id": answer, "name": "thumb", "value": value, **more}


def better(chosen: str, rejected: str, value: str = "better", **more: Any) -> Row:
    return {
        "name": "better", "value": value, "chosen_id": chosen, "rejected_id": rejected, **more
    }  # fmt: skip


def fix(answer: str, text: str, **more: Any) -> Row:
    return {"request_id": answer, "name": "fix", "corrected_output": text, **more}


#: Per case: its name; answers as prompt, session and text; what was said of answers a, b, c.
CASES: list[Case] = [
    ("opposed", [("q", "s", "x"), ("q", "t", "y")],
     [better("a", "b"), stars("a", 1), stars("b", 5)]),
    ("agreed", [("q", "s", "x"), ("q", "s", "y")],
     [better("a", "b"), thumb("a", 1), thumb("b", 0)]),
    ("same words", [("q", "s", "x"), ("q", "t", " x ")], [better("a", "b")]),
    ("same words rated", [("q", "s", "x"), ("q", "t", "x")], [stars("a", 5), stars("b", 1)]),
    ("two questions", [("q", "s", "x"), ("other", "s", "y")], [better("a", "b")]),
    ("two questions, thumbs", [("q", "s", "x"), ("other", "s", "y")],
     [thumb("a", 1), thumb("b", 0)]),
    ("silence", [("q", "s", "x"), ("q", "s", "y")], [stars("a", 5)]),
    ("near", [("q", "s", "x"), ("q", "t", "y")], [stars("a", 3), stars("b", 4)]),
    ("even", [("q", "s", "x"), ("q", "t", "y")], [stars("a", 4), stars("b", 4)]),
    ("best and worst", [("q", "s", "x"), ("q", "t", "y"), ("q", "u", "z")],
     [stars("a", 2), stars("b", 5), stars("c", 1)]),
    ("tie", [("q", "s", "x"), ("q", "t", "y")],
     [better("a", "b", "tie", rater_id="one"), better("a", "b", "Tie", rater_id="two"),
      better("b", "a", rater_id="three")]),
    ("even votes", [("q", "s", "x"), ("q", "t", "y")],
     [better("a", "b", rater_id="one"), better("b", "a", rater_id="two")]),
    ("last word", [("q", "s", "x"), ("q", "t", "y")],
     [better("a", "b", rater_id="one"), better("b", "a", rater_id="one")]),
    ("withdrawn", [("q", "s", "x"), ("q", "t", "y")],
     [better("a", "b"), {"name": "better", "retracts": "{0}"}]),
    ("fixed twice", [("q", "s", "x")], [fix("a", "y"), fix("a", "z")]),
    ("fixed to the same", [("q", "s", "x")], [fix("a", " x\n")]),
    ("fix withdrawn", [("q", "s", "x")], [fix("a", "y"), {"name": "fix", "retracts": "{0}"}]),
    ("no answer", [("q", "s", "x"), ("q", "t", " ")], [better("a", "b")]),
    ("no prompt", [("", "s", "x"), ("", "t", "y")], [better("a", "b")]),
]  # fmt: skip
#: What becomes of them: chosen and rejected text and the source; or why there is none.
PAIRS = {
    "agreed": ("x", "y", "preference"),
    "near": ("y", "x", "answers"),
    "best and worst": ("y", "z", "answers"),
    "last word": ("y", "x", "preference"),
    "fixed twice": ("z", "x", "correction"),
}
REASONS = {
    "contradiction": 1, "same_answer": 2, "other_prompt": 1, "tie": 2, "no_answer": 1,
    "no_prompt": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    calls: list[Row] = []
    events: list[Row] = []
    for place, (name, answers, said) in enumerate(CASES):
        for letter, (prompt, session, text) in zip("abc", answers, strict=False):
            calls.append(
                {
                    "request_id": f"{name}/{letter}", "ts": START + len(calls),
                    "model_version": "v1", "session_id": f"{name}/{session}",
                    "input": prompt and f"{name}: {prompt}?", "output": text,
                }
            )  # fmt: skip
        for row in said:
            ids: dict[str, str] = {
                key: f"{name}/{row[key]}"
                for key in ("request_id", "chosen_id", "rejected_id") if key in row
            }  # fmt: skip
            if "retracts" in row:
                ids = {"retracts": f"{place}-0"}
            number = sum(e["feedback_id"].startswith(f"{place}-") for e in events)
            events.append(
                {**row, **ids, "feedback_id": f"{place}-{number}", "ts": START + 1000 + len(events)}
            )
    folder = Folder(tmp_path_factory.mktemp("pairs"))
    folder.write("workbench.toml", CONFIG)
    folder.write("logs/calls.jsonl", lines(calls))
    folder.write("events/said.jsonl", lines(events))
    folder.build()
    return folder


def pairs(folder: Folder, call: str, name: str, **chosen: Any) -> tuple[Row, dict[str, Any]]:
    """The pairs by case, and why there are no others."""
    manifest = world.compiled(folder, call, name, **chosen)
    rows = world.rows_of(folder, manifest)
    found = {
        row["request_id"].split("/")[0]: (row["chosen"], row["rejected"], row["source"])
        for row in rows
    }
    assert len(found) == len(rows)
    reasons = {s["reason"]: -s["rows"] for s in manifest["funnel"] if s["rows"] < 0}
    return found, reasons


def test_each_case_is_a_pair_or_has_a_reason(planted: Folder) -> None:
    found, reasons = pairs(planted, "dpo(style='text')", "all")
    assert found == PAIRS
    assert reasons == REASONS


def test_the_pairs_of_each_source_are_its_own(planted: Folder) -> None:
    found, _ = pairs(planted, "dpo(style='text', sources='answers', margin=0.3)", "margin")
    assert found == {
        # Without the preference nothing speaks against the ratings, or for the thumbs.
        "opposed": ("y", "x", "answers"),
        "agreed": ("x", "y", "answers"),
        "best and worst": ("y", "z", "answers"),
    }
    found, _ = pairs(planted, "dpo(style='text', sources='thumbs')", "thumbs")
    assert found == {"agreed": ("x", "y", "thumbs")}
    found, reasons = pairs(planted, "dpo(style='text', sources='preference')", "votes")
    assert found == {
        "opposed": ("x", "y", "preference"),
        **{name: pair for name, pair in PAIRS.items() if pair[2] == "preference"},
    }
    assert "contradiction" not in reasons


def test_a_pair_needs_both_sides_in_the_slice(planted: Folder) -> None:
    where = "request_id NOT IN ('last word/a', 'near/a')"
    found, reasons = pairs(planted, "dpo(style='text')", "part", where=where)
    assert found == {n: pair for n, pair in PAIRS.items() if n not in ("last word", "near")}
    assert reasons["other_not_in_slice"] == 1


def test_all_events_of_a_pair_are_named(planted: Folder) -> None:
    manifest = world.compiled(planted, "dpo", "events")
    by_case = {r["request_id"].split("/")[0]: r for r in world.rows_of(planted, manifest)}
    places = {name: place for place, (name, *_) in enumerate(CASES)}
    agreed, fixed = by_case["agreed"], by_case["fixed twice"]
    assert agreed["feedback_ids"] == [f"{places['agreed']}-{n}" for n in range(3)]
    assert agreed["strength"] == 1.0
    assert fixed["feedback_ids"] == [f"{places['fixed twice']}-1"]
    assert by_case["near"]["strength"] == 0.25


def test_an_answer_without_feedback_is_in_no_pair(planted: Folder) -> None:
    manifest = world.compiled(planted, "dpo(per_prompt=5, margin=0.0)", "judged-only")
    judged = {
        f"{name}/{row[key]}"
        for name, _, said in CASES for row in said
        for key in ("request_id", "chosen_id", "rejected_id") if key in row
    }  # fmt: skip
    for row in world.rows_of(planted, manifest):
        assert {row["request_id"], row["other_id"]} - {None} <= judged
