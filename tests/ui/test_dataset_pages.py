"""Slices and Datasets: what the pages count is what is compiled, kept and taken away."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from tests.ui.conftest import ROOT
from tests.ui.test_pages import Open, go, page_path, texts
from workbench import charts
from workbench.datasets import Slice
from workbench.datasets.compile import compile_dataset
from workbench.datasets.slices import load_slice, save_slice
from workbench.datasets.split import parse_split
from workbench.datasets.versions import diff
from workbench.formats import formats
from workbench.ui import data_datasets
from workbench.ui.parts import datasets, drafts

WHOLE = Slice(
    where="model_version = 'v2' AND latency_ms > 1 -- fast ones are cached",
    columns=("latency_ms",),
    limit=60,
    sampler="uncertainty(score='entropy', power=2.0)",
    seed=7,
    tokens=9000,
    target="label",
    clean=("exact_duplicates", "near_duplicates(threshold=0.9)"),
    split=parse_split("user_id: train=0.75, test=0.25"),
)


@pytest.fixture(scope="module")
def project(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the demo with a dataset of two versions, of which the first lacks a model."""
    folder = tmp_path_factory.mktemp("datasets") / "demo"
    shutil.copytree(demo, folder)
    by_time = parse_split("time: train=0.8, test=0.2")
    by_user = parse_split("user_id: train=0.8, test=0.2")
    old = Slice(where="model_version <> 'v3'", split=by_time)
    compile_dataset(folder, "thumbs", old, "kto", tags=("first",))
    compile_dataset(folder, "thumbs", Slice(split=by_user), "kto")
    return folder


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open a page by its link, without the overview before it."""

    def start(project: Path, page: str, **params: Any) -> AppTest:
        monkeypatch.setitem(os.environ, "WORKBENCH_PROJECT", str(project))
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        for name, value in params.items():
            app.query_params[name] = value
        app.switch_page(page_path(page)).run()
        assert not app.exception
        return app

    return start


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception
    return app


def slice_id(app: AppTest) -> str:
    found = re.search(r"slice ([0-9a-f]{12}) of build", texts(app))
    assert found, texts(app)
    return found[1]


def test_a_saved_slice_comes_back_as_it_was(open_page: Open, project: Path) -> None:
    save_slice(project, "whole", WHOLE, force=True)
    app = open_page(project, "slices", model=["v1"])
    assert slice_id(app) != WHOLE.id
    app.selectbox(key="saved-slice").set_value("whole").run()
    press(app, "Load")
    assert not [error.value for error in app.error]
    assert slice_id(app) == WHOLE.id
    app.text_input(key="slice-name").set_value("again")
    press(app, "Save")
    assert load_slice(project, "again") == WHOLE
    press(app, "Save")
    assert "There is a slice 'again' already" in app.error[0].value


def test_a_link_says_the_whole_slice(open_page: Open, project: Path) -> None:
    params = WHOLE.to_params()
    for name in ("clean", "columns"):
        params[name] = json.loads(params[name])
    params["splits"] = params.pop("split")
    app = open_page(project, "slices", training="kto(style='text')", **params)
    assert not [error.value for error in app.error]
    assert slice_id(app) == WHOLE.id
    go(app, "sql")
    go(app, "slices")
    assert slice_id(app) == WHOLE.id
    assert app.selectbox(key="training").value == "kto(style='text')"


def test_settings_are_written_into_the_sampler(open_page: Open, project: Path) -> None:
    app = open_page(project, "slices", sampler="uncertainty", limit="50")
    app.selectbox(key="sampler-uncertainty-score").set_value("entropy").run()
    app.number_input(key="sampler-uncertainty-power").set_value(2.0).run()
    assert not app.exception
    assert app.selectbox(key="sampler").value == "uncertainty(score='entropy', power=2.0)"
    assert slice_id(app) == Slice(limit=50, sampler=app.selectbox(key="sampler").value).id


def test_what_is_counted_is_what_is_compiled(open_page: Open, project: Path) -> None:
    app = open_page(
        project, "slices", model=["v2"], limit="150", splits="user_id: train=0.8, test=0.2"
    )
    heading = next(h.value for h in app.header if h.value.endswith("examples"))
    app.text_input(key="dataset-name").set_value("some")
    press(app, "Compile")
    assert not [error.value for error in app.error]
    manifest = data_datasets.dataset("some").manifest()
    assert heading == "150 examples" == f"{manifest['rows']} examples"
    assert manifest["slice_id"] == slice_id(app)
    assert drafts.stages(manifest["funnel"])[-1][1] == manifest["rows"]
    assert "some v1.0: 150 examples" in texts(app)
    for row in manifest["counts"]["split"]:
        assert f"{row['value']} {row['rows']}" in texts(app)
    press(app, "Compile")
    assert "some v1.1: 150 examples" in texts(app)


@pytest.mark.parametrize(
    "params",
    [
        {"sampler": "uncertanty"},
        {"sampler": "importance(score='no_such_column')"},
        {"splits": "user_id: train=0.8"},
        {"splits": "no_such_column: train=0.8, test=0.2"},
        {"training": "kto(good='latency_ms >')"},
        {"clean": ["near_duplicates(threshold=7)"]},
        {"columns": ["no_such_column"]},
        {"where": "true) OR (true"},
    ],
    ids=str,
)
def test_a_wrong_slice_is_explained(open_page: Open, project: Path, params: dict[str, str]) -> None:
    app = open_page(project, "slices", **params)
    assert not app.exception
    assert len(app.error) == 1


def test_no_examples_is_no_version(open_page: Open, project: Path) -> None:
    app = open_page(project, "slices", where="label IS NULL")
    assert "Nothing is left to be trained on" in texts(app)
    app.text_input(key="dataset-name").set_value("none")
    press(app, "Compile")
    assert "Nothing is left to be trained on" in app.error[0].value
    assert "none" not in data_datasets.names()


def test_many_rows_are_counted_when_asked(
    open_page: Open, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "LIVE", 3000)
    app = open_page(project, "slices")
    assert any("examples" in heading.value for heading in app.header)
    app.multiselect(key="clean").set_value(["near_duplicates"]).run()
    assert not any("examples" in heading.value for heading in app.header)
    press(app, "Count the examples")
    assert any("examples" in heading.value for heading in app.header)
    app.number_input(key="seed").set_value(3).run()
    assert not any("examples" in heading.value for heading in app.header)


def test_no_dataset_yet_says_where_to_make_one(open_page: Open, unlabelled: Path) -> None:
    assert "There is no dataset yet" in texts(open_page(unlabelled, "datasets"))


def test_the_card_leaks_and_differences_are_shown(open_page: Open, project: Path) -> None:
    app = open_page(project, "datasets", dataset="thumbs")
    manifest = data_datasets.dataset("thumbs").manifest()
    assert f"{manifest['rows']:,} examples for `kto`" in texts(app)
    assert manifest["content_hash"] in texts(app)
    for leak in manifest["leaks"]:
        assert f"{leak['rows']:,} example" in texts(app)
    assert {leak["kind"] for leak in manifest["leaks"]} >= {"moved"}
    app.segmented_control(key="show").set_value("compare").run()
    assert not app.exception
    found = diff(project, "thumbs@v1.0", "thumbs@v2.0")
    shown = {card.label: card.value for card in app.metric}
    assert shown == {name.capitalize(): f"{found[name]:,}" for name in datasets.CHANGES}
    assert found["test_was_trained"]
    assert f"{found['test_was_trained']} examples that v2.0 tests on were trained on" in texts(app)


def test_choices_that_are_gone_are_replaced(open_page: Open, project: Path) -> None:
    compile_dataset(project, "other", Slice(limit=20), "kto")
    app = open_page(project, "datasets", dataset="thumbs", version="v2.0", show="compare")
    app.selectbox(key="against").set_value("v1.0").run()
    app.selectbox(key="version").set_value("v1.0").run()
    assert not app.exception
    assert app.selectbox(key="against").value == "v2.0"
    app.selectbox(key="version").set_value("v2.0").run()
    app.selectbox(key="dataset").set_value("other").run()
    assert not app.exception
    assert "other v1.0" in texts(app)
    assert "no other version" in texts(app)


def test_its_slice_is_opened_again(open_page: Open, project: Path) -> None:
    app = open_page(project, "slices", of="thumbs@first")
    made = data_datasets.dataset("thumbs").manifest("first")
    assert slice_id(app) == made["slice_id"]
    app.number_input(key="limit").set_value(9).run()
    assert slice_id(app) != made["slice_id"]
    assert app.text_input(key="where").value == "model_version <> 'v3'"
    assert "no dataset 'nothing'" in texts(open_page(project, "slices", of="nothing@v1.0"))


@pytest.mark.parametrize("fmt", [name for name in formats.names() if not formats.get(name).extra])
def test_a_version_is_taken_away_whole(open_page: Open, project: Path, fmt: str) -> None:
    app = open_page(project, "datasets", dataset="thumbs", show="download", file=fmt)
    press(app, "Prepare the file")
    assert not [error.value for error in app.error]
    rows = data_datasets.dataset("thumbs").manifest("v2.0")["rows"]
    assert f"{rows:,} rows" in app.success[0].value
    if formats.get(fmt).write_folder:
        assert any("exports" in block.value for block in app.code)


def test_only_what_is_new_is_taken_away(open_page: Open, project: Path) -> None:
    app = open_page(project, "datasets", dataset="thumbs", show="download", newer="v1.0")
    press(app, "Prepare the file")
    (file,) = (project / ".workbench" / "exports").rglob("thumbs-v2.0-since-v1.0.parquet")
    changes = pq.read_table(file, columns=["change"])["change"].to_pylist()
    found = diff(project, "thumbs@v1.0", "thumbs@v2.0")
    for change in ("added", "revised", "withdrawn"):
        assert changes.count(change) == found[change]


def test_a_version_with_erased_examples_is_not_offered(open_page: Open, project: Path) -> None:
    manifest = compile_dataset(project, "gone", Slice(limit=20), "kto")
    path = project / ".workbench" / "datasets" / "gone" / "versions" / "v1.0.json"
    path.write_text(json.dumps({**manifest, "erased": 3}))
    app = open_page(project, "datasets", dataset="gone", version="v1.0")
    assert "Every version of gone was withdrawn" in texts(app)
    assert app.dataframe[0].value["withdrawn"].to_list() == ["3 erased"]


def test_a_card_is_no_formula_and_its_code_stays() -> None:
    text = "# a v1\n\n## Costs\n\n$5 and $6\n\n```sql\n# x\nname = '$1$'\n```\n\n### More\n"
    assert datasets.shown(text) == (
        "\n#### Costs\n\n\\$5 and \\$6\n\n```sql\n# x\nname = '$1$'\n```\n\n##### More\n"
    )


def test_shares_are_two_dots_a_line() -> None:
    rows = [
        {"name": "device: mobile", "first": 0.5, "second": 0.3},
        {"name": "device: desktop", "first": 0.5, "second": 0.7},
        {"name": "channel: web", "first": 1.0, "second": 1.0},
    ]
    chart = charts.shares(rows, names=("all", "slice"), what="Share")
    assert [list(trace.x) for trace in chart.figure.data] == [[0.5, 0.5, 1.0], [0.3, 0.7, 1.0]]
    assert len(chart.figure.layout.shapes) == 3
    assert chart.alt.startswith(
        "Share, all and slice. Farthest apart: device: mobile 50.0% and 30.0%; device: desktop"
    )
