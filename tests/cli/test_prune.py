"""Old builds go; what is in force, what is open and what was exported from them stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import workbench
from workbench.datasets import Slice, compile_dataset, export_dataset
from workbench.errors import ConfigError, NotFoundError

CONFIG = """
[inferences]
source = "calls.csv"
columns = { model_version = "'v1'" }
[feedback]
source = "votes.csv"
[feedback.signals.thumb]
kind = "binary"
"""
READER = """
import sys
from workbench.query import open_build
with open_build(sys.argv[1], sys.argv[2]):
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def builds(tmp_path: Path) -> list[str]:
    (tmp_path / "workbench.toml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "calls.csv").write_text(
        "request_id,ts,input,output\na,2026-01-01T00:00:00Z,hi,hello\n", encoding="utf-8"
    )
    made = []
    for number in range(3):
        (tmp_path / "votes.csv").write_text(
            "feedback_id,request_id,ts,name,value\n"
            + "".join(f"{n},a,2026-01-01T00:00:0{n}Z,thumb,1\n" for n in range(number + 1)),
            encoding="utf-8",
        )
        made.append(str(workbench.open(tmp_path).build()["build"]))
        if number == 0:
            compile_dataset(tmp_path, "votes", Slice(), "kto")
    return made


def test_old_builds_go_unless_they_are_open(builds: list[str], tmp_path: Path) -> None:
    project = workbench.open(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(tmp_path), builds[1]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open\n"
        done = project.prune(keep=1)
        reader.communicate("")
    assert done["removed"] == [builds[0]]
    assert done["open"] == [builds[1]]
    assert sorted(done["kept"]) == sorted(builds[1:])
    assert done["versions"] == ["votes@v1.0"]
    assert done["bytes"] > 0
    # What was compiled from a build that is gone is still there, but cannot be made anew.
    assert export_dataset(tmp_path, "votes", "jsonl", tmp_path / "out.jsonl")["rows"] == 1
    with pytest.raises(NotFoundError, match="build"):
        project.datasets.reproduce("votes")
    assert project.prune(keep=1)["kept"] == [builds[2]]
    assert project.sql("SELECT count(*) AS n FROM feedback").table["n"].to_pylist() == [3]
    with pytest.raises(ConfigError):
        project.prune(keep=0)
