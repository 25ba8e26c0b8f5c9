"""What holds of every training format, whatever is compiled into it."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.datasets import world
from tests.datasets.world import Row
from tests.export.test_round_trips import as_json
from tests.export.tfrecords import read_examples
from tests.ingest.folder import Folder
from workbench.datasets.split import parse_split
from workbench.datasets.versions import export_dataset
from workbench.errors import DataError
from workbench.formats import formats
from workbench.training_formats import parse_training_format, training_formats


def test_each_training_format_is_tried() -> None:
    assert {call.split("(")[0] for call in world.FORMATS} == set(training_formats.names())


def parquet_rows(path: Path) -> list[Row]:
    rows: list[Row] = pq.read_table(path).to_pylist()
    return rows


def same_parquet(path: Path, rows: list[Row]) -> None:
    assert parquet_rows(path) == rows


def same_jsonl(path: Path, rows: list[Row]) -> None:
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert found == [as_json(row) for row in rows]


def same_csv(path: Path, rows: list[Row]) -> None:
    found = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    assert len(found) == len(rows)
    for cells, row in zip(found, rows, strict=True):
        assert {name: cell(cells[name], value) for name, value in row.items()} == as_json(row)


def cell(text: str, like: Any) -> Any:
    """A cell as a value of the type of `like`."""
    if text == "":
        return None
    if isinstance(like, datetime):
        return as_json(datetime.fromisoformat(text))
    if isinstance(like, str):
        return re.sub(r"^'(?=[=+\-@\t\r])", "", text)
    return json.loads(text)


def same_tfrecord(path: Path, rows: list[Row]) -> None:
    found = read_examples(path.read_bytes())
    assert len(found) == len(rows)
    for features, row in zip(found, rows, strict=True):
        wanted = {k: v for name, value in row.items() for k, v in flat(name, value).items()}
        for name, (kind, values) in features.items():
            given = wanted.pop(name)
            if kind == "bytes_list":
                texts = [value.decode() for value in values]
                if isinstance(given[0], dict | list) or given[0] is None:
                    assert json.loads(texts[0]) == as_json(given)
                else:
                    assert texts == [str(value) for value in given]
            elif kind == "float_list":
                assert values == np.array(given, np.float32).tolist()
            else:
                stamps = [isinstance(value, datetime) for value in given]
                assert values == [
                    pa.scalar(value, pa.timestamp("us", "UTC")).value if stamp else int(value)
                    for value, stamp in zip(given, stamps, strict=True)
                ]
        # What is not there is missing or a list that is empty or holds what TFRecord cannot.
        assert all(not values or None in values for values in wanted.values())


def flat(name: str, value: Any) -> dict[str, list[Any]]:
    """Lists of values, by the names that a nested value has as features."""
    if value is None:
        return {}
    if isinstance(value, dict):
        return {k: v for key, one in value.items() for k, v in flat(f"{name}.{key}", one).items()}
    return {name: value if isinstance(value, list) else [value]}


def same_folder(path: Path, rows: list[Row]) -> None:
    for split in {row["split"] for row in rows}:
        (file,) = path.glob(f"data/{split}-*.parquet")
        found = parquet_rows(file)
        assert found == [
            {name: row[name] for name in found[0]} for row in rows if row["split"] == split
        ]
        assert set(rows[0]) - set(found[0]) <= {"split"}


def same_tasks(path: Path, rows: list[Row]) -> None:
    assert [task["data"] for task in json.loads(path.read_text("utf-8"))] == [
        as_json(row) for row in rows
    ]


def same_records(path: Path, rows: list[Row]) -> None:
    for record, row in zip(json.loads(path.read_text("utf-8")), rows, strict=True):
        found = {**record["fields"], **record["metadata"]}
        if "id" in record:
            found["request_id"] = record["id"]
        wanted = {name: as_json(value) for name, value in row.items()}
        assert found == {name: value for name, value in wanted.items() if value is not None}


READERS = {
    "argilla": same_records,
    "csv": same_csv,
    "huggingface": same_folder,
    "jsonl": same_jsonl,
    "label_studio": same_tasks,
    "parquet": same_parquet,
    "tfrecord": same_tfrecord,
}


@pytest.mark.parametrize("training_format", world.FORMATS)
def test_every_version_is_read_back_from_every_file_format(
    built: Folder, versions: dict[str, Row], training_format: str, tmp_path: Path
) -> None:
    manifest = versions[training_format]
    rows = world.rows_of(built, manifest)
    assert len(rows) == manifest["rows"]
    assert set(READERS) == set(formats.names())
    for name, same in READERS.items():
        if (training_format, name) == ("stepwise", "tfrecord"):
            # A step without a verdict is no false one, and a list of TFRecord has no gaps.
            with pytest.raises(DataError, match="labels hold NULL"):
                export_dataset(built.path, manifest["dataset"], name, tmp_path / name)
            continue
        done = export_dataset(built.path, manifest["dataset"], name, tmp_path / name)
        assert done["rows"] == len(rows)
        same(tmp_path / name, rows)


@pytest.mark.parametrize("training_format", world.FORMATS)
def test_examples_have_the_columns_of_the_format(
    built: Folder, versions: dict[str, Row], training_format: str
) -> None:
    manifest = versions[training_format]
    schema = parse_training_format(training_format).format.schema
    known = {name.strip() for names in schema for name in names.split(",")}
    assert set(manifest["columns"]) <= known or "*" in known
    rows = world.rows_of(built, manifest)
    ids = [row["example_id"] for row in rows]
    assert len(set(ids)) == len(ids)
    assert {row["sample_weight"] for row in rows} == {1.0}
    for row in rows:
        assert all(row[name] is not None for name in manifest["columns"] if name in ESSENTIAL)


#: Without which an example teaches nothing.
ESSENTIAL = {
    "messages", "prompt", "completion", "chosen", "rejected", "label", "reward", "completions",
    "labels", "classes", "probabilities", "item_id",
}  # fmt: skip

_REPRODUCE = """
import json, os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one thread
from pathlib import Path
from workbench.datasets import reproduce
from workbench.datasets.store import Dataset
from workbench.errors import DataError
project = Path(sys.argv[1])
for name in sys.argv[2:]:
    manifest = Dataset(project / ".workbench", name).manifest("v1.0")
    reproduce(project, manifest)
    print(name, manifest["content_hash"])
try:
    reproduce(project, {**manifest, "content_hash": "0" * 32})
except DataError as error:
    print(type(error).__name__)
"""


def test_every_manifest_gives_the_same_examples_in_a_fresh_process(
    built: Folder, versions: dict[str, Row]
) -> None:
    names = [manifest["dataset"] for manifest in versions.values()]
    done = subprocess.run(
        [sys.executable, "-c", _REPRODUCE, str(built.path), *names],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    hashes = [f"{m['dataset']} {m['content_hash']}" for m in versions.values()]
    assert done.stdout.splitlines() == [*hashes, "DataError"]


def test_exports_of_one_version_are_the_same_bytes(own: Folder, tmp_path: Path) -> None:
    """Also after another compile, and from another copy of the project's build."""
    first = world.compiled(own, "dpo", "d", seed=1)
    names = formats.names()
    before = {
        name: export_dataset(own.path, "d@v1.0", name, tmp_path / f"a-{name}") for name in names
    }
    again = world.compiled(own, "dpo", "e", seed=1)
    assert again["content_hash"] == first["content_hash"]
    world.compiled(own, "dpo", "d", seed=1, where="request_id < 'r050'")
    for name in names:
        done = export_dataset(own.path, "d@v1.0", name, tmp_path / f"b-{name}")
        assert done["sha256"] == before[name]["sha256"]


SLICES: list[tuple[str, Row, set[str]]] = [
    ("kto", {"limit": 30, "where": "user_id <> 'u3'"}, {"not_drawn", "not_deciding"}),
    ("dpo", {"limit": 5}, {"not_drawn", "same_answer", "tie"}),
    ("reward", {"tokens": 400, "clean": ("exact_duplicates",)}, {"over_token_budget"}),
    (
        "sft",
        {"target": "prediction", "limit": 60, "tokens": 1000},
        {"not_drawn", "over_token_budget"},
    ),
    ("stepwise", {"limit": 4, "where": "request_id <> 't3-1'"}, {"not_drawn", "trace_not_whole"}),
    ("tabular", {"clean": ("exact_duplicates",)}, {"exact_duplicate", "no_feedback"}),
    ("recsys", {"limit": 20, "where": "propensity > 0.3"}, {"not_drawn", "no_item"}),
]


def added_up(manifest: Row) -> None:
    """What was examined, less all that was left out, is what was kept."""
    examined, *left_out, kept = [s for s in manifest["funnel"] if s["unit"] == "examples"]
    assert examined["rows"] + sum(step["rows"] for step in left_out) == kept["rows"]
    assert all(step["rows"] < 0 and step["reason"] for step in left_out)
    assert kept["rows"] == manifest["rows"]


@pytest.mark.parametrize("training_format", world.FORMATS)
def test_the_funnel_adds_up(versions: dict[str, Row], training_format: str) -> None:
    added_up(versions[training_format])


@pytest.mark.parametrize(("training_format", "chosen", "reasons"), SLICES)
def test_the_funnel_adds_up_for_what_is_cleaned_and_drawn(
    built: Folder, training_format: str, chosen: Row, reasons: set[str]
) -> None:
    manifest = world.compiled(built, training_format, f"funnel-{training_format}", **chosen)
    added_up(manifest)
    assert reasons <= {step["reason"] for step in manifest["funnel"]}
    assert len(world.rows_of(built, manifest)) <= (chosen.get("limit") or manifest["rows"])


@pytest.mark.parametrize("training_format", ["dpo", "sft", "stepwise"])
def test_what_is_read_in_pieces_is_the_same(
    built: Folder,
    versions: dict[str, Row],
    training_format: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the two answers of a pair are in two pieces."""
    monkeypatch.setattr("workbench.datasets.choose.CHARACTERS", 700)
    monkeypatch.setattr("workbench.datasets.relations._CREDITS", 20)
    whole = versions[training_format]
    chosen = {"split": parse_split("user_id: train=0.8, test=0.2")}
    manifest = world.compiled(built, training_format, f"pieces-{training_format}", **chosen)
    assert manifest["content_hash"] == whole["content_hash"]
    assert manifest.get("lengths") == whole.get("lengths")
    assert world.rows_of(built, manifest) == world.rows_of(built, whole)
