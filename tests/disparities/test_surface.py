"""Disparities through the command line and in Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import workbench
from tests.cli.conftest import Run, run
from tests.ingest.folder import PLAIN, Folder, event, inference, lines

CONFIG = PLAIN + '\n[feedback.signals.truth]\nkind = "label"\n'
KEYS = [
    "disparity", "metric", "difference", "low", "high", "adjusted_low", "adjusted_high", "ratio",
    "ratio_metric", "ratio_low", "ratio_high", "ratio_adjusted_low", "ratio_adjusted_high",
    "below_four_fifths", "four_fifths_certain", "lowest", "highest", "compared", "comparisons",
    "reason", "groups",
]  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions of 60 answers, of which 10, 20 and 40 are selected, and one of 6, all of them.

    The truth is known of all; it is the prediction but for every fifth answer. Of ``few`` all are
    positive.
    """
    folder = Folder.make(tmp_path_factory.mktemp("groups"), CONFIG, events=0)
    versions = [("a", 60, 10), ("b", 60, 20), ("c", 60, 40), ("few", 6, 6)]
    answers = [(v, i < k) for v, n, k in versions for i in range(n)]
    folder.write(
        "logs/a.jsonl",
        lines(
            inference(n, model_version=v, prediction=str(int(d)), confidence=0.75)
            for n, (v, d) in enumerate(answers)
        ),
    )
    folder.write(
        "events/a.jsonl",
        lines(
            event(n, name="truth", value=str(int(v == "few" or d == (n % 5 > 0))))
            for n, (v, d) in enumerate(answers)
        ),
    )
    folder.build()
    return folder.path


@pytest.fixture
def at(project: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(project)
    return run


BY = ("--by", "model_version")


def test_json_has_one_shape_and_python_says_the_same(at: Run, project: Path) -> None:
    done = at("metrics", "--disparities", *BY, "--json")
    rows = json.loads(done.out)
    assert [list(row) for row in rows] == [KEYS] * len(rows)
    assert [row["disparity"] for row in rows] == [
        "demographic_parity", "equal_opportunity", "equalized_odds", "predictive_parity",
        "accuracy", "reward_mean", "ece",
    ]  # fmt: skip
    assert rows == workbench.open(project).disparities(by=["model_version"])
    parity = rows[0]
    # 10 of 60 are hidden with the 6 of 6: the next smallest of equals is the first.
    assert [g["reason"] for g in parity["groups"]] == ["suppressed", None, None, "suppressed"]
    assert list(parity["groups"][0]) == [
        "by", "value", "low", "high", "n", "n_labelled", "reason",
    ]  # fmt: skip
    assert parity["difference"] == pytest.approx(40 / 60 - 20 / 60)
    assert parity["ratio"] == pytest.approx(0.5)
    assert parity["lowest"] == {"model_version": "b"}
    assert (parity["compared"], parity["comparisons"], parity["metric"]) == (2, 1, "selection_rate")


def test_with_least_0_nothing_is_hidden(at: Run) -> None:
    flags = (*BY, "--disparities", "--least", "0", "--json")
    [row] = json.loads(at("metrics", *flags, "--only", "demographic_parity").out)
    assert (row["difference"], row["comparisons"]) == (pytest.approx(50 / 60), 6)
    assert row["highest"] == {"model_version": "few"}
    [row] = json.loads(at("metrics", *flags, "--only", "false_positive_rate").out)
    assert row["compared"] == 3
    assert [g["reason"] for g in row["groups"]] == [None, None, None, "no_negatives"]


def test_the_table_names_the_groups_and_says_what_is_hidden(at: Run) -> None:
    done = at("metrics", "--disparities", *BY, "--only", "demographic_parity,equalized_odds")
    header, _, parity, odds = done.out.splitlines()
    assert header.split()[:3] == ["disparity", "difference", "low"]
    assert parity.split()[0] == "demographic_parity"
    assert "a: suppressed; few: suppressed" in parity
    assert odds.split()[0] == "equalized_odds"
    assert "fewer than 20 rows" in done.err


def test_a_metric_with_parameters_over_crossed_expressions_of_a_part(at: Run) -> None:
    done = at(
        "metrics", "--disparities", *BY, "--by", "confidence > 0.5", "--json",
        "--only", "ece(bins=5),selection_rate", "--where", "model_version <> 'few'",
    )  # fmt: skip
    rows = json.loads(done.out)
    assert [row["metric"] for row in rows] == ["ece(bins=5)", "selection_rate"]
    assert rows[1]["highest"] == {"model_version": "c", "confidence > 0.5": True}
    assert rows[1]["compared"] == 3


def test_values_by_group_are_hidden_only_if_asked(at: Run) -> None:
    shown = json.loads(at("metrics", *BY, "--only", "accuracy", "--json").out)
    assert [row["n"] for row in shown] == [60, 60, 60, 6]
    hidden = json.loads(at("metrics", *BY, "--only", "accuracy", "--least", "7", "--json").out)
    assert [row["reason"] for row in hidden] == ["suppressed", None, None, "suppressed"]
    assert list(hidden[0]) == list(shown[0])
    assert hidden[1:3] == shown[1:3]


def test_without_groups_there_is_nothing_to_compare(at: Run) -> None:
    done = at("metrics", "--disparities")
    assert (done.code, done.out) == (2, "")
    assert "--by" in done.err
    done = at("metrics", "--disparities", *BY, "--only", "equalised_odds")
    assert (done.code, done.out) == (2, "")
    assert "'equalized_odds'" in done.err
