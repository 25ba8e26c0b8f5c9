"""Opening a build and reading it with our own SQL."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.query.conftest import BUILD_ID, ROWS, make_project
from workbench.errors import LockedError, NotFoundError, QueryError
from workbench.query import Build, open_build


def test_no_build_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        open_build(tmp_path)
    assert "workbench build" in caught.value.hint


def test_unknown_build_names_the_nearest(project: Path) -> None:
    with pytest.raises(NotFoundError, match="b0002") as caught:
        open_build(project, "b0002")
    assert BUILD_ID in caught.value.hint


def test_an_older_build_reads_its_own_files(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "p")
    builds = folder / ".workbench" / "builds"
    shutil.copy(builds / f"{BUILD_ID}.duckdb", builds / "b0000.duckdb")
    current = folder / ".workbench" / "current"
    current.write_text(current.read_text().replace("part 'one'", "gone"))
    with open_build(folder, "b0000") as build:
        assert build.id == "b0000"
        assert build.count("SELECT input FROM inferences") == ROWS


def test_a_moved_project_still_works(tmp_path: Path) -> None:
    made = make_project(tmp_path / "before")
    moved = tmp_path / "after \"it\" moved 'twice'"
    shutil.move(made, moved)
    with open_build(moved) as build:
        assert build.count("SELECT input FROM inferences WHERE input <> ''") == ROWS * 4 // 5


def test_two_readers_of_one_file_in_one_process(project: Path, build: Build) -> None:
    with open_build(project) as other:
        assert other.count("FROM inferences") == build.count("FROM inferences") == ROWS


def test_a_build_being_written_is_locked(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "p")
    file = folder / ".workbench" / "builds" / f"{BUILD_ID}.duckdb"
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('up', flush=True); input()"
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(LockedError, match="another process"):
            open_build(folder)
    finally:
        writer.kill()
        writer.wait()
        if writer.stdout:
            writer.stdout.close()


def test_times_are_utc_wherever_the_machine_stands(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "TZ", "Asia/Tokyo")
    time.tzset()
    try:
        with open_build(project) as build:
            result = build.run("SELECT ts, ts::VARCHAR AS text FROM inferences ORDER BY ts LIMIT 1")
            assert result.table["text"][0].as_py() == "2026-01-01 00:00:00+00"
            assert str(result.table["ts"].type) == "timestamp[us, tz=UTC]"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_relations_carry_types_and_comments(build: Build) -> None:
    rows = build.relations()
    assert rows[0] == {
        "relation": "inferences",
        "column": "request_id",
        "type": "VARCHAR",
        "comment": "Key of the model call.",
    }
    assert "row_id" not in {row["column"] for row in rows}
    with pytest.raises(NotFoundError, match="inference'") as caught:
        build.columns("inference")
    assert caught.value.hint == "Did you mean 'inferences'?"


def test_the_narrow_form_is_read_where_it_suffices(build: Build) -> None:
    assert build.narrowest("inferences", "confidence > 0.5") == 'narrow."inferences"'
    assert build.narrowest("inferences", "confidence > 0.5", "length(input)") == '"inferences"'
    with pytest.raises(QueryError, match="inputt"):
        build.narrowest("inferences", "inputt")
    with pytest.raises(NotFoundError):
        build.narrowest("nothing")


@pytest.mark.parametrize(
    "text", ["confidence > 0.5", "correct -- why\n", "'a' || ';'", "(1) IN (1, 2)"]
)
def test_expressions_are_bracketed(build: Build, text: str) -> None:
    assert build.count(f"SELECT {build.expression(text)} AS x FROM inferences") == ROWS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1) OR (1 = 1",
        "1) FROM inferences; DROP TABLE x; SELECT (1",
        "1 FROM inferences",
        "a b c",
        "1;",
    ],
)
def test_what_is_not_one_expression_is_refused(build: Build, text: str) -> None:
    with pytest.raises(QueryError):
        build.expression(text)


def test_our_own_sql_fails_in_plain_words_too(build: Build) -> None:
    with pytest.raises(QueryError, match="nothing_here"):
        build.arrow("SELECT nothing_here FROM inferences")
    with pytest.raises(QueryError, match="nothing_here"):
        build.stream("SELECT nothing_here FROM inferences")


def test_a_stream_is_whole_while_others_read(build: Build) -> None:
    reader = build.stream("SELECT * FROM range(500000)")
    rows = reader.read_next_batch().num_rows
    build.arrow("SELECT 1")
    assert rows + sum(batch.num_rows for batch in reader) == 500_000


def test_expressions_compile_and_run(build: Build) -> None:
    table = build.table("inferences")
    assert "features" in table.columns
    expression = table.group_by("model_version").agg(n=table.count()).order_by("model_version")
    assert build.execute(expression).to_pylist()[0] == {"model_version": "v1", "n": 334}
    assert "GROUP BY" in build.sql_of(expression)
    asked = build.query_table("SELECT *, confidence > 0.5 AS sure FROM narrow.inferences")
    assert build.execute(asked.group_by("sure").agg(n=asked.count())).num_rows == 3
