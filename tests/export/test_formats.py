"""What is written is read back equal, in every format."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import math
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench.datasets import write_file
from workbench.formats import downloads, formats

UTC = dt.UTC
TEXTS = ["plain", "grüße 🎉 日本", "nul\x00byte", 'q"uo,te\nline\r\n', "", None, "\u2028", "'"]
MOMENT = dt.datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
STRUCT = pa.struct([("a", pa.string()), ("b", pa.list_(pa.int64()))])
TABLE = pa.table(
    {
        "text": pa.array(TEXTS),
        "number": pa.array([1.5, -0.0, math.nan, math.inf, -math.inf, None, 1e-300, 0.1]),
        "whole": pa.array([1, -1, 2**62, None, 0, 1, 2, 3], pa.int64()),
        "flag": pa.array([True, False, None, True, True, True, True, True]),
        "ts": pa.array([MOMENT, *[None] * 7], pa.timestamp("us", "UTC")),
        "day": pa.array([dt.date(2026, 2, 3), *[None] * 7]),
        "list": pa.array([[0.5, math.nan, None], [], *[None] * 6], pa.list_(pa.float64())),
        "struct": pa.array([{"a": "=x", "b": [1]}, *[None] * 7], STRUCT),
        "total": pa.array([Decimal(5), Decimal(2**70), *[None] * 6], pa.decimal128(38, 0)),
    }
)


def write(name: str, table: pa.Table, metadata: dict[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    assert formats.get(name).write(out, table.to_reader(3), metadata or {}) == table.num_rows
    return out.getvalue()


def test_the_formats_are_found_by_name() -> None:
    assert formats.names() == [
        "argilla",
        "csv",
        "huggingface",
        "jsonl",
        "label_studio",
        "parquet",
        "tfrecord",
    ]
    assert [entry.suffix for entry in formats] == [
        ".records.json",
        ".csv",
        "",
        ".jsonl",
        ".tasks.json",
        ".parquet",
        ".tfrecord",
    ]
    assert downloads() == ["argilla", "csv", "jsonl", "label_studio", "parquet"]


def test_parquet_reads_back_equal_and_holds_the_metadata() -> None:
    data = write("parquet", TABLE, {"workbench_slice": '{"where": "é"}'})
    back = pq.read_table(io.BytesIO(data))
    assert back.schema.remove_metadata() == TABLE.schema
    assert repr(back.to_pylist()) == repr(TABLE.to_pylist())
    metadata = pq.read_metadata(io.BytesIO(data)).metadata
    assert json.loads(metadata[b"workbench_slice"]) == {"where": "é"}


def test_parquet_writes_intervals_as_text() -> None:
    with duckdb.connect() as connection:
        table = connection.execute("SELECT INTERVAL 90 MINUTE AS i, 1 AS x").to_arrow_table()
    back = pq.read_table(io.BytesIO(write("parquet", table)))
    assert back["x"].to_pylist() == [1]
    assert pa.types.is_string(back["i"].type)


def test_jsonl_is_one_valid_object_per_line() -> None:
    lines = write("jsonl", TABLE).decode().split("\n")
    assert lines.pop() == ""
    rows = [json.loads(line, parse_constant=lambda name: pytest.fail(name)) for line in lines]
    assert [row["text"] for row in rows] == TEXTS
    assert [row["number"] for row in rows] == [1.5, -0.0, None, None, None, None, 1e-300, 0.1]
    assert rows[0]["ts"] == "2026-01-01T12:30:15.123456+00:00"
    assert rows[0]["list"] == [0.5, None, None]
    assert rows[0]["struct"] == {"a": "=x", "b": [1]}
    assert [rows[0]["total"], rows[1]["total"]] == [5, 2**70]
    assert rows[2]["whole"] == 2**62
    assert rows[0]["day"] == "2026-02-03"
    assert list(rows[0]) == TABLE.column_names


def test_csv_reads_back_and_nested_values_are_json() -> None:
    text = write("csv", TABLE).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["text"] for row in rows] == [entry or "" for entry in TEXTS]
    assert rows[0]["struct"] == '{"a":"=x","b":[1]}'
    assert json.loads(rows[0]["list"]) == [0.5, None, None]
    assert [float(row["number"]) for row in rows[:2]] == [1.5, -0.0]
    assert math.isnan(float(rows[2]["number"]))
    assert rows[1]["total"] == str(2**70)
    assert rows[0]["ts"] == "2026-01-01 12:30:15.123456Z"


def test_csv_tells_an_empty_text_from_null() -> None:
    table = pa.table({"a": ["", None], "b": [1, 2]})
    assert write("csv", table).decode().splitlines() == ['"a","b"', '"",1', ",2"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_csv_defuses_formulas_in_text_columns_only(start: str) -> None:
    cell = f"{start}SUM(A1)"
    table = pa.table({cell: [cell, "a" + cell], "number": [-1.5, 2.0]})
    rows = list(csv.reader(io.StringIO(write("csv", table).decode(), newline="")))
    assert rows == [[f"'{cell}", "number"], [f"'{cell}", "-1.5"], [f"a{cell}", "2"]]


@pytest.mark.parametrize("name", ["csv", "jsonl", "parquet"])
def test_no_rows_are_a_valid_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"empty{formats.get(name).suffix}"
    path.write_bytes(write(name, TABLE.slice(0, 0)))
    if name == "parquet":
        assert pq.read_table(path).schema.remove_metadata() == TABLE.schema
    elif name == "csv":
        assert path.read_text().strip().replace('"', "").split(",") == TABLE.column_names
    else:
        assert path.read_bytes() == b""


def test_a_number_that_is_text_is_no_formula(tmp_path):
    table = pa.table({"label": ["-1", "+2.5e3", "-1+1", "@x", "-"]})
    path = tmp_path / "labels.csv"
    write_file(table.to_reader(), "csv", path)
    cells = [line.strip('"') for line in path.read_text().splitlines()[1:]]
    assert cells == ["-1", "+2.5e3", "'-1+1", "'@x", "'-"]
