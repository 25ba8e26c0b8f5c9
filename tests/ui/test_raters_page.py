"""The page of raters: its numbers are those of the command line, and its marks lead to rows."""

from __future__ import annotations

import json
from pathlib import Path

from tests.ui.conftest import tiny, workbench
from tests.ui.test_pages import Open, open_page, texts
from workbench import charts
from workbench.query import open_build
from workbench.ui import data_raters

__all__ = ["open_page"]


def test_the_bot_is_named_and_its_answers_are_one_choice_away(open_page: Open, demo: Path) -> None:
    rows = json.loads(workbench("metrics", "--raters", "--json", "--project", str(demo)))
    (bot,) = [row for row in rows if row["flagged"]]
    app = open_page(demo, "raters")
    assert bot["rater_id"] in texts(app)
    assert bot["reason"] in texts(app)
    assert f"{len(rows)} raters with 20 events or more" in texts(app)
    app.selectbox(key="rater").set_value(f"{bot['rater_id']} · {bot['name']}").run()
    assert not app.exception
    with open_build(demo) as build:
        where = data_raters.judged_by([bot["rater_id"]], bot["name"])
        n = build.count(f"SELECT 1 FROM enriched_inferences WHERE {where}")
        events = data_raters.events(build, [bot["rater_id"]], bot["name"], None, 1000)
    assert f"{n:,} rows that {bot['rater_id']} judged ({bot['name']})" in texts(app)
    assert set(events["rater_id"].to_pylist()) == {bot["rater_id"]}
    assert len(set(events["request_id"].to_pylist())) == n


def test_a_pair_shows_what_both_judged(open_page: Open, demo: Path) -> None:
    printed = workbench("metrics", "--agreement", "--json", "--project", str(demo))
    pair = next(row for row in json.loads(printed) if row["metric"] == "cohen_kappa")
    both = [pair["by"]["rater_a"], pair["by"]["rater_b"]]
    app = open_page(demo, "raters")
    app.selectbox(key="signal").set_value(pair["by"]["name"]).run()
    app.selectbox(key="pair").set_value(" · ".join(both)).run()
    assert not app.exception
    said = f"{pair['n']:,} rows that {' and '.join(both)} judged ({pair['by']['name']})"
    assert said in texts(app)


def test_filters_hold_for_raters(open_page: Open, demo: Path) -> None:
    condition = "model_version = 'v1'"
    printed = workbench(
        "metrics", "--raters", "--json", "--project", str(demo), "--where", condition
    )
    rows = json.loads(printed)
    app = open_page(demo, "raters", where=condition)
    assert f"{len(rows)} raters with 20 events or more" in texts(app)
    with open_build(demo) as build:
        events = data_raters.events(
            build, [rows[0]["rater_id"]], rows[0]["name"], condition, 10_000
        )
    assert len(set(events["request_id"].to_pylist())) <= rows[0]["n"]


def test_a_policy_shows_the_labels_that_change(open_page: Open, demo: Path) -> None:
    printed = workbench("metrics", "--policies", "--json", "--project", str(demo))
    rows = {row["policy"]: row for row in json.loads(printed)}
    app = open_page(demo, "raters")
    assert "workbench fit raters" in "\n".join(str(line.value) for line in app.markdown)
    assert f"Of {rows['majority']['n']:,} inferences with deciding feedback" in texts(app)
    app.selectbox(key="policy").set_value("majority").run()
    assert not app.exception
    assert f"{rows['majority']['n_changed']:,} rows with another label under majority" in texts(app)


def test_without_raters_it_says_what_to_map(open_page: Open, tmp_path: Path) -> None:
    app = open_page(tiny(tmp_path / "p", 3), "raters")
    assert "rater_id" in texts(app)
    assert "No inference has a label yet" in texts(app)


def test_pairs_are_squares_that_carry_their_names() -> None:
    rows = [
        {"mark": "a · b", "rater_a": "a", "rater_b": "b", "value": 0.8, "low": 0.7, "high": 0.9,
         "n": 1200},
        {"mark": "a · c", "rater_a": "a", "rater_b": "c", "value": -0.1, "low": None, "high": None,
         "n": 12},
        {"mark": "b · c", "rater_a": "b", "rater_b": "c", "value": None, "low": None, "high": None,
         "n": 30},
    ]  # fmt: skip
    chart = charts.kappas(rows, signal="thumb")
    (squares,) = chart.figure.data
    assert [mark[0] for mark in squares.customdata] == ["a · b", "a · c"]
    assert list(squares.marker.color) == [0.8, -0.1]
    assert squares.marker.cmin == -0.1
    assert chart.alt == (
        "Cohen's kappa on thumb, 2 pairs of raters: from -0.10 for a · c (n = 12) "
        "to 0.80 for a · b (n = 1,200)."
    )
    assert "no two raters" in charts.kappas(rows[2:], signal="thumb").alt
