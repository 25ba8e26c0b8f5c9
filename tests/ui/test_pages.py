"""Every page on a full, an unlabelled, an empty and an unbuilt project."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from tests.ui.conftest import ROOT, workbench
from workbench import engine
from workbench.query import open_build
from workbench.ui import data

PAGES = (
    *("overview", "explore", "reliability", "groups", "uncertainty", "raters", "drift"),
    *("record", "sql", "slices", "datasets", "export"),
)
Open = Callable[..., AppTest]


def page_path(name: str) -> str:
    return str(ROOT / "workbench" / "ui" / "pages" / f"{name}.py")


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Open:
    def start(project: Path, page: str = "overview", **params: Any) -> AppTest:
        monkeypatch.setitem(os.environ, "WORKBENCH_PROJECT", str(project))
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        for name, value in params.items():
            app.query_params[name] = value
        app.run()
        return app if page == "overview" else go(app, page)

    return start


def go(app: AppTest, page: str) -> AppTest:
    app.switch_page(page_path(page)).run()
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    kinds = (app.title, app.header, app.subheader, app.markdown, app.caption, app.info)
    more = (app.warning, app.error, app.success)
    return "\n".join(str(element.value) for kind in (*kinds, *more) for element in kind)


def metric(app: AppTest, label: str) -> str:
    return next(str(card.value) for card in app.metric if card.label == label)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_of_the_demo_shows_no_error(open_page: Open, demo: Path, page: str) -> None:
    app = open_page(demo, page)
    assert not app.exception
    assert not app.error
    assert "inferences" in texts(app)
    assert open_build(demo).id in texts(app)


@pytest.mark.parametrize("page", PAGES)
def test_a_project_without_build_says_what_to_type(
    open_page: Open, tmp_path: Path, page: str
) -> None:
    app = open_page(tmp_path, page)
    assert [title.value for title in app.title] == ["No build yet"]
    said = "\n".join(block.value for block in app.code)
    assert "workbench demo" in said
    assert "workbench build" in said


@pytest.mark.parametrize("page", PAGES)
def test_pages_without_rows_or_labels_explain_themselves(
    open_page: Open, without_rows: Path, unlabelled: Path, page: str
) -> None:
    for project in (without_rows, unlabelled):
        app = open_page(project, page)
        assert not app.exception
        assert not app.error


def test_no_labels_is_said_and_undefined_is_not_zero(open_page: Open, unlabelled: Path) -> None:
    app = open_page(unlabelled)
    assert metric(app, "Accuracy") == "not defined"
    assert metric(app, "Label coverage") == "0.0%"
    assert "none of them has a label" in texts(app)
    assert "no labelled rows" in texts(app)
    assert "none of them has a label" in texts(go(app, "explore"))


def test_no_rows_offers_to_clear_the_filters(open_page: Open, demo: Path) -> None:
    app = open_page(demo, "explore", where="latency_ms < -1")
    assert "No rows match" in texts(app)
    app.button(key="clear-empty").click().run()
    assert app.text_input(key="where").value == ""
    assert "3,000 rows behind the chart" in texts(app)


def test_few_labels_are_warned_about(open_page: Open, demo: Path) -> None:
    app = open_page(demo, "explore", where="label IS NULL OR request_id < '02'")
    assert "labelled rows: with fewer than 30" in texts(app)


def test_the_overview_agrees_with_the_command_line(open_page: Open, demo: Path) -> None:
    status = json.loads(workbench("status", "--project", str(demo), "--json"))
    app = open_page(demo)
    assert f"{status['received']:,} feedback events" in texts(app)
    measured = json.loads(
        workbench("metrics", "--project", str(demo), "--json", "--only", "accuracy")
    )
    assert metric(app, "Accuracy") == f"{measured[0]['value']:.1%}"
    stages = dict(data.ledger(open_build(demo), "feedback"))
    assert stages["received"] == sum(n for name, n in stages.items() if name != "received")


def test_bars_add_up_to_the_card_and_rows_to_the_header(open_page: Open, demo: Path) -> None:
    with open_build(demo) as build:
        for by in ("model_version", "features.language", '"user".tier'):
            whole = data.measured(build, ("accuracy",), None)[0]
            bars = data.measured(build, ("accuracy",), None, by)
            groups = data.groups(build, None, by)
            assert sum(bar["n"] for bar in bars) == whole["n"]
            assert sum(n for _, n in groups) == 3000
            assert {bar["group"] for bar in bars} == {name for name, _ in groups}
            for name, n in groups:
                where = data.in_group(by, name)
                assert build.count(f"SELECT 1 AS x FROM enriched_inferences WHERE {where}") == n
        bins = data.calibration(build, None)
        assert sum(row["n"] for row in bins) == data.measured(build, ("ece",), None)[0]["n"]


def test_a_group_chosen_by_keyboard_shows_its_rows(open_page: Open, demo: Path) -> None:
    app = open_page(demo, "explore")
    app.selectbox(key="by").set_value("features.language").run()
    app.selectbox(key="group").set_value("de").run()
    with open_build(demo) as build:
        n = dict(data.groups(build, None, "features.language"))["de"]
    assert f"{n:,} rows behind features.language = de" in texts(app)
    app.selectbox(key="by").set_value("model_version").run()
    assert "3,000 rows behind the chart" in texts(app)


def test_a_link_restores_the_view(open_page: Open, demo: Path) -> None:
    app = open_page(demo, "explore", model=["v3"], chart="calibration", where="latency_ms > 0")
    assert app.multiselect(key="model").value == ["v3"]
    assert app.text_input(key="where").value == "latency_ms > 0"
    assert "Calibration over" in texts(app)


def test_filters_survive_a_tour_of_the_pages(open_page: Open, demo: Path) -> None:
    app = open_page(demo, "explore")
    app.multiselect(key="model").set_value(["v2"]).run()
    app.text_input(key="where").set_value("latency_ms > 10").run()
    app.selectbox(key="by").set_value("features.language").run()
    for page in ("overview", "sql", "record", "export", "explore"):
        go(app, page)
    assert app.multiselect(key="model").value == ["v2"]
    assert app.text_input(key="where").value == "latency_ms > 10"
    assert app.selectbox(key="by").value == "features.language"


@pytest.mark.parametrize(
    "where",
    [
        "latency_ms >",
        "no_such_column > 1",
        "1; DROP TABLE x",
        "true) OR (true",
        "'; --",
        "request_id",
    ],
)
@pytest.mark.parametrize("page", ["explore", "export"])
def test_a_wrong_condition_is_explained(open_page: Open, demo: Path, where: str, page: str) -> None:
    app = open_page(demo, page, where=where)
    assert not app.exception
    assert len(app.error) == 1


def test_hostile_parameters_do_no_harm(open_page: Open, demo: Path) -> None:
    app = open_page(
        demo, "explore", model=["v1' OR 1=1 --"], by="1) FROM x; --", group="'", metric="nope"
    )
    assert not app.exception


def test_a_record_is_opened_whole(open_page: Open, demo: Path) -> None:
    with open_build(demo) as build:
        key = build.arrow(
            "SELECT request_id FROM credits GROUP BY 1 HAVING count(*) > 1 ORDER BY 1 LIMIT 1"
        )["request_id"][0].as_py()
        n = build.count(f"SELECT 1 AS x FROM credits WHERE request_id = '{key}'")
        raw = build.arrow(
            "SELECT raw FROM credits JOIN feedback USING (feedback_id) "
            f"WHERE credits.request_id = '{key}'"
        )["raw"].to_pylist()
    app = open_page(demo, "record", request=key)
    headings = [heading.value for heading in app.subheader]
    assert {"Input", "Output", "Features"} <= set(headings)
    with open_build(demo) as build:
        reports = build.manifest["status"]["contexts"]
        told = build.arrow(
            f"FROM narrow.contexts WHERE request_id = {engine.literal(key)}"
        ).to_pylist()[0]
    captions = "\n".join(caption.value for caption in app.caption)
    for name, report in reports.items():
        assert f"Context: {name}" in headings
        assert ", ".join(report["source"]) in captions
        if told[f"{name}__reason"] is not None:
            assert f"(`{told[f'{name}__reason']}`)" in captions
    assert " before" in captions
    assert f"{n} feedback events" in headings
    assert set(raw) <= {block.value for block in app.code}
    app = open_page(demo, "record", request="nobody")
    assert "no inference 'nobody'" in texts(app)


def run_sql(app: AppTest, sql: str) -> AppTest:
    app.text_area(key="q").set_value(sql)
    next(button for button in app.button if button.label == "Run").click().run()
    assert not app.exception
    return app


def test_sql_runs_cuts_explains_and_refuses(open_page: Open, demo: Path) -> None:
    app = run_sql(open_page(demo, "sql"), "SELECT request_id FROM inferences -- all of them")
    assert "The first 1,000 rows" in texts(app)
    assert len(app.dataframe[-1].value) == 1000
    run_sql(app, "SELECT count(*) AS n FROM inferences")
    assert "1 row in" in texts(app)
    run_sql(app, "SELECT confidense FROM enriched_inferences")
    assert "confidense" in app.error[0].value
    run_sql(app, "DROP TABLE inferences")
    assert "DROP is not allowed" in app.error[0].value
    app.toggle(key="explain").set_value(True)
    run_sql(app, "SELECT count(*) FROM inferences")
    assert any("SCAN" in block.value for block in app.code)


def test_sql_times_out_in_plain_words(open_page: Open, demo: Path) -> None:
    app = open_page(demo, "sql")
    app.number_input(key="seconds").set_value(1)
    run_sql(
        app, "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = 7"
    )
    assert "ran longer than 1 s" in app.error[0].value


def test_a_preview_runs_at_once(open_page: Open, demo: Path) -> None:
    app = open_page(demo, "sql")
    app.button(key="preview-quarantine").click().run()
    assert not app.exception
    assert "FROM quarantine" in app.text_area(key="q").value
    assert "20 rows" in texts(app)


def test_saved_queries_run_on_any_project(demo: Path, unlabelled: Path) -> None:
    saved = data.saved_queries()
    assert len(saved) >= 5
    for project in (demo, unlabelled):
        with open_build(project) as build:
            for title, query in saved.items():
                assert query["about"], title
                rows = build.run(query["sql"]).table.num_rows
                assert rows > 0 or project is unlabelled, title


def test_an_export_holds_what_the_page_counts(open_page: Open, demo: Path) -> None:
    app = open_page(demo, "export", model=["v2"])
    said = next(heading.value for heading in app.header)
    chosen = next(line.value for line in app.caption if line.value.startswith("Slice ")).split()[1]
    next(button for button in app.button if button.label == "Prepare the file").click().run()
    assert not app.exception
    (file,) = (demo / ".workbench" / "exports").rglob(f"*-{chosen}.parquet")
    rows = pq.read_table(file)
    assert said == f"{rows.num_rows:,} rows of enriched_inferences"
    assert set(rows["model_version"].to_pylist()) == {"v2"}
    assert any("--where" in block.value for block in app.code)


def test_a_newer_build_is_offered_and_loaded(open_page: Open, demo: Path, tmp_path: Path) -> None:
    project = tmp_path / "copy"
    shutil.copytree(demo, project)
    app = open_page(project)
    before = open_build(project).id
    workbench("build", "--project", str(project), "--as-of", "2026-03-15")
    after = open_build(project).id
    assert after != before
    app.run()
    assert f"A newer build, `{after}`" in texts(app)
    assert before in app.caption[-1].value
    next(button for button in app.button if button.label == "Load it").click().run()
    assert after in app.caption[-1].value
    assert "newer build" not in texts(app)


def test_session_state_stays_small(open_page: Open, demo: Path) -> None:
    app = open_page(demo, "explore")
    for page in PAGES:
        go(app, page)
    assert len(repr(app.session_state)) < 100_000


def test_pages_are_thin_and_the_script_is_two_lines() -> None:
    for name in PAGES:
        assert len(Path(page_path(name)).read_text().splitlines()) <= 60, name
    lines = [line for line in (ROOT / "app.py").read_text().splitlines() if line]
    assert lines[1:] == ["from workbench.ui.shell import run", "run()"]
