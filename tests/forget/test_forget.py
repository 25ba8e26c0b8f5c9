"""Erasure: nothing of a user is left in any file, and everybody else's rows are as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

import workbench
from workbench.datasets import Slice, compile_dataset, export_dataset, parse_split
from workbench.datasets.store import Dataset
from workbench.errors import ConfigError, NotFoundError
from workbench.forget import forget
from workbench.ingest.forgotten import FILE

USER = "mallory.77"
CONFIG = """
[inferences]
source = "calls.jsonl"
[inferences.columns]
request_id = "id"
ts = "at"
model_version = "'v1'"
user_id = "who"
input = "asked"
output = "said"
[feedback]
source = "votes.jsonl"
columns = { request_id = "call", ts = "at", name = "'thumb'", value = "up", rater_id = "by" }
[feedback.signals.thumb]
kind = "binary"
[context.user]
source = "users.jsonl"
join = "lookup"
on = { user_id = "who" }
columns = ["country"]
"""


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> workbench.Workbench:
    users = ["ann", USER, "bob", "mallory.7"]
    calls = [
        {"id": f"c{i}", "at": f"2026-01-01T00:00:{i:02d}Z", "who": users[i % 4],
         "asked": f"question {i} of {users[i % 4]}", "said": f"answer {i}"}
        for i in range(40)
    ]  # fmt: skip
    votes = [
        {"call": f"c{i}", "at": "2026-01-01T01:00:00Z", "up": i % 3 == 0,
         "by": USER if i == 2 else users[i % 4]}
        for i in range(40)
    ]  # fmt: skip
    # A refused row names its user in its text alone.
    refused = {"call": "c3", "at": "never", "up": True, "by": USER}
    write(tmp_path / "calls.jsonl", calls)
    write(tmp_path / "votes.jsonl", [*votes, refused])
    write(tmp_path / "users.jsonl", [{"who": name, "country": "CH"} for name in users])
    (tmp_path / "workbench.toml").write_text(CONFIG, encoding="utf-8")
    opened = workbench.open(tmp_path)
    opened.build()
    return opened


def everything(state: Path) -> str:
    """All that can be read in any file of the state folder, as text."""
    found = []
    for path in state.rglob("*"):
        if path.suffix == ".parquet":
            with duckdb.connect() as connection:
                rows = connection.execute(f"SELECT * FROM read_parquet('{path}')").fetchall()
            found.append(str(rows))
        if path.is_file():
            found.append(path.read_bytes().decode("latin-1"))
    return "\n".join(found)


def test_nothing_is_left_and_the_others_are_as_they_were(project: workbench.Workbench) -> None:
    state = project.project.state
    chosen = Slice(split=parse_split("user_id: train=0.5, test=0.5"))
    compile_dataset(project.folder, "votes", chosen, "kto")
    kept = f"SELECT * EXCLUDE (n_events) FROM enriched_inferences WHERE user_id <> '{USER}' "
    before = project.sql(kept + "AND request_id <> 'c2' ORDER BY 1", limit=None).table
    project.current.close()
    (state / "exports").mkdir(exist_ok=True)
    export_dataset(project.folder, "votes", "jsonl", state / "exports" / "votes.jsonl")
    assert USER in everything(state)

    done = forget(project.project, USER)
    assert done["rows"] == {"inferences": 10, "feedback": 11, "context_user": 1, "quarantine": 1}
    assert done["versions"] == ["votes@v1.0"]
    project.build()
    assert USER not in everything(state)
    after = workbench.open(project.folder)
    assert after.sql(kept + "AND request_id <> 'c2' ORDER BY 1", limit=None).table.equals(before)
    status = after.status()
    assert (status["received"], status["attributed"], status["invalid"]) == (29, 29, 0)
    # An id of which this one is the beginning is another one.
    assert after.sql("SELECT count(*) AS n FROM inferences WHERE user_id = 'mallory.7'").table[
        "n"
    ].to_pylist() == [10]

    with pytest.raises(NotFoundError, match="withdrawn"):
        export_dataset(project.folder, "votes@v1.0", "jsonl", project.folder / "out.jsonl")
    again = compile_dataset(project.folder, "votes", chosen, "kto")
    assert again["rows"] == 29
    assert Dataset(state, "votes").manifest()["version"] == again["version"]

    # The mapping changes, so every file is read anew; what was erased stays out.
    config = project.folder / "workbench.toml"
    config.write_text(CONFIG.replace("\"'v1'\"", "\"'v2'\""), encoding="utf-8")
    changed = workbench.open(project.folder)
    notes = changed.build()["notes"]
    assert any("erased" in note for note in notes)
    assert USER not in everything(state)
    assert changed.status()["received"] == 29


def test_a_run_that_was_killed_is_completed(
    project: workbench.Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.lake import Lake

    rewrite, calls = Lake.rewrite, []

    def breaks(self: Lake, table: str, data: Any) -> None:
        calls.append(table)
        if len(calls) == 3:
            raise KeyboardInterrupt
        rewrite(self, table, data)

    with monkeypatch.context() as patched:
        patched.setattr(Lake, "rewrite", breaks)
        with pytest.raises(KeyboardInterrupt):
            forget(project.project, USER)
    forget(project.project, USER)
    project.build()
    assert USER not in everything(project.project.state)


def test_who_is_not_here_is_said(project: workbench.Workbench) -> None:
    with pytest.raises(NotFoundError, match="mallory"):
        forget(project.project, "mallory")
    with pytest.raises(ConfigError):
        forget(project.project, " ")
    assert (project.project.state / "current").exists()
    assert not (project.project.state / FILE).exists()
