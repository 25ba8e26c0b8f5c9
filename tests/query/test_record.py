"""One record is the row of the enriched view, wherever it lies; the lake finds it by its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.ingest.folder import PLAIN, Folder, inference, lines
from workbench import places
from workbench.query import Build, open_build
from workbench.record import _groups, _wide, record

FEATURES = '[inferences.features]\nage = "DOUBLE"\n'
N = 9000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Two files: the second has another column, a later row of r7, and an earlier one of r8."""
    made = Folder.make(tmp_path_factory.mktemp("record") / "p", PLAIN + FEATURES, events=20)
    made.write("logs/a.jsonl", lines(inference(n, input=f"in {n}", age=n / 2) for n in range(N)))
    made.ingest()
    more = [inference(N + n, output=f"out {n}", age=0.5, choices=[]) for n in range(20)]
    more += [inference(7, ts=inference(50)["ts"], output="late", age=1.5)]
    more += [inference(8, ts=inference(0)["ts"] - 9, output="early", age=2.5)]
    made.write("logs/b.jsonl", lines(more))
    made.build()
    return made


@pytest.fixture(scope="module")
def build(folder: Folder) -> Any:
    with open_build(folder.path) as opened:
        yield opened


@pytest.mark.parametrize("number", [0, 7, 8, 19, 8191, 8192, N - 1, N, N + 19])
def test_a_record_is_the_row_of_the_view(build: Build, number: int) -> None:
    (row,) = build.arrow(
        "FROM enriched_inferences WHERE request_id = $id", {"id": f"r{number}"}
    ).to_pylist()
    found = record(build, f"r{number}")
    assert found == row
    assert list(found) == list(row)


def test_of_two_rows_with_one_id_the_one_that_counts_is_opened(build: Build) -> None:
    seventh, eighth = record(build, "r7"), record(build, "r8")
    assert seventh is not None
    assert eighth is not None
    assert (seventh["input"], seventh["output"]) == ("in 7", None)
    assert (eighth["input"], eighth["output"]) == (None, "early")
    assert eighth["features"] == {"age": 2.5}


def test_every_inference_of_the_lake_is_found_by_its_place(build: Build) -> None:
    rows = build.arrow("SELECT request_id, row_id FROM narrow.inferences").to_pylist()
    assert len(rows) == N + 20
    cursor = build.cursor()
    assert all(row["row_id"] in places.find(cursor, row["request_id"]) for row in rows[::500])
    groups = _groups([str(build.root / name) for name in build.manifest["lake"]["inferences"]])
    first = next(row for row in rows if row["request_id"] == "r0")
    read = _wide(groups, first["row_id"], ("input", "output"))
    assert read == {"input": "in 0"}


def test_rows_of_a_file_may_lie_between_those_of_another(tmp_path: Path) -> None:
    """A writer that is given batches in turn may spread them over its files."""
    owners = [0, 1, 1, 0, 2, 0, 1, 2]
    for file in range(3):
        own = [number for number in range(80) if owners[number // 10] == file]
        table = pa.table({"row_id": own, "input": [f"in {number}" for number in own]})
        pq.write_table(table, tmp_path / f"{file}.parquet", row_group_size=20)
    groups = _groups([str(tmp_path / f"{file}.parquet") for file in range(3)])
    for number in range(80):
        assert _wide(groups, number, ("input",)) == {"input": f"in {number}"}
    assert _wide(groups, 80, ("input",)) is None


def test_where_a_file_cannot_be_read_or_lacks_the_row_the_engine_answers(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = record(build, "r0")
    for failure in (FileNotFoundError, None):

        def instead(*_: object, failure: type[OSError] | None = failure) -> None:
            if failure is not None:
                raise failure

        monkeypatch.setattr("workbench.record._wide", instead)
        assert record(build, "r0") == expected


def test_what_is_not_there_is_no_record(build: Build) -> None:
    assert record(build, "r999999") is None
    assert record(build, "' OR true --") is None


def test_rows_that_stay_in_their_own_files_are_found_too(tmp_path: Path, build: Build) -> None:
    config = PLAIN.replace('source = "logs"', 'source = "logs"\nstorage = "in_place"')
    made = Folder.make(tmp_path / "p", config)
    (made.path / "logs").mkdir()
    rows = build.arrow("SELECT request_id, ts, model_version, input FROM inferences LIMIT 9")
    pq.write_table(rows, made.path / "logs" / "a.parquet")
    made.build()
    name = rows["request_id"][3].as_py()
    with open_build(made.path) as opened:
        found = record(opened, name)
    assert found is not None
    assert found["input"] == rows["input"][3].as_py()


def test_files_of_the_lake_have_small_row_groups_and_filters_of_their_keys(build: Build) -> None:
    for table, key in (("inferences", "request_id"), ("feedback", "feedback_id")):
        files = [str(build.root / f) for f in build.manifest["files"] if f"lake/{table}/" in f]
        (found,) = build.arrow(
            "SELECT max(row_group_num_rows) AS rows, count(*) AS groups, "
            "count(bloom_filter_offset) AS filters FROM parquet_metadata($files) "
            "WHERE path_in_schema = $key",
            {"files": files, "key": key},
        ).to_pylist()
        assert found["rows"] <= 8192
        assert found["groups"] == found["filters"] > 0
