"""The libraries that people train with read what export writes, without a network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings

from tests.export.strategies import tables
from tests.export.test_round_trips import as_json, canonical
from workbench.datasets import write_file

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
datasets = pytest.importorskip("datasets", reason="datasets is not installed: make readback")
polars = pytest.importorskip("polars", reason="polars is not installed: make readback")

Row = dict[str, Any]
EXAMPLES = settings(max_examples=10, deadline=None)


@pytest.fixture(scope="module", autouse=True)
def quiet() -> None:
    datasets.disable_progress_bars()


def parted(table: pa.Table) -> pa.Table:
    return table.append_column("split", pa.array(["train", "test"] * table.num_rows)[: len(table)])


def equal(found: list[Row], wanted: list[Row]) -> bool:
    return list(map(canonical, found)) == list(map(canonical, wanted))


def load(kind: str, folder: Path, **what: Any) -> Any:
    return datasets.load_dataset(kind, cache_dir=str(folder / "cache"), **what)


@EXAMPLES
@given(table=tables())
def test_datasets_loads_the_folder(
    table: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("folder")
    table = parted(table)
    write_file(table.to_reader(2), "huggingface", folder / "d")
    loaded = load(str(folder / "d"), folder)
    assert set(loaded) == set(table["split"].to_pylist())
    for split, rows in loaded.items():
        # The header of the card says of the types what the files do.
        assert rows.features == datasets.Features.from_arrow_schema(table.schema)
        wanted = [row for row in table.to_pylist() if row["split"] == split]
        assert equal(rows.data.table.to_pylist(), wanted)


@EXAMPLES
@given(table=tables())
def test_datasets_and_polars_load_parquet(
    table: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("parquet")
    path = folder / "a.parquet"
    write_file(table.to_reader(2), "parquet", path)
    rows = load("parquet", folder, data_files=str(path), split="train")
    assert equal(rows.data.table.to_pylist(), table.to_pylist())
    assert equal(polars.read_parquet(path).to_arrow().to_pylist(), table.to_pylist())


@EXAMPLES
@given(table=tables())
def test_datasets_and_polars_load_json_lines(
    table: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("jsonl")
    path = folder / "a.jsonl"
    # Both guess types from the values; a column whose values are all there leaves them no choice.
    table = table.select(["text", "whole", "messages"]).append_column(
        "label", pa.array([True] * len(table))
    )
    write_file(table.to_reader(2), "jsonl", path)
    wanted = [as_json(row) for row in table.to_pylist()]
    features = datasets.Features.from_arrow_schema(table.schema)
    rows = load("json", folder, data_files=str(path), split="train", features=features)
    assert equal(rows.data.table.to_pylist(), wanted)
    schema = polars.from_arrow(table).schema
    assert equal(polars.read_ndjson(path, schema=schema).to_arrow().to_pylist(), wanted)


@EXAMPLES
@given(table=tables())
def test_polars_loads_csv(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    table = table.select(["number", "whole", "flag"]).append_column(
        "n", pa.array(range(len(table)))
    )
    write_file(table.to_reader(2), "csv", path)
    found = polars.read_csv(path, schema=polars.from_arrow(table).schema)
    assert equal(found.to_arrow().to_pylist(), table.to_pylist())


def test_splits_of_several_files_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.formats.huggingface._GROUP", 1)
    monkeypatch.setattr("workbench.formats.huggingface._SHARD", 20)
    table = parted(pa.table({"a": range(12)}))
    write_file(table.to_reader(1), "huggingface", tmp_path / "d")
    loaded = load(str(tmp_path / "d"), tmp_path)
    assert {split: rows["a"][:] for split, rows in loaded.items()} == {
        "train": [0, 2, 4, 6, 8, 10],
        "test": [1, 3, 5, 7, 9, 11],
    }
