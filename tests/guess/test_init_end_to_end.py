"""From raw public files to numbers, through the command line only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.real_data


def workbench(*arguments: str | Path) -> Any:
    """What a command prints as JSON."""
    command = [sys.executable, "-m", "workbench.cli.main", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout) if "--json" in arguments else result.stdout


def made(folder: Path, inferences: Path, feedback: Path) -> Path:
    workbench("init", folder, "--inferences", inferences, "--feedback", feedback)
    workbench("build", "--project", folder, "--json")
    return folder


def values(rows: list[dict[str, Any]], by: str) -> dict[str, tuple[float, int]]:
    return {str(row["by"][by]): (row["value"], row["n_labelled"]) for row in rows}


def test_haiku(tmp_path: Path, real_data: Path) -> None:
    raw = real_data / "tensorzero_haiku"
    project = made(
        tmp_path / "haiku",
        raw / "ChatInference.jsonl.gz",
        raw / "BooleanMetricFeedback.jsonl.gz",
    )
    status = workbench("status", "--project", project, "--json")
    assert status["received"] == status["attributed"] == 500
    assert status["inferences"]["unlabelled"] == 500
    rows = workbench("metrics", "--project", project, "--only", "reward_mean", "--json")
    assert rows[0]["value"] == pytest.approx(84 / 500)
    assert rows[0]["n_labelled"] == 500


def test_haiku_folder_with_the_calls_of_its_models(tmp_path: Path, real_data: Path) -> None:
    raw = real_data / "tensorzero_haiku"
    project = made(tmp_path / "haiku", raw, raw)
    status = workbench("status", "--project", project, "--json")
    assert status["received"] == status["attributed"] == 500
    assert status["inferences"]["received"] == 2000


def test_employment(tmp_path: Path, real_data: Path) -> None:
    raw = real_data / "nannyml_employment"
    project = made(
        tmp_path / "employment", raw / "analysis.parquet", raw / "analysis_target.parquet"
    )
    status = workbench("status", "--project", project, "--json")
    assert status["inferences"]["accepted"] == status["attributed"] == 208_892
    rows = workbench(
        "metrics", "--project", project, "--only", "accuracy", "--by", "features.year", "--json"
    )
    found = {int(next(iter(row["by"].values()))): round(row["value"], 6) for row in rows}
    assert found == {2016: 0.825333, 2017: 0.829166, 2018: 0.828221}


def test_realhumaneval(tmp_path: Path, real_data: Path) -> None:
    turns = real_data / "realhumaneval_chat" / "chat_data.csv.gz"
    project = made(tmp_path / "humaneval", turns, turns)
    rows = workbench(
        "metrics", "--project", project, "--only", "reward_mean", "--by", "model", "--json"
    )
    found = {name: (round(value, 4), n) for name, (value, n) in values(rows, "model").items()}
    assert found == {
        "GPT-4o (chat)": (0.3750, 280),
        "GPT-3.5 (chat)": (0.3672, 305),
        "CodeLlama7b (chat)": (0.3333, 243),
        "CodeLlama34b (chat)": (0.2819, 227),
    }
    (everything,) = workbench("metrics", "--project", project, "--only", "reward_mean", "--json")
    assert round(everything["value"], 4) == 0.3431
    assert everything["n_labelled"] == 1055
