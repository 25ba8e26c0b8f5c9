"""Disparities of public predictions, through the command line, against a second computation."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.cli.conftest import run
from workbench import open as open_project

pytestmark = pytest.mark.real_data

CONFIG = """
[project]
name = "employment"
[inferences]
source = "reference.parquet"
sql = "SELECT * FROM source WHERE id % 4 = 0"
clock = "none"
columns = { request_id = "id::VARCHAR", model_version = "'m'", prediction = "prediction::VARCHAR", score = "predicted_probability" }
[inferences.features]
SEX = "VARCHAR"
RAC1P = "VARCHAR"
[feedback]
source = "reference.parquet"
sql = "SELECT id, employed FROM source WHERE id % 4 = 0"
clock = "none"
columns = { request_id = "id::VARCHAR", name = "'employed'", value = "employed::VARCHAR" }
[feedback.signals.employed]
kind = "label"
"""  # noqa: E501


@pytest.fixture(scope="module")
def employment(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("employment")
    (folder / "workbench.toml").write_text(CONFIG)
    os.symlink(real_data / "nannyml_employment/reference.parquet", folder / "reference.parquet")
    open_project(folder).build()
    return folder


def disparities(folder: Path, by: str) -> dict[str, dict[str, Any]]:
    done = run("metrics", "--project", folder, "--disparities", "--by", by, "--json")
    assert done.code == 0, done.err
    return {row["disparity"]: row for row in json.loads(done.out)}


def expected(folder: Path, by: str) -> dict[str, dict[str, float]]:
    rows = duckdb.sql(
        f"""SELECT {by} AS g, avg(prediction) AS demographic_parity,
              avg(prediction) FILTER (employed = 1) AS equal_opportunity,
              avg(prediction) FILTER (employed = 0) AS false_positive_rate,
              avg(employed) FILTER (prediction = 1) AS predictive_parity,
              avg((prediction = employed)::INT) AS accuracy, count(*) AS n
            FROM '{folder}/reference.parquet' WHERE id % 4 = 0 GROUP BY ALL"""
    ).arrow()
    return {row.pop("g"): row for row in rows.read_all().to_pylist()}


def test_of_men_and_women(employment: Path) -> None:
    found, rates = disparities(employment, "features.SEX"), expected(employment, "SEX")
    assert sum(rates[sex]["n"] for sex in rates) > 17_000
    for name in ("demographic_parity", "equal_opportunity", "predictive_parity", "accuracy"):
        row, values = found[name], {sex: rates[sex][name] for sex in rates}
        assert row["difference"] == pytest.approx(max(values.values()) - min(values.values()))
        assert row["ratio"] == pytest.approx(min(values.values()) / max(values.values()))
        assert row["highest"] == {"features.SEX": max(values, key=lambda sex: values[sex])}
        assert row["comparisons"] == 1
        assert row["low"] <= row["difference"] <= row["high"]
    odds = found["equalized_odds"]
    worst = max(
        abs(rates["1"][name] - rates["2"][name])
        for name in ("equal_opportunity", "false_positive_rate")
    )
    assert odds["difference"] == pytest.approx(worst)
    # Both are selected alike, but women wrongly so more often: chance explains only the former.
    assert found["demographic_parity"]["low"] < 0
    assert (odds["metric"], odds["highest"]) == ("false_positive_rate", {"features.SEX": "2"})
    assert odds["adjusted_low"] > 0.03
    assert found["predictive_parity"]["lowest"] == {"features.SEX": "2"}
    assert found["predictive_parity"]["adjusted_low"] > 0.05


def test_groups_of_a_few_people_do_not_set_the_figure(employment: Path) -> None:
    rates = expected(employment, "RAC1P")
    few = {race for race, row in rates.items() if row["n"] < 20}
    assert few
    row = disparities(employment, "features.RAC1P")["demographic_parity"]
    reasons = {g["by"]["features.RAC1P"]: g["reason"] for g in row["groups"]}
    hidden = {race for race, reason in reasons.items() if reason == "suppressed"}
    assert few <= hidden
    assert len(hidden) >= 2
    shown = [rates[race]["demographic_parity"] for race in rates if race not in hidden]
    assert row["difference"] == pytest.approx(max(shown) - min(shown))
