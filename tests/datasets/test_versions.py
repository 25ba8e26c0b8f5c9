"""Versions: their numbers and tags, and what remains when a compile is killed or meets another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.datasets import world
from tests.datasets.world import Row
from tests.ingest.folder import Folder, lines
from workbench.datasets.slice import Slice
from workbench.datasets.store import Dataset
from workbench.datasets.versions import diff, export_dataset, replay
from workbench.errors import ConfigError, DataError, NotFoundError


def dataset(folder: Folder, name: str) -> Dataset:
    return Dataset(folder.path / ".workbench", name)


def run(script: str, *arguments: str) -> list[str]:
    """Lines that a script prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_numbers_say_whether_the_recipe_is_the_same(built: Folder) -> None:
    chosen: list[tuple[str, Row]] = [
        ("tabular", {"limit": 20}),
        ("tabular", {"limit": 20}),
        ("tabular", {"limit": 20, "seed": 1}),
        ("tabular", {"limit": 20, "seed": 1}),
        ("tabular", {"limit": 20, "seed": 1, "columns": ("latency_ms",)}),
        ("tabular", {"limit": 20, "seed": 1, "target": "none"}),
    ]
    made = [world.compiled(built, call, "numbers", **slice_) for call, slice_ in chosen]
    versions = ["v1.0", "v1.1", "v2.0", "v2.1", "v3.0", "v4.0"]
    assert [manifest["version"] for manifest in made] == versions
    assert [manifest["previous"] for manifest in made] == [None, *versions[:-1]]
    same = made[1]
    assert (same["added"], same["revised"], same["unchanged"], same["withdrawn"]) == (0, 0, 20, 0)
    assert same["content_hash"] == made[0]["content_hash"]
    found = dataset(built, "numbers")
    assert [manifest["version"] for manifest in found.manifests()] == versions
    assert found.manifest() == found.manifest("v4.0")
    with pytest.raises(ConfigError, match="holds tabular examples, not kto"):
        world.compiled(built, "kto", "numbers")
    # What was refused or empty has left no version.
    with pytest.raises(DataError, match="Nothing is left"):
        world.compiled(built, "tabular", "numbers", where="false")
    assert len(found.manifests()) == 6
    compared = diff(built.path, "numbers@v1.1", "numbers@v2.0")
    ids = [{row["example_id"] for row in world.rows_of(built, made[i])} for i in (1, 2)]
    assert compared["added"] == len(ids[1] - ids[0]) > 0
    assert compared["withdrawn"] == len(ids[0] - ids[1])
    assert compared["unchanged"] == len(ids[0] & ids[1])
    assert compared["slice"] == {"seed": [0, 1]}


def test_tags_are_names_of_versions(built: Folder) -> None:
    first = world.compiled(built, "reward", "tags", limit=10)
    world.compiled(built, "reward", "tags", limit=11)
    found = dataset(built, "tags")
    assert found.tag("good", "v1.0") == "v1.0"
    assert found.tag("latest") == "v2.0"
    assert found.manifest("good")["content_hash"] == first["content_hash"]
    assert found.tag("good", "latest") == "v2.0"
    assert found.tags() == {"good": "v2.0", "latest": "v2.0"}
    for wrong in ("v1.0", "", "a b", "../x"):
        with pytest.raises(ConfigError, match="cannot be tagged"):
            found.tag(wrong, "v1.0")
    with pytest.raises(NotFoundError, match="no version 'v9"):
        found.tag("other", "v9.0")
    with pytest.raises(NotFoundError, match="no dataset"):
        dataset(built, "nothing").manifest()


def test_replay_mixes_new_examples_with_old_ones(built: Folder, tmp_path: Path) -> None:
    old = world.compiled(built, "reward", "replay", where="request_id < 'r100'")
    new = world.compiled(built, "reward", "replay")
    before = {row["example_id"] for row in world.rows_of(built, old)}
    after = {row["example_id"] for row in world.rows_of(built, new)}
    sizes: list[Any] = []
    for path, seed in (("a", 0), ("b", 0), ("c", 1)):
        done = replay(
            built.path, "replay", "v1.0", "jsonl", tmp_path / path, n=40, old_share=0.25, seed=seed
        )
        assert (done["old"], done["new"], done["rows"]) == (10, 30, 40)
        sizes.append(done["sha256"])
    assert sizes[0] == sizes[1] != sizes[2]
    few = replay(built.path, "replay", "v1.0", "jsonl", tmp_path / "d", n=10_000, old_share=0.5)
    assert (few["old"], few["new"]) == (len(before & after), len(after - before))
    with pytest.raises(ConfigError, match="share of old"):
        replay(built.path, "replay", "v1.0", "jsonl", tmp_path / "e", n=10, old_share=1.5)


# Children are forked before anything is opened, so that only one process has to import.
_KILL = """
import os, signal, sys
from pathlib import Path
from workbench import lake
from workbench.datasets import Slice, compile_dataset, store

project, name, where = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def after(function, times):
    left = [times]
    def call(*args, **kwargs):
        result = function(*args, **kwargs)
        left[0] -= 1
        if left[0] == 0:
            die()
        return result
    return call

def compile(stage):
    narrate = lambda text: die() if text == stage else None
    if stage == "examples written":
        lake.write_deltalake = after(lake.write_deltalake, 1)
    elif stage == "choices written":
        lake.write_deltalake = after(lake.write_deltalake, 2)
    elif stage == "manifest not renamed":
        store.write_whole = die
    elif stage == "manifest renamed":
        store.write_whole = after(store.write_whole, 1)
    compile_dataset(project, name, Slice(where=where), "kto", narrate=narrate)

for stage in ("cleaning", "writing", "examples written", "choices written",
              "manifest not renamed", "manifest renamed", "none"):
    child = os.fork()
    if child == 0:
        compile(stage)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    versions = sorted(path.name for path in project.glob(f".workbench/datasets/{name}/versions/*"))
    print(stage, os.waitstatus_to_exitcode(status), *versions, sep="|")
"""


def test_a_compile_that_is_killed_leaves_no_half_version(own: Folder) -> None:
    expected = world.compiled(own, "kto", "undisturbed")
    first = world.compiled(own, "kto", "killed", where="request_id < 'r080'")
    before = world.rows_of(own, first)
    found = run(_KILL, str(own.path), "killed", "request_id >= 'r040'")
    names = ["v1.0.json", "v2.0.json", "v2.1.json"]
    assert found == [
        "|".join(["cleaning", "-9", *names[:1]]),
        "|".join(["writing", "-9", *names[:1]]),
        "|".join(["examples written", "-9", *names[:1]]),
        "|".join(["choices written", "-9", *names[:1]]),
        "|".join(["manifest not renamed", "-9", *names[:1]]),
        "|".join(["manifest renamed", "-9", *names[:2]]),
        "|".join(["none", "0", *names]),
    ]
    store = dataset(own, "killed")
    assert world.rows_of(own, store.manifest("v1.0")) == before
    rows = world.rows_of(own, store.manifest("v2.1"))
    assert rows == world.rows_of(own, store.manifest("v2.0"))
    assert {row["example_id"] for row in rows} == {
        row["example_id"] for row in world.rows_of(own, expected) if row["example_id"] >= "r040"
    }
    whole = world.compiled(own, "kto", "killed")
    assert whole["content_hash"] == expected["content_hash"]
    assert {row["revision"] for row in world.rows_of(own, whole)} == {1}
    assert not list((own.path / ".workbench" / "tmp").glob("*"))


_TWO = """
import os, sys
from pathlib import Path
from workbench.datasets import Slice, compile_dataset
children = []
for seed in (1, 2):
    child = os.fork()
    if child == 0:
        chosen = Slice(limit=60, seed=seed)
        compile_dataset(Path(sys.argv[1]), "both", chosen, "kto", tags=(f"seed-{seed}",))
        os._exit(0)
    children.append(child)
print(*(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


def test_compiles_at_the_same_time_both_land(own: Folder) -> None:
    assert run(_TWO, str(own.path)) == ["0 0"]
    store = dataset(own, "both")
    assert [manifest["version"] for manifest in store.manifests()] == ["v1.0", "v2.0"]
    assert store.manifest("v2.0")["previous"] == "v1.0"
    for seed in (1, 2):
        manifest = store.manifest(f"seed-{seed}")
        alone = world.compiled(own, "kto", f"alone-{seed}", limit=60, seed=seed)
        assert manifest["content_hash"] == alone["content_hash"]
        rows = world.rows_of(own, manifest)
        assert [row["example_id"] for row in rows] == [
            row["example_id"] for row in world.rows_of(own, alone)
        ]
        assert {row["revision"] for row in rows} == {1}


def test_what_is_exported_can_be_narrowed(
    built: Folder, versions: dict[str, Row], tmp_path: Path
) -> None:
    name = versions["kto"]["dataset"]
    done = export_dataset(
        built.path, name, "jsonl", tmp_path / "out", where="split = 'test' AND label",
        columns=("example_id", "label"),
    )  # fmt: skip
    rows = world.rows_of(built, versions["kto"])
    wanted = [
        {"example_id": row["example_id"], "label": True}
        for row in rows if row["split"] == "test" and row["label"]
    ]  # fmt: skip
    assert 0 < done["rows"] == len(wanted)
    assert (tmp_path / "out").read_text() == lines(wanted).replace(": ", ":").replace(", ", ",")
    with pytest.raises(ConfigError, match="no column"):
        export_dataset(built.path, name, "jsonl", tmp_path / "x", columns=("labels",))


def test_a_slice_is_its_toml_and_its_link(versions: dict[str, Row]) -> None:
    for manifest in versions.values():
        chosen = Slice(**manifest["slice"])
        assert chosen.id == manifest["slice_id"]
        assert Slice.from_params(chosen.to_params()) == chosen
