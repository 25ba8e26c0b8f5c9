"""What landed is what a build reads: nothing acknowledged is invalid, and all of it is counted."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.ingest.folder import Folder
from tests.receive.conftest import ROOT, call, event, serving

#: The settings and the two bodies that the documentation shows.
BLOCKS = re.findall(
    r"^```(toml|json)\n(.*?)^```$",
    (ROOT / "docs" / "receive.md").read_text(encoding="utf-8"),
    flags=re.DOTALL | re.MULTILINE,
)


def test_a_build_counts_what_landed(tmp_path: Path):
    (config,) = (text for language, text in BLOCKS if language == "toml")
    documented = [text.encode() for language, text in BLOCKS if language == "json"]
    folder = Folder.make(tmp_path / "p", config, events=0)
    landing = folder.path / "landing"
    bare = {name: value for name, value in event(7).items() if name != "feedback_id"}
    with serving(landing) as client:
        assert client.post(documented[0], "inferences").status == 202
        assert client.post(documented[1]).status == 202
        client.post([call(n) for n in range(2, 10)], "inferences")
        client.post([event(n) for n in range(5)])
        client.post(event(99))
        client.post([bare, {**event(3), "feedback_id": "g", "received_at": None}, {"kind": "no"}])
        client.post(bare, idempotency_key="press-1")
        client.post(bare, idempotency_key="press-2")
        # Fields that no SQL can name stop no build, neither this one nor a later one.
        odd = {"": "nothing", "a\0b": 1, "*": 2, "deep": {"": 1, "\0": [2]}}
        client.post(event(8, **odd))
        client.post(call(0, scores={"": 0.5, "*": 0.25, 'a"b': 1}), "inferences")
    folder.build()
    status = folder.status()
    assert {name: status[name] for name in ("received", "attributed", "orphan", "invalid")} == {
        "received": 12, "attributed": 11, "orphan": 1, "invalid": 0,
    }  # fmt: skip
    assert status["inferences"]["received"] == 10
    ((kept,),) = folder.ask("SELECT metadata FROM feedback WHERE feedback_id = 'f8'")
    values = [value for value in json.loads(kept).values() if value is not None]
    assert sorted(values, key=str) == [1, 2, "nothing", {"": 1, "\0": [2]}]
    ((scores,),) = folder.ask("SELECT scores FROM inferences WHERE request_id = 'r0'")
    assert {score["name"]: score["value"] for score in scores} == {"": 0.5, "*": 0.25, 'a"b': 1}
