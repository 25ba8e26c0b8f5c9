"""A dataset folder appears whole or not at all, and replaces only its own kind."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench.datasets import write_file
from workbench.errors import ConfigError, DataError
from workbench.formats import formats, huggingface

SCHEMA = pa.schema([("a", pa.int64()), ("split", pa.string())])


def rows(*splits: str | None) -> pa.RecordBatchReader:
    return pa.table([list(range(len(splits))), list(splits)], schema=SCHEMA).to_reader(1)


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_checksum_is_that_of_the_files(tmp_path: Path) -> None:
    done = write_file(rows("train", "test"), "huggingface", tmp_path / "d")
    files = content(tmp_path / "d")
    listed = "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()
    )
    assert done["sha256"] == hashlib.sha256(listed.encode()).hexdigest()
    assert done["bytes"] == sum(map(len, files.values()))
    again = write_file(rows("train", "test"), "huggingface", tmp_path / "e")
    assert again["sha256"] == done["sha256"]


def test_a_folder_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from rows("train")
        raise pa.ArrowInvalid("torn")

    target = tmp_path / "d"
    torn = pa.RecordBatchReader.from_batches(SCHEMA, broken())
    with pytest.raises(DataError, match="torn"):
        write_file(torn, "huggingface", target)
    assert not list(tmp_path.iterdir())
    write_file(rows("train"), "huggingface", target)
    before = content(target)
    for reader, count in (
        (pa.RecordBatchReader.from_batches(SCHEMA, broken()), None),
        (rows("train", "train"), 3),
        (rows("train", None), None),
        (rows("../out"), None),
        (rows(*(f"s{i}" for i in range(21))), None),
    ):
        with pytest.raises(DataError):
            write_file(reader, "huggingface", target, rows=count, force=True)
        assert content(target) == before
        assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_force_replaces_all_of_a_dataset(tmp_path: Path) -> None:
    target = tmp_path / "d"
    write_file(rows("train", "test"), "huggingface", target)
    with pytest.raises(ConfigError, match="exists already"):
        write_file(rows("train"), "huggingface", target)
    write_file(rows("dev"), "huggingface", target, force=True)
    assert list(content(target)) == ["README.md", "data/dev-00000-of-00001.parquet"]
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


@pytest.mark.parametrize("name", ["notes.txt", "data/raw.parquet", "data/more/x", ".git"])
def test_force_spares_a_folder_of_something_else(tmp_path: Path, name: str) -> None:
    target = tmp_path / "d"
    write_file(rows("train"), "huggingface", target)
    (target / name).parent.mkdir(exist_ok=True)
    (target / name).write_text("mine")
    before = content(target)
    with pytest.raises(ConfigError, match="does not write"):
        write_file(rows("train"), "huggingface", target, force=True)
    assert content(target) == before


def test_force_spares_files_and_links(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name in ("file", "link"):
        with pytest.raises(ConfigError, match="not a folder"):
            write_file(rows("train"), "huggingface", tmp_path / name, force=True)
    with pytest.raises(ConfigError, match="is a folder"):
        write_file(rows("train"), "csv", tmp_path / "real", force=True)
    with pytest.raises(ConfigError, match="not a file"):
        formats.get("huggingface").write(io.BytesIO(), rows("train"), {})
    assert (tmp_path / "file").read_text() == "mine"


def test_large_splits_are_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface, "_GROUP", 1)
    monkeypatch.setattr(huggingface, "_SHARD", 20)
    write_file(rows(*["train", "test"] * 6), "huggingface", tmp_path / "d")
    files = sorted((tmp_path / "d" / "data").glob("train-*"))
    assert len(files) > 1
    assert [path.name for path in files] == [
        f"train-{i:05d}-of-{len(files):05d}.parquet" for i in range(len(files))
    ]
    found = [value for path in files for value in pq.read_table(path)["a"].to_pylist()]
    assert found == [0, 2, 4, 6, 8, 10]


def test_the_card_is_what_was_given_or_says_what_is_there(tmp_path: Path) -> None:
    given = {
        "workbench_card": "# Mine\n",
        "workbench_license": "cc-by-4.0",
        "workbench_slice": "{}",
    }
    write_file(rows("train"), "huggingface", tmp_path / "d", metadata=given)
    card = (tmp_path / "d" / "README.md").read_text()
    assert card.startswith('---\nlicense: "cc-by-4.0"\nconfigs:\n')
    assert card.endswith("---\n\n# Mine\n")
    (file,) = (tmp_path / "d" / "data").iterdir()
    assert pq.read_schema(file).metadata == {b"workbench_slice": b"{}"}
    write_file(rows("train"), "huggingface", tmp_path / "e", metadata={"workbench_slice": "{}"})
    card = (tmp_path / "e" / "README.md").read_text()
    assert "license" not in card
    assert "| train | 1 |" in card
    assert "`workbench_slice`:\n\n    {}" in card
