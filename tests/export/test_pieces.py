"""Rows with texts, taken away in pieces by time: the same rows, and no more of the files read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import workbench
from workbench import pieces
from workbench.datasets import Slice, export
from workbench.datasets.export import write_file
from workbench.errors import DataError
from workbench.query import Build, open_build

CALLS, PER_GROUP = 90, 10
CONFIG = """
[project]
name = "p"
[inferences]
source = "calls.parquet"
storage = "{storage}"
{clock}
[feedback]
source = "events.jsonl"
[feedback.signals.thumb]
kind = "binary"
"""
START = datetime(2026, 1, 1, tzinfo=UTC)


def at(number: int) -> datetime:
    # Several at the same time, so that cuts fall among them.
    return START + timedelta(hours=number // 3)


IN_PLACE, COPIED, WITHOUT_A_CLOCK = ("in_place", ""), ("copy", ""), ("copy", 'clock = "none"')


@pytest.fixture(scope="module", ids=["in place", "copied"], params=[IN_PLACE, COPIED])
def build(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Build]:
    storage, clock = request.param
    folder = tmp_path_factory.mktemp("pieces")
    calls = {
        "request_id": [f"r{n}" for n in range(CALLS)],
        "model_version": ["v1"] * CALLS,
        "input": [f"question {n}" for n in range(CALLS)],
        "output": [f"answer {n}" for n in range(CALLS)],
    }
    if not clock:
        calls["ts"] = [at(n) for n in range(CALLS)]
    pq.write_table(pa.table(calls), folder / "calls.parquet", row_group_size=PER_GROUP)
    # Every fifth judges a call that is not there.
    events = [
        {"feedback_id": f"f{n}", "request_id": f"r{n * 2 if n % 5 else -n}", "name": "thumb",
         "value": n % 2, "ts": (at(n * 2) + timedelta(minutes=1)).isoformat()}
        for n in range(40)
    ]  # fmt: skip
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    (folder / "workbench.toml").write_text(CONFIG.format(storage=storage, clock=clock))
    workbench.open(folder).build()
    with open_build(folder) as opened:
        yield opened


@pytest.mark.parametrize("build", [IN_PLACE, COPIED, WITHOUT_A_CLOCK], indirect=True)
@pytest.mark.parametrize("relation", ["enriched_inferences", "enriched_feedback"])
@pytest.mark.parametrize("where", [None, "input LIKE '%7%' OR label = '1' -- or so"])
@pytest.mark.parametrize("columns", [(), ("request_id", "output")])
def test_all_rows_are_there_once(
    build: Build,
    relation: str,
    where: str | None,
    columns: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = Slice(relation=relation, where=where, columns=columns)
    whole = export(build, chosen, "parquet", tmp_path / "whole.parquet")
    few = 5 * pieces._ROW_BYTES / pieces._SHARE
    monkeypatch.setattr(pieces.engine, "memory", lambda _: few)
    n = len(pieces.by_time(build.cursor(), f"narrow.{relation}"))
    assert n > 5 or build.count("SELECT 1 FROM narrow.inferences WHERE ts IS NOT NULL") == 0
    done = export(build, chosen, "parquet", tmp_path / "pieces.parquet")
    assert done["rows"] == whole["rows"] > 5
    key = (
        "feedback_id" if "feedback_id" in build.columns(relation) and not columns else "request_id"
    )
    one, other = (
        pq.read_table(tmp_path / f"{name}.parquet").sort_by(key) for name in ("whole", "pieces")
    )
    assert one.equals(other)


@pytest.mark.parametrize("relation", ["enriched_inferences", "enriched_feedback"])
@pytest.mark.parametrize("sampler", [None, "uniform", "stratified(by='model_version')"])
@pytest.mark.parametrize("where", [None, "input LIKE '%7%' OR output LIKE '%2%'"])
@pytest.mark.parametrize("columns", [(), ("output", "sample_weight")])
def test_the_same_rows_are_drawn(
    build: Build,
    relation: str,
    sampler: str | None,
    where: str | None,
    columns: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = Slice(
        relation=relation, where=where, columns=columns, limit=7, sampler=sampler, seed=3
    )
    whole = export(build, chosen, "parquet", tmp_path / "whole.parquet")
    assert whole["rows"] == 7
    few = 5 * pieces._ROW_BYTES / pieces._SHARE
    monkeypatch.setattr(pieces.engine, "memory", lambda _: few)
    assert len(pieces.by_time(build.cursor(), f"narrow.{relation}")) > 5
    export(build, chosen, "parquet", tmp_path / "pieces.parquet")
    one, other = (
        pq.read_table(tmp_path / f"{name}.parquet").sort_by("output")
        for name in ("whole", "pieces")
    )
    assert one.equals(other)


def test_too_little_memory_is_told_from_a_full_disk(tmp_path: Path) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        raise OSError("Out of Memory Error: could not allocate block\n\nPossible solutions:\n* x")
        yield

    reader = pa.RecordBatchReader.from_batches(pa.schema({"a": pa.int64()}), batches())
    with pytest.raises(DataError, match="could not allocate block") as caught:
        write_file(reader, "parquet", tmp_path / "rows.parquet")
    assert caught.value.hint.startswith("Raise WORKBENCH_MEMORY_LIMIT")
    assert list(tmp_path.iterdir()) == []


def test_rows_that_fit_are_in_one_piece(build: Build) -> None:
    assert pieces.by_time(build.cursor(), "narrow.enriched_inferences") == []


@pytest.mark.parametrize("relation", ["enriched_inferences", "enriched_feedback"])
def test_a_condition_on_the_time_reaches_the_files(build: Build, relation: str) -> None:
    cursor = build.cursor()
    sql = f"SELECT sum(len(input)) FROM {relation} WHERE ts >= '2026-01-02 04:00:00'"
    plan = "".join(row[1] for row in cursor.execute(f"EXPLAIN {sql}").fetchall())
    scan = plan[plan.index("PARQUET") :]
    assert "ts>=" in scan.replace(" ", "")
