"""Drift of two public data sets, as NannyML prints it, out of the command line."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

import workbench
from tests.cli.conftest import run

pytestmark = [pytest.mark.real_data, pytest.mark.published]

EMPLOYMENT_FEATURES = (
    "AGEP", "SCHL", "MAR", "RELP", "DIS", "ESP", "CIT", "MIG", "MIL", "ANC", "NATIVITY", "DEAR",
    "DEYE", "DREM", "SEX", "RAC1P",
)  # fmt: skip
CALIFORNIA_KS = {
    "Longitude": 0.712709,
    "Latitude": 0.672904,
    "HouseAge": 0.201638,
    "MedInc": 0.154952,
    "AveOccup": 0.143890,
    "AveRooms": 0.129277,
    "AveBedrms": 0.089140,
    "Population": 0.073562,
}


def project(folder: Path, config: str) -> Path:
    folder.mkdir()
    (folder / "workbench.toml").write_text(config, encoding="utf-8")
    workbench.open(folder).build()
    return folder


def ask(folder: Path, *options: str) -> list[dict[str, Any]]:
    done = run("--project", folder, "metrics", *options, "--json")
    assert done.code == 0, done.err
    rows: list[dict[str, Any]] = json.loads(done.out)
    return rows


def measured(folder: Path, only: str, *options: str) -> list[float]:
    return [row["value"] for row in ask(folder, "--only", only, *options)]


@pytest.fixture(scope="module")
def employment(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows have no time but the year: chunks are in the order of the log."""
    raw = (real_data / "nannyml_employment").as_posix()
    features = "\n".join(
        f'{name} = "{"DOUBLE" if name == "AGEP" else "VARCHAR"}"' for name in EMPLOYMENT_FEATURES
    )
    return project(
        tmp_path_factory.mktemp("employment") / "project",
        f"""
        [inferences]
        source = ["{raw}/reference.parquet", "{raw}/analysis.parquet"]
        clock = "none"
        positive_class = "1"
        [inferences.columns]
        request_id = "id"
        model_version = "'ma'"
        prediction = "prediction"
        score = "predicted_probability"
        cohort = "year"
        [inferences.features]
        {features}

        [feedback]
        source = ["{raw}/reference.parquet", "{raw}/analysis_target.parquet"]
        clock = "none"
        sql = '''
        SELECT source_file, source_row, id AS request_id, 'employed' AS name, employed AS value
        FROM source
        '''
        [feedback.signals.employed]
        kind = "label"
        """,
    )


@pytest.fixture(scope="module")
def california(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = (real_data / "nannyml_california").as_posix()
    features = "\n".join(f'{name} = "DOUBLE"' for name in CALIFORNIA_KS)
    return project(
        tmp_path_factory.mktemp("california") / "project",
        f"""
        [inferences]
        source = ["{raw}/reference.csv.gz", "{raw}/analysis.csv.gz"]
        positive_class = "1"
        [inferences.columns]
        request_id = "id"
        ts = "timestamp"
        model_version = "'california'"
        prediction = "y_pred"
        score = "y_pred_proba"
        [inferences.features]
        {features}

        [feedback]
        source = ["{raw}/reference.csv.gz", "{raw}/analysis_targets.csv"]
        clock = "none"
        sql = '''
        SELECT source_file, source_row, id AS request_id, 'target' AS name, clf_target AS value
        FROM source
        '''
        [feedback.signals.target]
        kind = "label"
        """,
    )


def test_employment_alerts_are_those_of_nannyml(employment: Path) -> None:
    columns = ("ANC", "AGEP", "RELP", "MAR", "DREM")
    wanted = [option for name in columns for option in ("--by-column", f"features.{name}")]
    rows = ask(employment, "--drift", "--every", "5000", "--reference", "cohort = '2015'", *wanted)
    chunks = [row for row in rows if row["column"] == "features.ANC"]
    assert [row["period"] for row in chunks] == ["reference"] * 14 + ["analysis"] * 42
    assert [row["n"] for row in chunks if not row["whole"]] == [3785, 3892]
    alerts = Counter(row["column"] for row in rows if row["alert"] and row["period"] == "analysis")
    assert alerts == {
        "features.ANC": 37,
        "features.AGEP": 29,
        "features.RELP": 28,
        "features.MAR": 28,
        "features.DREM": 28,
    }


def test_employment_accuracy_by_year_and_what_was_expected_of_it(employment: Path) -> None:
    by_year = ask(employment, "--only", "accuracy", "--by", "cohort", "--where", "cohort > '2015'")
    assert [round(row["value"], 6) for row in by_year] == [0.825333, 0.829166, 0.828221]
    rows = ask(
        employment, "--drift", "--every", "5000", "--reference", "cohort = '2015'",
        "--by-column", "expected",
    )  # fmt: skip
    chunks = [
        row for row in rows if row["column"] == "expected_accuracy" and row["period"] == "analysis"
    ]
    assert len(chunks) == 42
    assert sum(row["n"] for row in chunks) == 208_892
    assert fmean(abs(row["value"] - row["measured"]) for row in chunks) < 0.0056
    # The metric believes the scores as they are.
    plain = workbench.open(employment).sql(
        "SELECT avg(gap) FROM (SELECT chunk, abs(avg(CASE WHEN selected THEN score ELSE 1 - score "
        "END) - avg(correct::DOUBLE)) AS gap FROM (SELECT *, (row_number() OVER (ORDER BY "
        "request_id::BIGINT) - 1) // 5000 AS chunk FROM enriched_inferences "
        "WHERE cohort > '2015') GROUP BY chunk)"
    )
    assert round(plain.table.to_pylist()[0].popitem()[1], 4) == 0.0056
    (expected,) = measured(employment, "expected_accuracy")
    (accuracy,) = measured(employment, "accuracy")
    assert math.isclose(expected, accuracy, abs_tol=0.01)


def test_california_moved_most_where_the_houses_are(california: Path) -> None:
    wanted = [option for name in CALIFORNIA_KS for option in ("--by-column", f"features.{name}")]
    rows = ask(
        california, "--drift", "--every", "month", "--method", "ks",
        "--reference", "ts < '2021-06-01'", *wanted,
    )  # fmt: skip
    found = {
        name: round(fmean(row["value"] for row in rows if row["column"] == f"features.{name}"), 6)
        for name in CALIFORNIA_KS
    }
    assert found == CALIFORNIA_KS


def test_california_scores_are_worse_after_the_reference(california: Path) -> None:
    before, after = "ts < '2021-06-01'", "ts >= '2021-06-01'"
    assert round(measured(california, "brier_score", "--where", before)[0], 4) == 0.1289
    brier, ece = measured(california, "brier_score,ece(bins=10)", "--where", after)
    assert (round(brier, 4), round(ece, 4)) == (0.1883, 0.1540)
