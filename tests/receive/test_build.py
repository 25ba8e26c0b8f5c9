"""What landed is what a build reads: nothing acknowledged is invalid, and all of it is counted."""

from __future__ import annotations

import json
from pathlib import Path

from tests.ingest.folder import Folder
from tests.receive.conftest import call, event, serving

CONFIG = """
[inferences]
source = "landing/inferences"
[feedback]
source = "landing/feedback"
[feedback.signals.thumb]
kind = "binary"
"""


def test_a_build_counts_what_landed(tmp_path: Path):
    folder = Folder.make(tmp_path / "p", CONFIG, events=0)
    landing = folder.path / "landing"
    bare = {name: value for name, value in event(7).items() if name != "feedback_id"}
    with serving(landing) as client:
        client.post([call(n) for n in range(10)], "inferences")
        client.post([event(n) for n in range(5)])
        client.post(event(99))
        client.post([bare, {**event(3), "feedback_id": "g", "received_at": None}, {"kind": "no"}])
        client.post(bare, idempotency_key="press-1")
        client.post(bare, idempotency_key="press-2")
        # Fields that no SQL can name stop no build, neither this one nor a later one.
        odd = {"": "nothing", "a\0b": 1, "*": 2, "deep": {"": 1, "\0": [2]}}
        client.post(event(8, **odd))
    folder.build()
    status = folder.status()
    assert {name: status[name] for name in ("received", "attributed", "orphan", "invalid")} == {
        "received": 11, "attributed": 10, "orphan": 1, "invalid": 0,
    }  # fmt: skip
    assert status["inferences"]["received"] == 10
    ((kept,),) = folder.ask("SELECT metadata FROM feedback WHERE feedback_id = 'f8'")
    values = [value for value in json.loads(kept).values() if value is not None]
    assert sorted(values, key=str) == [1, 2, "nothing", {"": 1, "\0": [2]}]
