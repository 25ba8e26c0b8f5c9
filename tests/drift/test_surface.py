"""Drift and worst slices of a built project, in Python and on the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import workbench
from tests.cli.conftest import run
from tests.ingest.folder import PLAIN, Folder, event, inference, lines
from workbench.errors import ConfigError, QueryError
from workbench.handle import Workbench

ROWS = 600
CONFIG = (
    PLAIN.replace(
        "[feedback]", '[inferences.features]\nplan = "VARCHAR"\nsize = "DOUBLE"\n[feedback]'
    )
    + """
[feedback.signals.truth]
kind = "label"
[labels]
signals = ["truth"]
"""
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """Sixty rows a day for ten days; from the sixth day on, `b` plans are more and are wrong."""
    folder = Folder.make(tmp_path_factory.mktemp("drift") / "p", CONFIG, events=0)
    logged, judged = [], []
    for n in range(ROWS):
        day, place = divmod(n, 60)
        plan = "b" if place % (2 if day >= 5 else 6) == 0 else "a"
        score = 0.9 if n % 3 else 0.2
        late = day >= 5 and plan == "b"
        logged.append(
            inference(
                n, ts=datetime(2026, 3, 2 + day, place % 24, tzinfo=UTC).isoformat(),
                plan=plan, size=place + (30 if late else 0),
                score=score, prediction="1" if score > 0.5 else "0", device=f"d{n // 2 % 2}",
                attributions=[{"feature": "plan", "value": -0.5 if late else 0.25}],
            )
        )  # fmt: skip
        truth = int((n * 7919) % 10 < 10 * score) if not late else int(score < 0.5)
        judged.append(event(n, name="truth", value=str(truth)))
    folder.write("logs/a.jsonl", lines(logged))
    folder.write("events/a.jsonl", lines(judged))
    folder.build()
    return workbench.open(folder.path)


def of(rows: list[dict[str, Any]], column: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["column"] == column]


def test_the_first_third_of_the_chunks_is_the_reference(project: Workbench) -> None:
    rows = project.drift(["features.plan"], every="day")
    assert [row["period"] for row in rows] == ["reference"] * 3 + ["analysis"] * 7
    assert [row["chunk"] for row in rows] == list(range(10))
    assert [row["alert"] for row in rows] == [False] * 5 + [True] * 5
    assert list(rows[0]) == [
        "column", "chunk", "period", "from", "to", "n", "whole", "method", "value", "p", "lower",
        "threshold", "alert", "reason",
    ]  # fmt: skip
    assert all(row["from"].date() == row["to"].date() for row in rows)


def test_chunks_of_rows_say_what_is_left_over(project: Workbench) -> None:
    rows = project.drift(["features.plan"], every=140)
    assert [(row["n"], row["whole"]) for row in rows] == [(140, True)] * 4 + [(40, False)]
    split = project.drift(["features.plan"], every=140, reference="ts < '2026-03-04'")
    assert [row["n"] for row in split if row["period"] == "reference"] == [120]
    assert [row["n"] for row in split if row["period"] == "analysis"] == [140, 140, 140, 60]
    assert {row["alert"] for row in split} == {None}


def test_by_default_everything_is_followed(project: Workbench) -> None:
    rows = project.drift(every="day")
    methods = {row["column"]: row["method"] for row in rows}
    assert {
        "features.plan": "jensen_shannon", "features.size": "jensen_shannon",
        "device": "jensen_shannon", "score": "jensen_shannon", "label": "jensen_shannon",
        "correct": "mean", "labelled": "mean", "attributions.plan": "mean_abs",
        "expected_accuracy": "cbpe", "expected_roc_auc": "cbpe",
    }.items() <= methods.items()  # fmt: skip
    moved = {row["column"] for row in rows if row["alert"] and row["chunk"] >= 5}
    assert {"features.plan", "features.size", "correct", "attributions.plan"} <= moved
    assert "labelled" not in moved
    (plan,) = {row["value"] for row in of(rows, "attributions.plan") if row["chunk"] < 5}
    assert plan == pytest.approx(0.25)
    # The scores did not move, so what they promise did not: concept drift cannot be seen.
    assert "expected_accuracy" not in moved
    after = of(rows, "expected_accuracy")[-1]
    assert after["measured"] < after["value"] - 0.2


def test_merged_chunks_have_the_mean_of_their_parts(project: Workbench) -> None:
    days = project.drift(["correct", "labelled"], every="day", methods=["mean"])
    two = project.drift(["correct", "labelled"], every=120, methods=["mean"])
    for name in ("correct", "labelled"):
        parts = [row["value"] for row in of(days, name)]
        whole = [row["value"] for row in of(two, name)]
        assert whole == pytest.approx(
            [(a + b) / 2 for a, b in zip(parts[::2], parts[1::2], strict=True)]
        )


def test_any_expression_and_any_method_can_be_followed(project: Workbench) -> None:
    rows = project.drift(
        ["score > 0.5", "features.size"], every="day", methods=["psi", "ks", "wasserstein", "mean"]
    )
    assert {row["method"] for row in rows} == {"psi_decile_floor", "ks", "wasserstein", "mean"}
    words = [row for row in of(rows, "score > 0.5") if row["method"] == "ks"]
    assert {(row["value"], row["reason"]) for row in words} == {(None, "not_applicable")}
    share = [row for row in of(rows, "score > 0.5") if row["method"] == "mean"]
    assert share[0]["value"] == pytest.approx(40 / 60)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"every": "fortnight"}, ConfigError, "no chunks"),
        ({"every": 0}, ConfigError, "no chunks"),
        ({"methods": ["jensen_shanon"]}, ConfigError, "no drift method"),
        ({"reference": "ts < '2020-01-01'"}, ConfigError, "No row is in the reference"),
        ({"columns": ["features.plann"]}, QueryError, "plann"),
        ({"columns": ["plan; DROP TABLE x"]}, QueryError, "not one SQL expression"),
    ],
)
def test_what_cannot_be_followed_is_refused(
    project: Workbench, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        project.drift(**options)


def test_the_worst_slice_and_what_moved_most(project: Workbench) -> None:
    (row,) = project.worst("accuracy", columns=["features.plan", "device"])
    assert row["slice"] == {"features.plan": "b"}
    (moved,) = project.worst(
        "accuracy", columns=["features.plan", "device"], reference="ts < '2026-03-07'"
    )
    assert (moved["slice"], moved["against"]) == ({"features.plan": "b"}, "reference")
    assert moved["effect"] < row["effect"] < 0
    assert project.worst("label_coverage") == []
    with pytest.raises(ConfigError, match="No slices can be made of request_id"):
        project.worst("accuracy", columns=["device", "request_id"])
    with pytest.raises(ConfigError, match="no mean over rows"):
        project.worst("ece")
    with pytest.raises(ConfigError, match="Did you mean 'accuracy'"):
        project.worst("acuracy")


def test_the_command_line_says_the_same(project: Workbench, tmp_path: Path) -> None:
    at = ("--project", project.folder, "metrics")
    done = run(*at, "--drift", "--every", "day", "--by-column", "features.plan", "--json")
    assert done.code == 0
    assert [row["value"] for row in json.loads(done.out)] == [
        row["value"] for row in project.drift(["features.plan"], every="day")
    ]
    table = run(*at, "--drift", "--every", "day")
    assert "first_alert" in table.out
    assert "concept drift" in table.err
    assert "3 standard deviations" in table.err
    none = run(*at, "--drift", "--every", "week", "--by-column", "device")
    assert "no threshold" in none.err
    worst = run(*at, "--worst", "--by", "features.plan", "--by", "device")
    assert "features.plan = 'b'" in worst.out
    assert "workbench export enriched_inferences" in worst.err
    assert "8 slices looked at, 1 named" in worst.err
    assert run(*at, "--worst", "--fail-if", "accuracy < 1").code == 5
    rows = json.loads(run(*at, "--worst", "accuracy", "--by", "features.plan", "--json").out)
    assert rows == project.worst("accuracy", columns=["features.plan"])


@pytest.mark.parametrize(
    "options",
    [
        ("--drift", "--worst"),
        ("--drift", "--skew"),
        ("--drift", "--by", "device"),
        ("--drift", "--only", "accuracy"),
        ("--worst", "--only", "accuracy"),
        ("--by-column", "score"),
        ("--method", "ks"),
        ("--reference", "true"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(
    project: Workbench, options: tuple[str, ...]
) -> None:
    done = run("--project", project.folder, "metrics", *options)
    assert done.code == 2
    assert done.out == ""
