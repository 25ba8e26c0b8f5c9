"""``workbench dataset`` and the export of datasets, as a person would type them."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import workbench as wb
from tests.cli.conftest import Run, run
from tests.ingest.folder import Folder
from workbench.datasets.store import Dataset

KTO = "kto(good='correct')"
STAGES = ["looking for candidates", "cleaning", "drawing", "splitting"]


@pytest.fixture(scope="module")
def folder(project: Folder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a dataset of two versions; tests only read it."""
    folder = tmp_path_factory.mktemp("datasets") / "own"
    shutil.copytree(project.path, folder)
    for arguments in (
        ["slice", "new", "all", "--split", "user_id: train=0.5, test=0.5"],
        ["slice", "new", "some", "--where", "confidence < 0.7"],
        ["dataset", "compile", "answers", "--slice", "some", "--format", KTO, "--tag", "first"],
        ["dataset", "compile", "answers", "--slice", "all", "--format", KTO],
        ["dataset", "compile", "labels", "--slice", "all", "--format", "tabular"],
    ):
        done = run(*arguments, "--project", folder)
        assert done.code == 0, done.err
    return folder


@pytest.fixture
def at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in the project."""
    monkeypatch.chdir(folder)
    return run


@pytest.fixture
def own(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a copy of the project."""
    shutil.copytree(folder, tmp_path / "own")
    monkeypatch.chdir(tmp_path / "own")
    return run


def read(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def test_a_compile_tells_its_stages_and_prints_its_manifest(own: Run) -> None:
    preview = json.loads(own("slice", "preview", "all", "--format", KTO, "--json").out)
    done = own("dataset", "compile", "more", "--slice", "all", "--format", KTO, "--json",
               "--tag", "a", "--tag", "b")  # fmt: skip
    assert done.code == 0
    told = done.err.splitlines()
    assert told[:5] == [*STAGES, "writing"]
    assert told[5].startswith("more@v1.0: 20 examples")
    made = json.loads(done.out)
    assert (made["funnel"], made["rows"]) == (preview["funnel"], preview["rows"])
    stages = {stage["stage"]: (stage["rows"], stage["bytes"]) for stage in made["stages"]}
    assert list(stages) == ["candidates", "clean", "draw", "split", "write", "describe"]
    files = Path(".workbench/datasets/more/examples").glob("*.parquet")
    assert stages["write"] == (20, sum(file.stat().st_size for file in files))
    assert stages["draw"] == stages["split"] == (20, None)
    assert json.loads(own("dataset", "show", "more@b", "--json").out) == made
    (listed,) = json.loads(own("dataset", "list", "more", "--json").out)
    assert listed == {
        "dataset": "more", "version": "v1.0", "tags": ["a", "b"], "training_format": KTO,
        "rows": 20, "added": 20, "revised": 0, "slice_id": made["slice_id"],
        "build": made["build"], "created_at": made["created_at"], "erased": 0,
    }  # fmt: skip


def test_versions_are_listed_and_shown(at: Run) -> None:
    rows = json.loads(at("dataset", "list", "--json").out)
    assert [(row["dataset"], row["version"], row["tags"]) for row in rows] == [
        ("answers", "v1.0", ["first"]), ("answers", "v2.0", []), ("labels", "v1.0", [])
    ]  # fmt: skip
    assert "first" in at("dataset", "list").out
    shown = at("dataset", "show", "answers@first")
    assert "kept" in shown.out
    assert "answers@v1.0" in shown.err
    card = at("dataset", "show", "answers", "--card")
    assert card.out.startswith("# answers v2.0")
    both = json.loads(at("dataset", "show", "answers", "--card", "--json").out)
    assert both["card"] == card.out
    assert both["version"] == "v2.0"


def test_a_narrower_version_is_not_a_withdrawn_one(own: Run) -> None:
    """Examples that a version no longer has are counted; the version itself is there."""
    made = own("dataset", "compile", "answers", "--slice", "some", "--format", KTO, "--json")
    assert json.loads(made.out)["withdrawn"] > 0
    shown = json.loads(own("dataset", "show", "answers", "--json").out)
    assert shown["version"] == json.loads(made.out)["version"] == "v3.0"


def test_a_version_of_which_something_was_erased_is_listed_and_not_read(own: Run) -> None:
    compiled = json.loads(own("dataset", "show", "answers@v2.0", "--json").out)["compile_id"]
    Dataset(Path(".workbench").absolute(), "answers").withdraw({compiled: 3}, str)
    listed = json.loads(own("dataset", "list", "answers", "--json").out)
    assert [row["erased"] for row in listed] == [0, 3]
    for what in (["show", "answers@v2.0"], ["compile", "--from", "answers@v2.0"]):
        done = own("dataset", *what)
        assert (done.code, done.out) == (3, "")
        assert "3 of its examples were erased" in done.err
    assert json.loads(own("dataset", "show", "answers", "--json").out)["version"] == "v1.0"


def test_two_versions_are_compared(at: Run) -> None:
    found = json.loads(at("dataset", "diff", "answers@first", "answers", "--json").out)
    old, new = found["rows"]
    assert (found["versions"], found["added"], found["withdrawn"]) == (
        ["v1.0", "v2.0"], new - old, 0
    )  # fmt: skip
    assert found["slice"]["where"] == ["confidence < 0.7", None]
    assert found["test_was_trained"] > 0
    told = at("dataset", "diff", "answers@first", "answers")
    assert "slice: where" in told.out
    assert "trained on in v1.0" in told.err


def test_an_export_holds_what_the_version_counts(at: Run, tmp_path: Path) -> None:
    done = json.loads(at("export", "answers", "-o", tmp_path / "a.parquet", "--json").out)
    manifest = json.loads(at("dataset", "show", "answers", "--json").out)
    rows = read(tmp_path / "a.parquet")
    assert (done["version"], done["rows"], len(rows)) == ("v2.0", manifest["rows"], 20)
    shares = {row["value"]: row["rows"] for row in manifest["counts"]["split"]}
    assert Counter(row["split"] for row in rows) == shares
    at("export", "answers", "-o", tmp_path / "t.jsonl", "--where", "split = 'test'",
       "--columns", "completion, label")  # fmt: skip
    lines = (tmp_path / "t.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == shares["test"]
    assert all(json.loads(line).keys() == {"completion", "label"} for line in lines)


def test_an_export_of_what_is_new(at: Run, tmp_path: Path) -> None:
    done = at("export", "answers", "--since", "first", "-o", tmp_path / "new.parquet")
    assert done.code == 0
    before = json.loads(at("dataset", "show", "answers@first", "--json").out)["rows"]
    assert [row["change"] for row in read(tmp_path / "new.parquet")] == ["added"] * (20 - before)


def test_a_relation_goes_before_a_dataset_of_its_name(at: Run, tmp_path: Path) -> None:
    at("export", "labels", "-o", tmp_path / "relation.parquet")
    at("export", "labels@v1.0", "-o", tmp_path / "dataset.parquet")
    project = wb.open(".")
    project.export("labels@", tmp_path / "again.parquet")
    assert "label_policy" not in read(tmp_path / "dataset.parquet")[0]
    assert "example_id" not in read(tmp_path / "relation.parquet")[0]
    written = [(tmp_path / name).read_bytes() for name in ("again.parquet", "dataset.parquet")]
    assert written[0] == written[1]


def test_a_replay_mixes_old_and_new(at: Run, tmp_path: Path) -> None:
    done = at("dataset", "replay", "answers", "--since", "first", "-n", 5, "--old-share", 0.2,
              "-o", tmp_path / "mix.parquet", "--json")  # fmt: skip
    told = json.loads(done.out)
    assert (told["old"], told["new"], told["rows"]) == (1, 4, 5)
    assert Counter(row["replay"] for row in read(tmp_path / "mix.parquet")) == {"old": 1, "new": 4}


def test_a_tag_moves(own: Run) -> None:
    done = own("dataset", "tag", "answers", "first", "--json")
    assert json.loads(done.out) == {"dataset": "answers", "version": "v2.0", "tag": "first"}
    assert json.loads(own("dataset", "show", "answers@first", "--json").out)["version"] == "v2.0"


def test_a_version_is_made_anew(at: Run) -> None:
    done = at("dataset", "compile", "--from", "answers@first", "--json")
    manifest = json.loads(at("dataset", "show", "answers@first", "--json").out)
    keys = ("dataset", "version", "rows", "content_hash", "build")
    assert json.loads(done.out) == {**{key: manifest[key] for key in keys}, "same": True}
    told = at("dataset", "compile", "--from", "answers@first")
    assert told.err.splitlines()[-1] == (
        f"answers@v1.0 made anew: the same {manifest['rows']} examples."
    )
    assert [row["version"] for row in wb.open(".").datasets.versions("answers")] == ["v1.0", "v2.0"]


@pytest.mark.parametrize("pattern", ["builds/*.duckdb", "lake/inferences/*.parquet"])
def test_an_input_that_is_gone_is_named(own: Run, pattern: str) -> None:
    gone = next(Path(".workbench").glob(pattern))
    gone.unlink()
    done = own("dataset", "compile", "--from", "answers@first")
    assert (done.code, done.out) == (3, "")
    assert gone.name in done.err
    assert own("export", "answers@first", "-o", "still.parquet").code == 0


def test_what_is_not_the_same_as_then_is_told(own: Run) -> None:
    path = Path("workbench.toml")
    text = path.read_text(encoding="utf-8")
    rule = "\n[cleaning.rules.first]\nwhere = \"model_version = 'v1'\"\n"
    path.write_text(text + rule, encoding="utf-8")
    done = own("dataset", "compile", "--from", "answers@first")
    assert (done.code, done.out) == (1, "")
    assert "workbench.toml has changed" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (["dataset", "compile", "x"], 2, "--slice"),
        (["dataset", "compile", "x", "--slice", "al", "--format", "kto"], 3, "'all'"),
        (["dataset", "compile", "x", "--slice", "all", "--format", "kot"], 2, "kto"),
        (["dataset", "compile", "x", "--slice", "all", "--format", "kto(god=1)"], 2, "good"),
        (["dataset", "compile", "answers", "--slice", "all", "--format", "sft"], 2, "answers"),
        (["dataset", "compile", "x", "--from", "answers@first"], 2, "--from"),
        (["dataset", "compile", "x", "--slice", "all", "--format", "dpo"], 1, "make 0 candidates"),
        (["dataset", "show", "answer"], 3, "'answers'"),
        (["dataset", "list", "answer"], 3, "'answers'"),
        (["dataset", "show", "answers@v9.9"], 3, "v2.0"),
        (["dataset", "tag", "answers", "v1.0"], 2, "letters"),
        (["dataset", "diff", "answers@v1.0", "labels@v1.0"], 2, "answers"),
        (["dataset", "replay", "answers", "--since", "v9.9", "-n", "1", "-o", "x.csv"], 3, "v1.0"),
        (["dataset", "replay", "answers", "--since", "first", "-n", "1", "-o", "x"], 2, "parquet"),
        (["export", "answers@v9.9", "-o", "x.csv"], 3, "v2.0"),
        (["export", "answers", "-o", "x.nothing"], 2, "--format"),
        (["export", "answers", "--limit", "3", "-o", "x.csv"], 2, "--where"),
        (["export", "answers", "--where", "lable", "-o", "x.csv"], 1, "label"),
        (["export", "labels", "--since", "v1.0", "-o", "x.csv"], 2, "dataset list"),
        (["export", "answrs", "-o", "x.csv"], 3, "relation"),
    ],
)
def test_what_is_wrong_is_told(at: Run, arguments: list[str], code: int, hint: str) -> None:
    done = at(*arguments)
    assert (done.code, done.out) == (code, ""), done.err
    assert hint in done.err
    assert "Traceback" not in done.err
    assert not list(Path.cwd().glob("x*"))
    assert not Path(".workbench/datasets/x/versions").exists()
