"""``workbench slice``: what is saved is what was asked for, and a preview keeps nothing."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import pytest

from tests.cli.conftest import Run, run
from tests.ingest.folder import Folder
from workbench.datasets import Slice, parse_split
from workbench.datasets.slices import from_toml

KTO = "kto(good='correct')"


@pytest.fixture
def own(project: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a copy of the project."""
    folder = tmp_path / "own"
    shutil.copytree(project.path, folder)
    monkeypatch.chdir(folder)
    return run


def test_a_slice_is_saved_as_it_was_asked_for(own: Run) -> None:
    done = own(
        "slice", "new", "hard", "--where", "n_feedback > 0", "--columns", "user_id, user.tier",
        "--limit", 9, "--tokens", 900, "--sampler", "stratified(by='model_version')",
        "--seed", 3, "--target", "label", "--clean", "near_duplicates(threshold=0.9)",
        "--split", "user_id: train=0.5, test=0.5", "--json",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    wanted = Slice(
        where="n_feedback > 0",
        columns=("user_id", "user.tier"),
        limit=9,
        tokens=900,
        sampler="stratified(by='model_version')",
        seed=3,
        target="label",
        clean=("rules", "patterns", "near_duplicates(threshold=0.9)"),
        split=parse_split("user_id: train=0.5, test=0.5"),
    )
    told = json.loads(done.out)
    assert told == {"name": "hard", "id": wanted.id, "path": told["path"], "rows": 9}
    assert from_toml(Path("slices/hard.toml").read_text(encoding="utf-8")) == wanted
    shown = own("slice", "show", "hard")
    assert from_toml(shown.out) == wanted
    assert wanted.id in shown.err
    fields = json.loads(own("slice", "show", "hard", "--json").out)
    assert (fields["id"], fields["limit"]) == (wanted.id, 9)
    assert fields["split"] == "user_id: train=0.5, test=0.5"
    (listed,) = json.loads(own("slice", "list", "--json").out)
    assert listed == {
        "name": "hard", "id": wanted.id, "relation": "enriched_inferences",
        "where": "n_feedback > 0", "limit": 9, "sampler": wanted.sampler,
        "split": "user_id: train=0.5, test=0.5",
    }  # fmt: skip
    assert "hard" in own("slice", "list").out


def test_a_cleaner_is_applied_beside_those_of_the_project(own: Run) -> None:
    own("slice", "new", "plain")
    own("slice", "new", "clean", "--clean", "exact_duplicates")
    assert "clean" not in tomllib.loads(own("slice", "show", "plain").out)
    assert tomllib.loads(own("slice", "show", "clean").out)["clean"] == [
        "rules", "patterns", "exact_duplicates"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (["new", "x", "--where", "confidnce > 1"], 1, "confidence"),
        (["new", "x", "--where", "true) OR (true"], 1, "expression"),
        (["new", "x", "--columns", "user.tier,confidnce"], 2, "confidence"),
        (["new", "x", "--relation", "infrences"], 3, "inferences"),
        (["new", "x", "--sampler", "unifrom"], 2, "uniform"),
        (["new", "x", "--clean", "exact_duplicate"], 2, "exact_duplicates"),
        (["new", "x", "--split", "user_id"], 2, "train=0.8"),
        (["new", "x", "--target", "lable"], 2, "label"),
        (["new", "../x"], 2, "letters"),
        (["show", "nothing"], 3, "slice new"),
        (["preview", "nothing"], 3, "slice new"),
        (["nwe", "x"], 2, "nwe"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_saved(
    own: Run, arguments: list[str], code: int, hint: str
) -> None:
    done = own("slice", *arguments)
    assert (done.code, done.out) == (code, "")
    assert hint in done.err
    assert not list(Path.cwd().parent.rglob("*x.toml"))


def test_a_slice_is_replaced_only_when_asked(own: Run) -> None:
    assert own("slice", "new", "one").code == 0
    done = own("slice", "new", "one", "--limit", 1)
    assert done.code == 2
    assert "--force" in done.err
    assert "limit" not in Path("slices/one.toml").read_text(encoding="utf-8")
    assert own("slice", "new", "one", "--limit", 1, "--force").code == 0
    assert "limit = 1" in Path("slices/one.toml").read_text(encoding="utf-8")
    assert "Did you mean 'one'?" in own("slice", "show", "onee").err


def test_a_preview_counts_and_keeps_nothing(own: Run) -> None:
    own("slice", "new", "judged", "--where", "label IS NOT NULL AND model_version = 'v1'",
        "--columns", "request_id,user.tier")  # fmt: skip
    sql = "SELECT count(*) AS n FROM labels l JOIN inferences i USING (request_id) WHERE label IS"
    (row,) = json.loads(
        own("sql", f"{sql} NOT NULL AND model_version = 'v1'", "--format", "json").out
    )
    plain = json.loads(own("slice", "preview", "judged", "-n", 2, "--json").out)
    assert (plain["rows"], plain["funnel"], plain["training_format"]) == (row["n"], [], None)
    assert [list(first) for first in plain["first"]] == [["request_id", "user"]] * 2
    shaped = json.loads(own("slice", "preview", "judged", "--format", KTO, "--json").out)
    assert shaped.keys() == plain.keys()
    steps = [step for step in shaped["funnel"] if step["unit"] == "examples"]
    assert (steps[0]["reason"], steps[-1]["reason"]) == ("examined", "kept")
    assert sum(step["rows"] for step in steps[:-1]) == steps[-1]["rows"] == shaped["rows"]
    assert 0 < shaped["rows"] <= plain["rows"]
    assert len(shaped["first"]) == 3
    columns = {"example_id", "prompt", "completion", "label", "request_id", "user_tier"}
    assert shaped["first"][0].keys() == columns
    told = own("slice", "preview", "judged", "--format", KTO)
    assert "examined" in told.out
    assert "looking for candidates" in told.err
    assert not Path(".workbench/datasets").exists()


@pytest.mark.parametrize(
    "more", [[], ["--limit", "5"], ["--limit", "5", "--sampler", "uniform"], ["--limit", "0"]]
)
def test_a_preview_shows_rows_of_the_slice(own: Run, more: list[str]) -> None:
    own("slice", "new", "some", "--where", "confidence > 0.4", "--columns", "request_id", *more)
    own("export", "enriched_inferences", "--where", "confidence > 0.4", *more, "-o", "some.jsonl")
    written = Path("some.jsonl").read_text(encoding="utf-8").splitlines()
    ids = {json.loads(line)["request_id"] for line in written}
    found = json.loads(own("slice", "preview", "some", "-n", 4, "--json").out)
    assert found["rows"] == len(ids)
    assert len(found["first"]) == min(4, len(ids))
    assert {row["request_id"] for row in found["first"]} <= ids
