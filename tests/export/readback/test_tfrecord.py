"""The package tfrecord reads what export writes, and another package agrees on the checksums."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from tests.export.strategies import tables
from tests.export.tfrecords import read_examples
from workbench.datasets import write_file

tfrecord = pytest.importorskip("tfrecord", reason="tfrecord is not installed: make readback")
crc32c = pytest.importorskip("crc32c", reason="crc32c is not installed: make readback")


def checks(data: bytes) -> int:
    """Count the records whose two checksums are right; the first that is wrong ends it."""
    count = 0
    while data:
        size = int.from_bytes(data[:8], "little")
        for piece, found in ((data[:8], data[8:12]), (data[12 : 12 + size], data[12 + size :][:4])):
            crc = crc32c.crc32c(piece)
            mask = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
            assert mask.to_bytes(4, "little") == found
        count += 1
        data = data[16 + size :]
    return count


@settings(max_examples=30, deadline=None)
@given(table=tables())
def test_every_record_is_read(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("tfrecord") / "a.tfrecord"
    write_file(table.to_reader(2), "tfrecord", path)
    assert checks(path.read_bytes()) == table.num_rows
    found = []
    for record in tfrecord.reader.tfrecord_iterator(str(path)):
        example = tfrecord.example_pb2.Example()
        example.ParseFromString(bytes(record))
        features = {}
        for name, feature in example.features.feature.items():
            ((field, values),) = feature.ListFields()
            features[name] = (field.name, list(values.value))
        found.append(sorted(features.items()))
    assert repr(found) == repr([sorted(row.items()) for row in read_examples(path.read_bytes())])


def test_its_loader_gives_the_values(tmp_path: Path) -> None:
    table = pa.table({"text": ["grüße", "🎉"], "n": [2**62, -1], "p": [[0.25, 0.75], [1.0, 0.5]]})
    write_file(table.to_reader(), "tfrecord", tmp_path / "a.tfrecord")
    description = {"text": "byte", "n": "int", "p": "float"}
    loader = tfrecord.tfrecord_loader(str(tmp_path / "a.tfrecord"), None, description)
    for row, wanted in zip(list(loader), table.to_pylist(), strict=True):
        assert bytes(row["text"]).decode() == wanted["text"]
        assert row["n"].tolist() == [wanted["n"]]
        assert row["p"].dtype == np.float32
        assert row["p"].tolist() == wanted["p"]
