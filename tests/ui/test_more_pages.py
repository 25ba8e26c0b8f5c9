"""The pages of calibration, groups, uncertainty and drift: their numbers, marks and advice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.ui.conftest import tiny, workbench
from tests.ui.test_pages import Open, go, metric, open_page, texts
from workbench.query import open_build
from workbench.ui import data_drift, data_groups, data_reliability, data_uncertainty

__all__ = ["open_page"]

PAGES = ("reliability", "groups", "uncertainty", "raters", "drift")


def guides(app: AppTest) -> str:
    return "\n".join(str(line.value) for line in app.markdown)


def measured(project: Path, only: str, *more: str) -> list[dict[str, Any]]:
    printed = workbench("metrics", "--project", str(project), "--json", "--only", only, *more)
    found: list[dict[str, Any]] = json.loads(printed)
    return found


@pytest.fixture(scope="module")
def fitted(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tmp_path_factory.mktemp("fitted") / "demo"
    shutil.copytree(demo, project)
    workbench("fit", "recalibration", "--project", str(project))
    workbench("fit", "propensity", "--project", str(project))
    workbench("build", "--project", str(project))
    return project


@pytest.mark.parametrize("page", PAGES)
def test_charts_can_be_read_checked_and_seen_as_numbers(
    open_page: Open, demo: Path, page: str
) -> None:
    app = open_page(demo, page)
    assert "*What it shows.*" in guides(app)
    assert "*What to do.*" in guides(app)
    assert any("SELECT" in block.value for block in app.code)
    assert app.dataframe


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("where", ["latency_ms >", "true) OR (true", "latency_ms < -1"])
def test_a_wrong_or_empty_condition_is_explained(
    open_page: Open, demo: Path, where: str, page: str
) -> None:
    app = open_page(demo, page, where=where)
    assert not app.exception
    assert len(app.error) == (0 if "-1" in where else 1)
    assert ("No rows match" in texts(app)) is ("-1" in where)


def test_reliability_agrees_with_the_command_line(open_page: Open, demo: Path) -> None:
    app = open_page(demo, "reliability", bins="15", rule="equal_mass")
    (ece,) = measured(demo, "ece(bins=15, bin_rule='equal_mass')")
    assert metric(app, "Calibration error") == f"{ece['value']:.3f}"
    assert "chance alone" in texts(app)
    assert "workbench fit recalibration" in texts(app)


def test_a_bin_chosen_by_keyboard_shows_its_rows(open_page: Open, demo: Path) -> None:
    app = open_page(demo, "reliability")
    app.selectbox(key="split").set_value("model_version").run()
    with open_build(demo) as build:
        row = data_reliability.bins_of(build, 10, "numpy", "model_version", None).rows[7]
    app.selectbox(key="bin").set_value(row["mark"]).run()
    assert not app.exception
    assert f"{row['n']:,} rows of bin {row['mark']}" in texts(app)
    app.selectbox(key="panel").set_value("v2").run()
    assert "Calibration over" in texts(app)


def test_recalibration_is_shown_before_and_after(open_page: Open, fitted: Path) -> None:
    app = open_page(fitted, "reliability")
    printed = workbench("metrics", "--project", str(fitted), "--json", "--calibrated")
    rows = {(r["metric"], r["probability"]): r["value"] for r in json.loads(printed)}
    said = texts(app)
    assert f"ece as it is {rows['ece', 'calibration_p']:.3f}" in said
    assert f"ece recalibrated {rows['ece', 'calibrated_p']:.3f}" in said
    assert "workbench fit recalibration" not in said
    with open_build(fitted) as build:
        row = data_reliability.corrected_bins(build, 10, "numpy", None).rows[-1]
    assert row["series"] == "recalibrated"
    app.selectbox(key="fixed").set_value(row["group"]).run()
    assert f"{row['n']:,} rows of bin {row['group']}" in texts(app)


def test_groups_agree_with_the_command_line(open_page: Open, demo: Path) -> None:
    app = open_page(demo, "groups", metric="true_positive_rate", by="features.language")
    printed = workbench(
        *("metrics", "--project", str(demo), "--json", "--disparities"),
        *("--by", "features.language", "--only", "true_positive_rate"),
    )
    (row,) = json.loads(printed)
    assert f"is {row['difference']:.3f}" in texts(app)
    assert f"after {row['comparisons']} comparisons" in texts(app)
    assert "workbench fit propensity" in texts(app)
    app.selectbox(key="pair").set_value("true_positive_rate").run()
    assert not app.exception
    (low,), (high,) = row["lowest"].values(), row["highest"].values()
    assert f"rows of {low} and {high}" in texts(app)


def test_small_groups_are_hidden_and_said_to_be(open_page: Open, demo: Path) -> None:
    app = open_page(demo, "groups", by="features.language", by2="device", least="200")
    assert "hidden" in texts(app)
    with open_build(demo) as build:
        by = ("features.language", "device")
        rows = data_groups.by_groups(build, "accuracy", by, None, 200)
    shown = [row["group"] for row in rows if row["reason"] is None]
    assert list(app.selectbox(key="cell").options) == shown


def test_observed_and_reweighted_stand_side_by_side(open_page: Open, fitted: Path) -> None:
    app = open_page(fitted, "groups")
    assert "accuracy reweighted" in texts(app)
    with open_build(fitted) as build:
        rows = data_groups.reweighted(build, None)
    assert {row["series"] for row in rows} == {"observed", "reweighted"}
    (observed,) = measured(fitted, "accuracy")
    assert rows[0]["value"] == observed["value"]


def test_a_tenth_chosen_by_keyboard_shows_its_rows(open_page: Open, demo: Path) -> None:
    app = open_page(demo, "uncertainty", doubt="entropy", tenth="1")
    app.selectbox(key="range").set_value("19").run()
    assert not app.exception
    with open_build(demo) as build:
        tenth = data_uncertainty.error_rates(build, "entropy", None).rows[0]
    assert f"{tenth['n']:,} rows of tenth 1" in texts(app)
    assert "rows with entropy" in texts(app)


def test_an_alert_is_shown_with_its_rows(open_page: Open, demo: Path) -> None:
    app = open_page(demo, "drift", column="score", every="day")
    assert "went beyond the threshold" in texts(app)
    assert "cannot see it: only labels can" in texts(app)
    with open_build(demo) as build:
        rows = data_drift.followed(build, ("score",), "day", None, (), None)
    alert = next(row for row in rows if row["alert"])
    app.selectbox(key="chunk").set_value(f"{alert['from']:%Y-%m-%d}").run()
    assert f"{alert['n']:,} rows of chunk {alert['from']:%Y-%m-%d}" in texts(app)


def test_too_few_chunks_have_no_threshold(open_page: Open, demo: Path) -> None:
    app = open_page(demo, "drift", every="month")
    assert "no threshold and no alert" in texts(app)
    app = open_page(demo, "drift", every="fortnight")
    assert "no chunks of 'fortnight'" in app.error[0].value


def test_chunks_of_rows_need_no_clock(open_page: Open, tmp_path: Path) -> None:
    project = tiny(tmp_path / "timeless", 5, clock=False)
    app = open_page(project, "drift", every="2")
    assert not app.exception
    assert not app.error
    assert "No inference has a time" in texts(
        go(open_page(project, "drift", every="week"), "drift")
    )


def test_worst_slices_lead_to_their_rows(open_page: Open, demo: Path) -> None:
    app = open_page(demo, "drift", worst="label_coverage", search="true")
    assert not app.exception
    with open_build(demo) as build:
        found = data_drift.slices(build, "label_coverage", None, None)
        assert found.rows
        for row in found.rows:
            where = f"SELECT 1 AS x FROM enriched_inferences WHERE {row['where']}"
            assert build.count(where) == row["n_rows"]
    assert f"{len(found.rows)} named" in texts(app)
    assert found.rows[0]["where"] in {block.value for block in app.code}


def test_a_link_to_rows_is_a_filter_on_any_page(open_page: Open, demo: Path) -> None:
    app = open_page(demo, slice="model_version = 'v2'", group="v1")
    for page in ("export", "explore"):
        go(app, page)
        assert app.text_input(key="where").value == "model_version = 'v2'"
    with open_build(demo) as build:
        n = build.count("SELECT 1 AS x FROM inferences WHERE model_version = 'v2'")
    assert f"{n:,} rows behind the chart" in texts(app)


def test_what_is_missing_is_said_in_words(open_page: Open, unlabelled: Path) -> None:
    for page, said in (
        ("reliability", "No inference has a probability"),
        ("groups", "none of them has a label"),
        ("uncertainty", "No inference has a probability"),
        ("drift", "nothing is promised"),
    ):
        assert said in texts(open_page(unlabelled, page)), page


@pytest.mark.parametrize("page", ["reliability", "groups", "uncertainty", "drift"])
def test_rows_without_labels_are_not_judged(open_page: Open, demo: Path, page: str) -> None:
    app = open_page(demo, page, where="label IS NULL AND reward IS NULL")
    assert not app.exception
    assert not app.error
    said = texts(app)
    if page == "drift":
        assert "cannot see it: only labels can" in said
        assert "bars are 95 % intervals" not in said
    else:
        assert "none of them has a label" in said
    assert ("Distribution of" in said) is (page == "uncertainty")


def test_few_labels_are_warned_about(open_page: Open, demo: Path) -> None:
    app = open_page(demo, "reliability", where="label IS NULL OR request_id < '02'")
    assert "labelled rows: with fewer than 30" in texts(app)
