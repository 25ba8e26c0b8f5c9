"""A manifest alone brings its version back, to the byte, or says why it cannot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import workbench
from tests.datasets import world
from tests.ingest.folder import Folder
from workbench.datasets.versions import export_dataset
from workbench.errors import DataError, NotFoundError


def test_a_manifest_brings_its_version_back(own: Folder, tmp_path: Path) -> None:
    made = world.compiled(
        own, "kto", "votes", limit=30, sampler="importance(score='length(request_id)')"
    )
    before = export_dataset(own.path, "votes", "jsonl", tmp_path / "before.jsonl")
    folder = own.path / ".workbench" / "datasets" / "votes"
    manifest = tmp_path / "votes.json"
    shutil.copy(folder / "versions" / "v1.0.json", manifest)
    datasets = workbench.open(own.path).datasets
    # While the examples are there it only compares.
    assert datasets.reproduce(str(manifest))["compile_id"] == made["compile_id"]
    shutil.rmtree(folder)

    told = json.loads(manifest.read_text("utf-8"))
    other = tmp_path / "other.json"
    # Another seed draws other rows of the same data: the version must not come back as those.
    other.write_text(json.dumps({**told, "slice": {**told["slice"], "seed": 5}}), "utf-8")
    with pytest.raises(DataError, match="same examples"):
        datasets.reproduce(str(other))
    assert datasets.names() == []

    again = datasets.reproduce(str(manifest))
    assert (again["version"], again["content_hash"]) == ("v1.0", made["content_hash"])
    after = export_dataset(own.path, "votes", "jsonl", tmp_path / "after.jsonl")
    assert after["sha256"] == before["sha256"]

    shutil.rmtree(folder)
    other.write_text(json.dumps({**told, "build": "b0"}), "utf-8")
    with pytest.raises(NotFoundError, match="b0"):
        datasets.reproduce(str(other))
    other.write_text("{}", "utf-8")
    with pytest.raises(DataError, match="manifest"):
        datasets.reproduce(str(other))
