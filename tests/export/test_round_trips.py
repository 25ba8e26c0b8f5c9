"""Whatever is written in a format is read back, up to the losses that the format states."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from tests.export.strategies import COLUMNS, tables
from tests.export.tfrecords import crc32c, read_examples
from workbench.datasets import write_file
from workbench.errors import ConfigError, DataError
from workbench.formats import formats

Row = dict[str, Any]


def write(name: str, table: pa.Table) -> bytes:
    out = io.BytesIO()
    assert formats.get(name).write(out, table.to_reader(2), {}) == table.num_rows
    return out.getvalue()


def as_json(value: Any) -> Any:
    """What JSON can hold of a value: what is not finite is null, times are ISO 8601."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: as_json(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [as_json(entry) for entry in value]
    return value.strftime("%Y-%m-%dT%H:%M:%S.%f+00:00") if hasattr(value, "strftime") else value


def read_parquet(data: bytes, table: pa.Table) -> tuple[list[Row], list[Row]]:
    return pq.read_table(io.BytesIO(data)).to_pylist(), table.to_pylist()


def read_jsonl(data: bytes, table: pa.Table) -> tuple[list[Row], list[Row]]:
    found = [json.loads(line) for line in data.decode().split("\n")[:-1]]
    return found, [as_json(row) for row in table.to_pylist()]


def read_csv(data: bytes, table: pa.Table) -> tuple[list[Row], list[Row]]:
    def cell(name: str, value: Any) -> str:
        if value is None:
            return ""
        if name == "text":
            number = re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value)
            return "'" + value if re.match(r"[=+\-@\t\r]", value) and not number else value
        if name == "ts":
            return value.strftime("%Y-%m-%d %H:%M:%S.%fZ")
        if name == "flag":
            return str(value).lower()
        return repr(as_json(value)) if isinstance(value, list | dict) else repr(value)

    def found(name: str, text: str) -> str:
        if not text or name in ("text", "ts", "flag"):
            return text
        return repr(float(text) if name == "number" else json.loads(text))

    rows = csv.DictReader(io.StringIO(data.decode(), newline=""))
    return (
        [{name: found(name, text) for name, text in row.items()} for row in rows],
        [{name: cell(name, value) for name, value in row.items()} for row in table.to_pylist()],
    )


def read_tfrecord(data: bytes, table: pa.Table) -> tuple[list[Row], list[Row]]:
    def features(name: str, value: Any) -> Row:
        if value is None:
            return {}
        if name == "messages":
            return {name: ("bytes_list", [json.dumps(value, ensure_ascii=False).encode()])}
        if isinstance(value, dict):
            return {
                k: v
                for key, inner in value.items()
                for k, v in features(f"{name}.{key}", inner).items()
            }
        kind = (
            COLUMNS[name][0]
            if name in COLUMNS
            else COLUMNS[{"about.a": "text", "about.b": "wholes"}[name]][0]
        )
        values = value if isinstance(value, list) else [value]
        if pa.types.is_list(kind):
            kind = kind.value_type
        if kind == pa.string():
            return {name: ("bytes_list", [entry.encode() for entry in values])}
        if kind == pa.float64():
            with np.errstate(over="ignore"):
                return {name: ("float_list", np.array(values, np.float32).tolist())}
        if kind == pa.timestamp("us", "UTC"):
            return {name: ("int64_list", [pa.scalar(entry, kind).value for entry in values])}
        return {name: ("int64_list", [int(entry) for entry in values])}

    wanted = [
        {k: v for name, value in row.items() for k, v in features(name, value).items()}
        for row in table.to_pylist()
    ]
    for row in (found := read_examples(data)):
        if "messages" in row:  # spaces within JSON do not matter
            text = json.dumps(json.loads(row["messages"][1][0]), ensure_ascii=False)
            row["messages"] = ("bytes_list", [text.encode()])
    return found, wanted


def read_tasks(data: bytes, table: pa.Table) -> tuple[list[Row], list[Row]]:
    return [task["data"] for task in json.loads(data)], [as_json(row) for row in table.to_pylist()]


def read_records(data: bytes, table: pa.Table) -> tuple[list[Row], list[Row]]:
    found = [{**record["fields"], **record["metadata"]} for record in json.loads(data)]
    # What is null in JSON is not there.
    return found, [
        {name: as_json(value) for name, value in row.items() if as_json(value) is not None}
        for row in table.to_pylist()
    ]


READERS: dict[str, Callable[[bytes, pa.Table], tuple[list[Row], list[Row]]]] = {
    "argilla": read_records,
    "csv": read_csv,
    "jsonl": read_jsonl,
    "label_studio": read_tasks,
    "parquet": read_parquet,
    "tfrecord": read_tfrecord,
}


def test_each_file_format_is_read_back() -> None:
    assert set(READERS) == {name for name in formats.names() if not formats.get(name).write_folder}


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=60, deadline=None)
@given(table=tables())
def test_rows_read_back_equal(name: str, table: pa.Table) -> None:
    found, wanted = READERS[name](write(name, table), table)
    # As texts, for NaN is not equal to itself and -0.0 is to 0.0.
    assert list(map(canonical, found)) == list(map(canonical, wanted))


def canonical(row: Row) -> str:
    return repr(sorted(row.items()))


@settings(max_examples=20, deadline=None)
@given(table=tables())
def test_a_dataset_folder_reads_back_equal(
    table: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("folder") / "out"
    names = pa.array([("train", "test")[i % 2] for i in range(table.num_rows)])
    table = table.append_column("split", names)
    done = write_file(table.to_reader(2), "huggingface", folder, rows=table.num_rows)
    assert done["rows"] == table.num_rows
    files = sorted(path.name for path in (folder / "data").iterdir())
    splits = sorted(set(names.to_pylist()))
    assert files == [f"{split}-00000-of-00001.parquet" for split in splits]
    for split, file in zip(splits, files, strict=True):
        back = pq.read_table(folder / "data" / file)
        wanted = [row for row in table.to_pylist() if row["split"] == split]
        assert back.schema.remove_metadata() == table.schema
        assert repr(back.to_pylist()) == repr(wanted)


def test_tfrecord_bytes_are_those_of_the_specification() -> None:
    """By hand from the wire format: 1 is 08 01, packed 1.0 is 00 00 80 3f, -1 is ten bytes."""
    table = pa.table({"a": [300, -1], "b": ["x", None], "c": pa.array([1.0, None])})
    first = bytes.fromhex(
        "0a28"
        "0a0b" "0a0161" "1206" "1a04" "0a02" "ac02"
        "0a0a" "0a0162" "1205" "0a03" "0a01" "78"
        "0a0d" "0a0163" "1208" "1206" "0a04" "0000803f"
    )  # fmt: skip
    second = bytes.fromhex("0a150a130a0161120e1a0c0a0a" + "ff" * 9 + "01")
    data = write("tfrecord", table)
    assert data[:8] == len(first).to_bytes(8, "little")
    assert data[12 : 12 + len(first)] == first
    rest = data[16 + len(first) :]
    assert rest[12 : 12 + len(second)] == second
    assert len(rest) == 16 + len(second)


def test_tfrecord_keeps_an_empty_list_apart_from_null() -> None:
    table = pa.table({"n": pa.array([[], None], pa.list_(pa.float64())), "t": [["x"], []]})
    assert read_examples(write("tfrecord", table)) == [
        {"n": ("float_list", []), "t": ("bytes_list", [b"x"])},
        {"t": ("bytes_list", [])},
    ]


def test_tfrecord_refuses_what_it_would_have_to_leave_out() -> None:
    with pytest.raises(DataError, match="column t hold NULL"):
        write("tfrecord", pa.table({"t": [["x", None]]}))
    struct = pa.array([{"b": 1}], pa.struct([("b", pa.int64())]))
    with pytest.raises(ConfigError, match=r"feature a\.b"):
        write("tfrecord", pa.table({"a": struct, "a.b": [1]}))
    data = write("tfrecord", pa.table({"n": [[1.0, None]]}))
    assert repr(read_examples(data)) == "[{'n': ('float_list', [1.0, nan])}]"


def test_tfrecord_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    with pytest.raises(ConfigError) as caught:
        write("tfrecord", pa.table({"a": [1]}))
    assert "pip install 'feedback-workbench[tfrecord]'" in caught.value.hint


def test_the_reader_of_these_tests_knows_the_check_value_of_crc32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283
