"""Calibration of public forecasts, out of the command line: what anyone who counts right gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import run

pytestmark = [pytest.mark.real_data, pytest.mark.published]

CIFAR = """
[inferences]
source = "{raw}"
clock = "none"
classes = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
sql = '''
SELECT *, CAST(idx AS VARCHAR) AS request_id, 'vgg' AS model_version,
       [p0, p1, p2, p3, p4, p5, p6, p7, p8, p9] AS probabilities,
       list_max(probabilities) AS confidence,
       CAST(list_position(probabilities, confidence) - 1 AS VARCHAR) AS prediction
FROM source
'''

[feedback]
source = "{raw}"
clock = "none"
sql = '''
SELECT source_file, source_row, CAST(idx AS VARCHAR) AS request_id, 'truth' AS name,
       label AS value
FROM source
'''
[feedback.signals.truth]
kind = "label"
"""

OVER_CLASSES = """
SELECT avg(confidence) AS mean_confidence,
       avg(-ln(probabilities[label_index + 1])) AS nll,
       avg(list_sum([p * p FOR p IN probabilities]) + 1
           - 2 * probabilities[label_index + 1]) AS brier
FROM enriched_inferences
"""

FORECASTS = """
[inferences]
source = "{raw}"
clock = "none"
sql = '''
SELECT CAST(source_row AS VARCHAR) AS request_id, '{name}' AS model_version, {score} AS score
FROM source
'''

[feedback]
source = "{raw}"
clock = "none"
sql = '''
SELECT source_file, source_row, CAST(source_row AS VARCHAR) AS request_id, 'happened' AS name,
       {score}_outcome AS value
FROM source
'''
[feedback.signals.happened]
kind = "binary"
"""


def measured(folder: Path, config: str, *calls: str) -> dict[str, dict[str, Any]]:
    folder.mkdir()
    (folder / "workbench.toml").write_text(config, encoding="utf-8")
    built = run("--project", folder, "build")
    assert built.code == 0, built.err
    only = [part for call in calls for part in ("--only", call)]
    done = run("--project", folder, "metrics", *only, "--json")
    assert done.code == 0, done.err
    return {row["metric"]: row for row in json.loads(done.out)}


def test_vgg_on_cifar(real_data: Path, tmp_path: Path) -> None:
    raw = (real_data / "cifar10_vgg_probs" / "cifar_probs.csv.gz").as_posix()
    wanted = {
        "accuracy": 0.9359,
        "ece(bins=15)": 0.0397801,
        "ece": 0.0399071,
        "ece(bins=15, bin_rule='equal_mass')": 0.0397167,
        "l2_calibration_error(bins=15, bin_rule='ntile')": 0.077682,
    }
    found = measured(tmp_path / "cifar", CIFAR.format(raw=raw), *wanted)
    for call, value in wanted.items():
        assert found[call]["value"] == pytest.approx(value, abs=6e-7), call
        assert found[call]["n"] == 10_000
        assert found[call]["low"] < value < found[call]["high"]
    # Over all classes, and not only the predicted one.
    done = run("--project", tmp_path / "cifar", "sql", OVER_CLASSES, "--format", "json")
    assert done.code == 0, done.err
    (row,) = json.loads(done.out)
    assert row["mean_confidence"] == pytest.approx(0.97557, abs=6e-6)
    assert row["nll"] == pytest.approx(0.257065, abs=1e-6)
    assert row["brier"] == pytest.approx(0.105446, abs=6e-7)


@pytest.mark.parametrize(
    ("name", "file", "score", "n", "brier", "ece"),
    [
        ("nba", "nba_games", "prob1", 8886, 0.214654, 0.04835),
        # Seven of the 1889 games ended in a draw, which is neither outcome: they are refused here.
        ("nfl", "nfl_games", "prob1", 1882, 0.220826, 0.03230),
        ("governors", "governors_elections", "probwin", 19831, 0.039541, 0.03724),
    ],
)
def test_forecasts_of_games_and_elections(
    name: str, file: str, score: str, n: int, brier: float, ece: float,
    real_data: Path, tmp_path: Path,
) -> None:  # fmt: skip
    raw = (real_data / "fivethirtyeight_forecasts" / f"{file}.csv.gz").as_posix()
    config = FORECASTS.format(raw=raw, name=name, score=score)
    found = measured(tmp_path / name, config, "brier_score", "ece(bin_rule='right')")
    got = found["brier_score"], found["ece(bin_rule='right')"]
    assert [row["n"] for row in got] == [n, n]
    assert got[0]["value"] == pytest.approx(brier, abs=6e-7)
    assert got[1]["value"] == pytest.approx(ece, abs=6e-6)


SOFT = """
WITH bins AS (
  SELECT greatest(ceil(10 * score), 1) AS bin, count(*) AS n, avg(score) AS said,
         avg(reward) AS was, sum((score - reward) ** 2) AS squares
  FROM enriched_inferences WHERE reward IS NOT NULL GROUP BY bin
)
SELECT sum(n) AS n, sum(squares) / sum(n) AS brier, sum(n * abs(said - was)) / sum(n) AS ece
FROM bins
"""


def test_a_draw_is_half_of_either_outcome_where_outcomes_are_rated(
    real_data: Path, tmp_path: Path
) -> None:
    raw = (real_data / "fivethirtyeight_forecasts" / "nfl_games.csv.gz").as_posix()
    config = FORECASTS.format(raw=raw, name="nfl", score="prob1")
    rated = config.replace('kind = "binary"', 'kind = "rating"\nscale = [0, 1]')
    measured(tmp_path / "nfl", rated, "brier_score")
    done = run("--project", tmp_path / "nfl", "sql", SOFT, "--format", "json")
    assert done.code == 0, done.err
    (row,) = json.loads(done.out)
    assert row["n"] == 1889
    assert row["brier"] == pytest.approx(0.220106, abs=6e-7)
    assert row["ece"] == pytest.approx(0.03221, abs=6e-6)
