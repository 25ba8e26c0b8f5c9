"""What the command line and Python say of raters: the shape of it, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import workbench
from tests.cli.conftest import run
from tests.ingest.folder import Folder, event, inference, lines
from workbench.agreement import LEVELS

CONFIG = """
[inferences]
source = "logs"
[feedback]
source = "events"
[feedback.signals.thumb]
kind = "binary"
[feedback.signals.stars]
kind = "rating"
scale = [1, 5]
[feedback.signals.words]
kind = "label"
"""

ROW = {"metric", "by", "value", "low", "high", "n", "n_labelled", "reason", "n_raters"}


def rows_of(*arguments: object) -> list[dict[str, Any]]:
    done = run(*arguments)
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = json.loads(done.out)
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Folder.make(tmp_path_factory.mktemp("raters") / "p", CONFIG, events=0)
    folder.write("logs/a.jsonl", lines(inference(n, prediction="x") for n in range(60)))
    rows = []
    for n in range(60):
        for rater in "ab":
            said = {"thumb": (n + (n % 7 == 0 and rater == "b")) % 2, "stars": 1 + n % 5}
            said |= {"words": "x" if n % 3 else "y"}
            rows += [
                event(n, feedback_id=f"{n}{rater}{name}", rater_id=rater, name=name, value=str(v))
                | {"ts": event(n)["ts"] + (n * 37 + len(name)) % 91}
                for name, v in said.items()
            ]
    rows.append(event(0, rater_id="c", name="stars", value="2"))
    folder.write("events/a.jsonl", lines(rows))
    folder.build()
    return folder.path


def test_agreement_has_the_form_of_all_metrics(project: Path) -> None:
    rows = rows_of("metrics", "--agreement", "--json", "--project", project)
    assert all(set(row) == ROW for row in rows)
    names = {(row["metric"], row["by"]["name"]) for row in rows}
    alphas = {level: f"krippendorff_alpha(level='{level}')" for level in LEVELS}
    for signal in ("thumb", "stars", "words"):
        assert {("fleiss_kappa", signal), ("cohen_kappa", signal)} <= names
        assert (alphas["nominal"], signal) in names
        assert ((alphas["interval"], signal) in names) == (signal == "stars")
    found = {(row["metric"], row["by"]["name"]): row for row in rows}
    stars = found[alphas["ordinal"], "stars"]
    assert (stars["n"], stars["n_labelled"], stars["n_raters"]) == (60, 60, 3)
    # Two numbers of raters: those of the one inference with three are left out.
    assert found["fleiss_kappa", "stars"]["n"] == 59
    assert found["fleiss_kappa", "stars"]["value"] == 1.0
    assert rows == workbench.open(project).agreement()


def test_measures_are_chosen_by_name_and_rows_by_a_condition(project: Path) -> None:
    only = 'krippendorff_alpha, krippendorff_alpha(level = "interval")'
    where = "name = 'words' AND request_id < 'r3'"
    rows = rows_of(
        "metrics", "--agreement", "--json", "--project", project, "--only", only, "--where", where
    )
    assert [(row["metric"], row["reason"]) for row in rows] == [
        ("krippendorff_alpha(level='nominal')", None),
        ("krippendorff_alpha(level='interval')", "not_applicable"),
    ]
    assert rows[0]["n"] == 23
    done = run("metrics", "--agreement", "--project", project, "--only", "kohen_kappa")
    assert (done.code, "cohen_kappa" in done.err) == (2, True)


def test_raters_and_pairs_of_few_events_have_no_row(project: Path) -> None:
    rows = rows_of("metrics", "--raters", "--json", "--project", project)
    assert {(row["rater_id"], row["n"]) for row in rows} == {("a", 60), ("b", 60)}
    assert [sign["sign"] for sign in rows[0]["signs"]] == [
        "regular_gaps", "one_value", "chance_agreement", "burst",
    ]  # fmt: skip
    rows = rows_of("metrics", "--raters", "--json", "--project", project, "--least", "1")
    assert ("c", "stars") in {(row["rater_id"], row["name"]) for row in rows}
    rows = rows_of("metrics", "--agreement", "--json", "--project", project, "--least", "61")
    assert not [row for row in rows if row["metric"] == "cohen_kappa"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--raters", "--policies"], "one at a time"),
        (["--raters", "--drift"], "one at a time"),
        (["--raters", "--by", "name"], "--where"),
        (["--raters", "--only", "cohen_kappa"], "--only"),
        (["--policies", "--where", "true"], "all labels"),
        (["--policies", "--least", "3"], "--least"),
        (["--agreement", "--fail-if", "ece > 1"], "--fail-if"),
    ],
)
def test_options_that_would_be_ignored_are_refused(
    project: Path, options: list[str], said: str
) -> None:
    done = run("metrics", *options, "--project", project)
    assert done.code == 2
    assert said in done.err


def test_tables_say_it_in_words(project: Path) -> None:
    for option in ("--raters", "--agreement", "--policies"):
        done = run("metrics", option, "--project", project)
        assert done.code == 0
        assert len(done.out.splitlines()) > 4
    assert "workbench fit raters" in done.err


def test_a_project_without_feedback_has_no_rows(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "p", CONFIG, events=0)
    folder.write("logs/a.jsonl", lines([inference(0)]))
    folder.build()
    made = workbench.open(folder.path)
    assert made.raters() == made.agreement() == []
    assert {row["reason"] for row in made.policies()} == {"empty", "no_weights"}
