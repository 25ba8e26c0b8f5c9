"""Kept SQL gives what compiling anew gives, and nothing that it depends on changes under it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.build.equality import differences
from tests.ingest.folder import PLAIN, Folder, event, inference, lines
from workbench import compiled, engine
from workbench.build import reach
from workbench.compiled import Parts, Scope
from workbench.project import Signal

CONFIG = (
    PLAIN
    + """
[attribution]
fallback = ["user"]
[labels]
maturity = "1m"
[context.plan]
source = "plans.jsonl"
on = "user_id"
columns = ["tier"]
[context.sales]
source = "sales.jsonl"
join = "within"
on = "user_id"
ts = "ts"
horizon = "5m"
aggregates = { n = "count" }
"""
)


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has compiled nothing, of a program that nobody is writing."""
    monkeypatch.setattr(compiled, "_KEPT", {})
    monkeypatch.setattr(compiled, "_program", lambda: "program")


@pytest.fixture
def parts() -> Iterator[Parts]:
    connection = engine.connect()
    connection.execute("CREATE TEMP TABLE numbers AS SELECT 1 AS a, 2 AS b")
    yield Parts(connection=connection, backend=engine.backend(connection))
    connection.close()


def write(path: Path) -> Folder:
    folder = Folder.make(path, CONFIG, events=4)
    folder.write("logs/a.jsonl", lines(inference(n, user_id=f"u{n}") for n in range(6)))
    folder.write("plans.jsonl", lines([{"user_id": "u1", "tier": "gold"}]))
    folder.write("sales.jsonl", lines([{"user_id": "u2", "ts": inference(3)["ts"]}]))
    return folder


def more(folder: Folder) -> None:
    folder.append("logs/a.jsonl", lines([inference(7, user_id="u7")]))
    folder.append("events/first.jsonl", lines([event(7), event(900, request_id=None)]))


def refuse(expression: Any) -> str:
    raise AssertionError("Something was compiled again.")


def test_the_second_build_out_of_a_last_one_compiles_nothing(
    tmp_path: Path, cold: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "_MOST", 2.0)
    folder = write(tmp_path / "kept")
    folder.build()
    more(folder)
    folder.build()
    folder.write("events/later.jsonl", lines([event(1, feedback_id="later", value=0)]))
    compiled._KEPT.clear()
    with monkeypatch.context() as patched:
        patched.setattr(engine, "sql_of", refuse)
        folder.build()
    made = json.loads((folder.path / ".workbench" / "current").read_text())
    assert made["refreshed"] is not None


def test_a_new_process_compiles_nothing_and_builds_the_same(
    tmp_path: Path, cold: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "kept")
    folder.build()
    more(folder)
    # Without a last build, one of everything is made.
    (folder.path / ".workbench" / "current").unlink()
    compiled._KEPT.clear()
    with monkeypatch.context() as patched:
        patched.setattr(engine, "sql_of", refuse)
        folder.build()
    compiled._KEPT.clear()
    anew = write(tmp_path / "anew")
    more(anew)
    anew.build()
    assert differences(folder.path, anew.path) == []
    assert folder.ask("SELECT count(*), count(label) FROM enriched_inferences") == [(7, 5)]


def test_what_another_program_kept_is_not_run(
    parts: Parts, cold: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "compiled.json"
    first = replace(parts, file=file, _used={})
    first.run(double, ["numbers"], column="a")
    first.save()
    stored = json.loads(file.read_text())
    wrong = {key: ["SELECT error('stale')"] for key in stored["parts"]}
    file.write_text(json.dumps(stored | {"parts": wrong}))
    for program, stale in (("another", False), ("program", True)):
        compiled._KEPT.clear()
        monkeypatch.setattr(compiled, "_program", lambda program=program: program)
        again = replace(parts, file=file, _used={})
        if stale:
            with pytest.raises(duckdb.Error, match="stale"):
                again.run(double, ["numbers"], column="a")
        else:
            again.run(double, ["numbers"], column="a")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"program": "program"}'])
def test_a_damaged_file_is_as_good_as_none(
    parts: Parts, cold: None, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "compiled.json"
    file.write_text(content)
    kept = replace(parts, file=file)
    kept.run(double, ["numbers"], column="a")
    kept.save()
    assert len(json.loads(file.read_text())["parts"]) == 1


def double(scope: Scope, *, column: str) -> None:
    numbers = scope.tables["numbers"]
    scope.make("doubled", numbers.select(twice=numbers[column] * 2))


def test_a_part_is_compiled_for_each_of_its_arguments(parts: Parts, cold: None) -> None:
    for column, twice in (("a", 2), ("b", 4), ("a", 2)):
        parts.run(double, ["numbers"], column=column)
        assert engine.scalar(parts.connection, "SELECT twice FROM doubled") == twice
    assert len(compiled._KEPT) == 2


def test_a_part_is_compiled_for_each_type_of_a_column(parts: Parts, cold: None) -> None:
    parts.run(double, ["numbers"], column="a")
    parts.connection.execute("CREATE OR REPLACE TEMP TABLE numbers AS SELECT 1.5::DOUBLE AS a")
    parts.run(double, ["numbers"], column="a")
    assert len(compiled._KEPT) == 2
    assert engine.scalar(parts.connection, "SELECT twice FROM doubled") == 3.0


def test_a_part_reads_only_what_it_declares(parts: Parts, cold: None) -> None:
    with pytest.raises(KeyError):
        parts.run(double, [], column="a")


def test_what_is_foreign_is_neither_stored_nor_taken_for_another(
    parts: Parts, cold: None, tmp_path: Path
) -> None:
    kept = replace(parts, file=tmp_path / "compiled.json")
    for _ in range(2):
        kept.run(double, ["numbers"], [object()], column="a")
    kept.save()
    assert len(compiled._KEPT) == 2
    assert not (tmp_path / "compiled.json").exists()


def test_unlike_arguments_have_unlike_keys() -> None:
    rating = Signal(name="stars", kind="rating", scale=(1.0, 5.0))
    values = [
        None, "", "1", 1, 1.0, True, (), {}, (1,), ("1",), {"a": 1}, {1: "a"}, [["a", 1]],
        timedelta(seconds=1), timedelta(days=1), "timedelta", rating, replace(rating, kind="label"),
        {"x": {}, "y": ()}, {"y": (), "x": {}},
    ]  # fmt: skip
    keys = [json.dumps(compiled._plain(value)) for value in values]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("value", [object(), {1, 2}, lambda: 1, (object(),)])
def test_what_may_change_without_its_key_is_no_argument(value: object) -> None:
    with pytest.raises(TypeError, match="no plain value"):
        compiled._plain(value)


def test_a_program_that_is_being_written_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    program = compiled._program.__wrapped__
    monkeypatch.setattr(compiled, "_STARTED", 2e10)
    known = program()
    assert known is not None
    monkeypatch.setattr(compiled, "version", lambda name: "other")
    assert program() not in (None, known)
    monkeypatch.setattr(compiled, "_STARTED", 0.0)
    assert program() is None
