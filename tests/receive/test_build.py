"""What landed is what a build reads: nothing acknowledged is invalid, and all of it is counted."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import run
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
    assert run("build", "--project", folder.path).code == 0
    status = json.loads(run("status", "--project", folder.path, "--json").out)
    assert {name: status[name] for name in ("received", "attributed", "orphan", "invalid")} == {
        "received": 10, "attributed": 9, "orphan": 1, "invalid": 0,
    }  # fmt: skip
    assert status["inferences"]["received"] == 10
