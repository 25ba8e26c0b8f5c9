"""Spark reads what export writes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from tests.export.test_formats import TABLE
from tests.soundness.tables import same, spark_server
from workbench.datasets import write_file


@pytest.fixture(scope="module")
def session() -> SparkSession:
    return SparkSession.builder.remote(spark_server()).create()


def rows(table: pa.Table) -> list[dict[str, object]]:
    return sorted(table.to_pylist(), key=lambda row: row["row"])


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return TABLE.append_column("row", pa.array(range(TABLE.num_rows), pa.int64()))


def test_spark_reads_parquet(session: SparkSession, table: pa.Table, tmp_path: Path) -> None:
    write_file(table.to_reader(3), "parquet", tmp_path / "a.parquet")
    found = session.read.parquet(str(tmp_path / "a.parquet")).toArrow()
    assert same(rows(found), rows(table))


def test_spark_reads_a_dataset_folder(
    session: SparkSession, table: pa.Table, tmp_path: Path
) -> None:
    parted = table.append_column("split", pa.array(["train", "test"] * 4))
    write_file(parted.to_reader(3), "huggingface", tmp_path / "d")
    found = session.read.parquet(str(tmp_path / "d" / "data")).toArrow()
    assert same(rows(found.select(parted.column_names)), rows(parted))


def test_spark_reads_json_lines(session: SparkSession, table: pa.Table, tmp_path: Path) -> None:
    write_file(table.to_reader(3), "jsonl", tmp_path / "a.jsonl")
    kept = table.select(["text", "whole", "flag", "struct", "row"])
    schema = "text STRING, whole BIGINT, flag BOOLEAN, struct STRUCT<a: STRING, b: ARRAY<BIGINT>>"
    reader = session.read.schema(f"{schema}, row BIGINT")
    found = reader.json(str(tmp_path / "a.jsonl")).toArrow()
    assert same(rows(found.select(kept.column_names)), rows(kept))
