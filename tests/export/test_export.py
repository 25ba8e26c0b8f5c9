"""Slices, and files that are whole or not there at all."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.query.conftest import ROWS, make_project
from workbench.datasets import Slice, export, write_file
from workbench.errors import ConfigError, DataError, NotFoundError, QueryError
from workbench.formats import downloads, formats
from workbench.query import Build, open_build
from workbench.samplers import SAMPLING_COLUMNS


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    with open_build(make_project(tmp_path_factory.mktemp("export") / "p")) as opened:
        yield opened


def count(path: str) -> int:
    quoted = path.replace("'", "''")
    with duckdb.connect() as connection:
        row = connection.execute(f"SELECT count(*) FROM '{quoted}'").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("fmt", downloads())
def test_a_relation_is_exported_whole(build: Build, tmp_path: Path, fmt: str) -> None:
    target = tmp_path / f"it's out{formats.get(fmt).suffix}"
    done = export(build, "inferences", fmt, target)
    assert done["rows"] == ROWS == count(done["path"])
    assert done["bytes"] == target.stat().st_size
    assert done["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize("fmt", downloads())
def test_no_rows(build: Build, tmp_path: Path, fmt: str) -> None:
    done = export(build, "inferences", fmt, tmp_path / "empty", where="false -- nothing")
    assert done["rows"] == 0
    assert (tmp_path / "empty").exists()


def test_parquet_describes_its_slice(build: Build, tmp_path: Path) -> None:
    chosen = Slice(
        relation="inferences", where="correct", columns=("request_id", "input"), limit=50
    )
    done = export(
        build, chosen, "parquet", tmp_path / "a.parquet", where="model_version = 'v1' -- é"
    )
    table = pq.read_table(done["path"])
    assert table.column_names == ["request_id", "input"]
    assert table.num_rows == 50
    about = json.loads(table.schema.metadata[b"workbench_slice"])
    assert about["build"] == build.id
    assert "model_version = 'v1' -- é" in about["slice"]["where"]
    assert Slice(**about["slice"]).id == about["id"]
    assert Slice(**about["slice"]).count(build) == 50


def test_a_sample_carries_its_own_weights(build: Build, tmp_path: Path) -> None:
    chosen = Slice(
        relation="inferences",
        where="confidence IS NOT NULL",
        columns=("request_id", "input"),
        limit=40,
        sampler="importance(score='confidence')",
        seed=3,
    )
    assert Slice.from_params(chosen.to_params()) == chosen
    assert Slice(relation="inferences", sampler=" uniform( ) ").sampler == "uniform"
    first = export(build, chosen, "parquet", tmp_path / "a.parquet")
    again = export(build, chosen, "parquet", tmp_path / "b.parquet")
    assert first["sha256"] == again["sha256"]
    table = pq.read_table(first["path"])
    assert table.column_names == ["request_id", "input", *SAMPLING_COLUMNS]
    assert table.num_rows == chosen.count(build) == 40
    rows = table.to_pylist()
    scores = dict(
        zip(
            *build.arrow("SELECT request_id, confidence FROM inferences").to_pydict().values(),
            strict=True,
        )
    )
    for row in rows:
        assert row["sampling_score"] == scores[row["request_id"]]
        assert row["sample_weight"] == 1 / row["inclusion_probability"]


def test_what_cannot_be_drawn_is_said(build: Build, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="uncertainti") as caught:
        Slice(relation="inferences", sampler="uncertainti")
    assert "uncertainty" in caught.value.hint
    with pytest.raises(QueryError, match="confidense"):
        Slice(relation="inferences", sampler="importance(score='confidense')", limit=3).sql(build)
    with pytest.raises(QueryError, match="below 0"):
        Slice(relation="inferences", sampler="importance(score='-confidence')", limit=3).count(
            build
        )
    with pytest.raises(QueryError):
        Slice(relation="inferences", sampler="stratified(by='1) OR (1')", limit=3).sql(build)


def test_texts_survive(build: Build, tmp_path: Path) -> None:
    done = export(build, "inferences", "jsonl", tmp_path / "a.jsonl")
    rows = [json.loads(line) for line in Path(done["path"]).read_text("utf-8").split("\n")[:-1]]
    expected = dict(
        zip(
            *build.arrow("SELECT request_id, input FROM inferences").to_pydict().values(),
            strict=True,
        )
    )
    assert {row["request_id"]: row["input"] for row in rows} == expected
    assert "nul\x00byte" in expected.values()


def test_a_file_is_not_overwritten_without_force(build: Build, tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_text("precious")
    with pytest.raises(ConfigError, match="exists already") as caught:
        export(build, "inferences", "csv", target)
    assert "--force" in caught.value.hint
    assert target.read_text() == "precious"
    assert export(build, "inferences", "csv", target, force=True)["rows"] == ROWS


def test_what_is_not_known_names_the_nearest(build: Build, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="parket") as caught:
        export(build, "inferences", "parket", tmp_path / "a")
    assert "parquet" in caught.value.hint
    with pytest.raises(NotFoundError) as missing:
        export(build, "inference", "csv", tmp_path / "a")
    assert "inferences" in missing.value.hint
    with pytest.raises(ConfigError) as caught:
        Slice(relation="inferences", columns=("imput",)).sql(build)
    assert "input" in caught.value.hint
    with pytest.raises(QueryError, match="confidense"):
        export(build, "inferences", "csv", tmp_path / "a", where="confidense > 1")
    with pytest.raises(QueryError):
        export(build, "inferences", "csv", tmp_path / "a", where="true) OR (true")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_count_leaves_no_file(tmp_path: Path) -> None:
    reader = pa.table({"a": [1, 2, 3]}).to_reader()
    with pytest.raises(DataError, match="3 rows were streamed where the build has 4"):
        write_file(reader, "csv", tmp_path / "a.csv", rows=4)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_stream_leaves_no_file(build: Build, tmp_path: Path) -> None:
    reader = build.stream(
        "SELECT CASE WHEN range = 200000 THEN error('broken') ELSE 'x' END FROM range(300000)"
    )
    with pytest.raises(DataError, match="broken"):
        write_file(reader, "jsonl", tmp_path / "a.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_folders_and_unwritable_places(build: Build, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        export(build, "inferences", "csv", tmp_path)
    with pytest.raises(NotFoundError, match="no folder"):
        export(build, "inferences", "csv", tmp_path / "missing" / "a.csv")
    with pytest.raises(DataError, match="cannot be written"):
        export(build, "inferences", "csv", "/proc/a.csv")


def test_a_limited_slice_is_the_same_sample_each_time(build: Build) -> None:
    chosen = Slice(relation="inferences", columns=("request_id",), limit=100)
    first = build.arrow(chosen.sql(build)).column("request_id").to_pylist()
    assert first == build.arrow(chosen.sql(build)).column("request_id").to_pylist()
    assert len(set(first)) == 100
    assert max(int(key[1:]) for key in first) > 900


def test_narrow_columns_do_not_read_the_lake(build: Build) -> None:
    assert "narrow." in Slice(relation="inferences", columns=("request_id",)).sql(build)
    assert "narrow." not in Slice(relation="inferences").sql(build)


@given(
    st.builds(
        Slice,
        relation=st.text(min_size=1),
        where=st.none() | st.text(),
        columns=st.lists(st.text()).map(tuple),
        limit=st.none() | st.integers(0, 10**9),
    )
)
def test_a_slice_survives_its_link(chosen: Slice) -> None:
    assert Slice.from_params(chosen.to_params()) == chosen
    assert Slice(**json.loads(chosen.to_json())) == chosen
    assert len(chosen.id) == 12


@pytest.mark.parametrize(
    "params", [{"limit": "many"}, {"columns": "{"}, {"columns": "[1]"}, {"limit": "-1"}]
)
def test_a_broken_link_is_refused(params: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        Slice.from_params(params)


def test_memory_stays_flat(tmp_path: Path) -> None:
    """A file of 190 MB is streamed by a process that grows by far less."""
    code = """
import resource, sys, threading
from pathlib import Path
from workbench import engine
from workbench.datasets import write_file
connection = engine.connect(memory_limit="100MB")
sql = "SELECT range AS i, repeat(md5(range::VARCHAR), 20) AS text FROM range(300000)"
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
done = write_file(engine.reader(connection, sql), "jsonl", sys.argv[1], rows=300000)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
assert done["bytes"] > 180e6, done
assert grown < 120_000, grown
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "big.jsonl")], check=False)
    assert done.returncode == 0
