"""Recalibration of public data through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import run
from workbench.query import open_build

pytestmark = [pytest.mark.real_data, pytest.mark.published]

CLASSES = [f"p{k}" for k in range(10)]
LIST = "[" + ", ".join(CLASSES) + "]"


@pytest.fixture(scope="module")
def cifar(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cifar") / "project"
    folder.mkdir()
    raw = (real_data / "cifar10_vgg_probs" / "cifar_probs.csv.gz").as_posix()
    (folder / "workbench.toml").write_text(
        f"""
        [inferences]
        source = "{raw}"
        classes = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
        [inferences.columns]
        request_id = "idx"
        ts = "TIMESTAMPTZ '2026-01-01 00:00:00+00' + to_seconds(CAST(idx AS BIGINT))"
        model_version = "'vgg'"
        probabilities = "{LIST}"
        confidence = "list_max({LIST})"
        prediction = "CAST(list_position({LIST}, list_max({LIST})) - 1 AS VARCHAR)"

        [feedback]
        source = "{raw}"
        [feedback.columns]
        feedback_id = "'f' || idx"
        request_id = "idx"
        ts = "TIMESTAMPTZ '2026-01-02 00:00:00+00' + to_seconds(CAST(idx AS BIGINT))"
        name = "'truth'"
        value = "label"
        [feedback.signals.truth]
        kind = "label"
        """,
        encoding="utf-8",
    )
    done = run("build", "--project", folder)
    assert done.code == 0, done.err
    return folder


def fit(folder: Path, *arguments: str) -> dict[str, Any]:
    done = run("fit", "recalibration", *arguments, "--json", "--project", folder)
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def test_the_temperature_of_cifar(cifar: Path) -> None:
    # What is printed was fitted on all rows and measured on the same.
    made = fit(cifar, "--method", "temperature", "--param", "on=probabilities",
               "--until", "2027-01-01T00:00:00Z")  # fmt: skip
    assert made["n"] == 10_000
    assert made["state"]["temperature"] == pytest.approx(1.6863, abs=5e-5)
    assert {row["after"]["reason"] for row in made["figures"]["held_out"]} == {"empty"}
    assert run("build", "--project", cifar).code == 0
    with open_build(cifar) as build:
        rows = build.arrow(
            "SELECT calibrated_p, calibration_y, probabilities, label::INT AS label "
            "FROM enriched_inferences"
        )
    p, y = (rows[name].to_numpy() for name in ("calibrated_p", "calibration_y"))
    bins = np.minimum((p * 15).astype(int), 14)
    gaps = np.bincount(bins, p - y, 15)
    assert np.abs(gaps).sum() / len(p) == pytest.approx(0.0141, abs=5e-5)
    q = np.array(rows["probabilities"].to_pylist())
    soft = np.maximum(q, 2.220446049250313e-16) ** (1 / made["state"]["temperature"])
    soft /= soft.sum(axis=1, keepdims=True)
    assert p == pytest.approx(soft.max(axis=1), rel=1e-9)
    own = soft[np.arange(len(q)), rows["label"].to_numpy()]
    assert -np.log(own).mean() == pytest.approx(0.200574, abs=5e-7)


@pytest.mark.parametrize("method", ["beta", "isotonic", "platt", "temperature"])
def test_each_method_makes_later_images_of_cifar_less_miscalibrated(
    cifar: Path, method: str
) -> None:
    made = fit(cifar, "--method", method, "--no-pin")
    ece = next(row for row in made["figures"]["held_out"] if row["metric"] == "ece")
    assert ece["after"]["n"] == 5_001
    assert ece["after"]["high"] < ece["before"]["low"]


def test_a_log_without_probabilities_is_refused_in_words(real_data: Path, tmp_path: Path) -> None:
    raw = (real_data / "tensorzero_haiku").as_posix()
    (tmp_path / "workbench.toml").write_text(
        f"""
        [inferences]
        source = "{raw}/ChatInference.jsonl.gz"
        columns = {{ request_id = "id", ts = "timestamp", model_version = "variant_name" }}
        [feedback]
        source = "{raw}/BooleanMetricFeedback.jsonl.gz"
        [feedback.columns]
        feedback_id = "id"
        request_id = "target_id"
        name = "metric_name"
        ts = "timestamp"
        [feedback.signals.haiku_score]
        kind = "binary"
        """,
        encoding="utf-8",
    )
    assert run("build", "--project", tmp_path).code == 0
    done = run("fit", "recalibration", "--project", tmp_path)
    assert done.code == 1
    assert "There are no rows to fit recalibration on" in done.err
    assert "calibration_p" in done.err
