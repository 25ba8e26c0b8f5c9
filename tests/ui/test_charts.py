"""Figures are functions of small tables: the marks, their groups, and the sentence."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from tests.ui.conftest import ROOT
from workbench import charts
from workbench.ui.parts import words

ROWS = [
    {"group": "v1", "value": 0.5, "low": 0.4, "high": 0.6, "n": 100},
    {"group": None, "value": None, "low": None, "high": None, "n": 0},
    {"group": "v2", "value": 0.8, "low": 0.7, "high": 0.85, "n": 1200},
]


def test_bars_carry_groups_intervals_and_n() -> None:
    chart = charts.metric_by_group(ROWS, metric="accuracy", by="model_version", percent=True)
    (bar,) = chart.figure.data
    assert [mark[0] for mark in bar.customdata] == ["v1", "(none)", "v2"]
    assert list(bar.y) == [0.5, None, 0.8]
    assert [round(value, 2) for value in bar.error_y.array] == [0.1, 0.0, 0.05]
    assert [round(value, 2) for value in bar.error_y.arrayminus] == [0.1, 0.0, 0.1]
    assert "n = 1,200" in bar.x[2]
    assert chart.alt == (
        "accuracy by model_version, 3 groups: from 50.0% for v1 (n = 100) "
        "to 80.0% for v2 (n = 1,200)."
    )
    assert chart.figure.layout.yaxis.rangemode == "tozero"


def test_undefined_everywhere_is_said() -> None:
    chart = charts.metric_by_group(ROWS[1:2], metric="ece", by="x", percent=False)
    assert chart.alt == "ece by x: not defined for any of 1 groups."


def test_calibration_names_the_worst_bin_with_enough_rows() -> None:
    rows = [
        {"group": "0", "predicted": 0.05, "observed": 0.9, "low": 0.1, "high": 1.0, "n": 3},
        {"group": "8", "predicted": 0.84, "observed": 0.71, "low": 0.6, "high": 0.8, "n": 412},
    ]
    chart = charts.calibration(rows)
    assert "predicts 0.84 and 0.71 is observed (n = 412), overconfident by 0.13" in chart.alt
    marks = chart.figure.data[1]
    assert list(marks.marker.symbol) == ["circle-open", "circle"]
    assert chart.figure.layout.xaxis.range == chart.figure.layout.yaxis.range
    assert "no labelled rows" in charts.calibration([]).alt


def test_the_funnel_and_the_counts() -> None:
    ledger = {"received": 10, "invalid": 1, "duplicate": 2, "spam": 0, "orphan": 3, "attributed": 4}
    stages = words.stages(ledger)
    assert [n for _, n in stages] == [10, 9, 7, 7, 4]
    assert "received 10, valid 9, not a repeat 7" in charts.funnel(stages).alt
    assert charts.funnel([]).alt
    chart = charts.counts([("a", 1), ("b", 5)], what="Refused rows")
    assert list(chart.figure.data[0].y) == ["a", "b"]
    assert "most often b (5)" in chart.alt


def test_an_undefined_metric_is_explained_in_words() -> None:
    row = {"metric": "accuracy", "value": None, "low": None, "high": None, "n": 0}
    row |= {"n_labelled": 0, "reason": "empty"}
    assert words.number("accuracy", None) == "not defined"
    assert words.interval(row) == "no labelled rows (0 labelled)"


def contrast(one: str, other: str) -> float:
    """WCAG contrast ratio of two colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_colours_have_enough_contrast_in_both_themes() -> None:
    text = (ROOT / ".streamlit" / "config.toml").read_text()
    for name in ("light", "dark"):
        section = re.search(rf"\[theme\.{name}\](.*?)(?=\n\[theme|\Z)", text, re.DOTALL)
        assert section
        background = re.search(r'backgroundColor = "(#\w+)"', section[1])
        listed = re.search(r"chartCategoricalColors = \[(.*?)\]", section[1], re.DOTALL)
        written = re.search(r'textColor = "(#\w+)"', section[1])
        assert background
        assert listed
        assert written
        colours = re.findall(r"#\w{6}", listed[1])
        assert len(colours) == 10, "with fewer, Plotly ignores them all"
        assert min(contrast(colour, background[1]) for colour in colours) >= 3
        assert contrast(written[1], background[1]) >= 7


def test_panels_have_a_diagram_for_each_group_on_common_axes() -> None:
    rows = [
        {"panel": group, "group": f"{group} · {bin_}", "predicted": bin_ / 10, "observed": seen}
        | {"low": seen - 0.1, "high": seen + 0.1, "n": 40}
        for group, seen in (("v1", 0.2), (None, 0.6))
        for bin_ in (1, 2)
    ]
    chart = charts.panels(rows, by="model_version")
    marks = [trace for trace in chart.figure.data if trace.mode == "markers"]
    assert [trace.name for trace in marks] == ["v1", "(none)"]
    assert marks[0].customdata[0][0] == "v1 · 1"
    assert {axis.range for axis in chart.figure.select_xaxes()} == {(-0.02, 1.02)}
    assert "v1 -0.10, (none) -0.50" in chart.alt
    assert charts.panels([], by="x").alt


def test_a_second_series_of_bins_is_told_apart() -> None:
    row = {"group": "0", "predicted": 0.8, "observed": 0.6, "low": 0.5, "high": 0.7, "n": 50}
    rows = [{**row, "series": "as it is"}, {**row, "predicted": 0.62, "series": "recalibrated"}]
    chart = charts.calibration(rows)
    assert [trace.name for trace in chart.figure.data[1:]] == ["as it is", "recalibrated"]
    assert "as it is, over 1 bins" in chart.alt
    assert "overconfident by 0.20; recalibrated" in chart.alt


def test_intervals_keep_undefined_values_out() -> None:
    rows = [{**row, "name": row["group"] or "none"} for row in ROWS]
    chart = charts.intervals(rows, what="Accuracy", percent=True, reference=0.5, said="chance")
    (dots,) = chart.figure.data
    assert list(dots.x) == [0.5, 0.8]
    assert chart.figure.layout.yaxis.ticktext == ("v1", "v2")
    assert chart.alt == (
        "Accuracy: v1 50.0% (40.0% to 60.0%); v2 80.0% (70.0% to 85.0%). The line at 0.5 is chance."
    )
    assert "none of 1 values" in charts.intervals(rows[1:2], what="Accuracy").alt


def test_lines_with_scales_of_their_own_say_their_values() -> None:
    sides = (("before", 0.04, 0.02), ("after", 0.03, 0.01))
    rows = [
        {"name": name, "series": series, "value": value * k, "n": 9}
        | {"low": low * k, "high": None if k > 1 else 0.06}
        for name, k in (("ece", 1), ("log_loss", 10))
        for series, value, low in sides
    ]
    chart = charts.intervals(rows, what="Both", own_axes=True)
    before, after = chart.figure.data
    assert [round(x, 6) for x in before.x] == [0.6, 1.0]
    assert list(before.text) == ["0.040", "0.400"]
    assert [round(x, 6) for x in after.error_x.arrayminus] == [0.4, round(0.2 / 0.3, 6)]
    assert "ece before 0.040 (0.020 to 0.060); ece after 0.030 (0.010 to 0.060)" in chart.alt
    assert after.customdata[1][2] == "0.300"


PARTS = [
    {"part": 1, "first": 0.4, "last": 0.5, "left": 0.4, "width": 0.1, "n": 10}
    | {"n_wrong": 4, "n_right": 2, "value": 0.4, "low": 0.2, "high": 0.6},
    {"part": 2, "first": 0.5, "last": 0.6, "left": 0.5, "width": 0.1, "n": 5}
    | {"n_wrong": 0, "n_right": 5, "value": 0.0, "low": 0.0, "high": 0.4},
]


def test_a_distribution_counts_every_row_once() -> None:
    chart = charts.distribution(PARTS, score="entropy")
    heights = {bar.name: list(bar.y) for bar in chart.figure.data}
    assert heights == {"wrong": [4, 0], "right": [2, 5], "not judged": [4, 0]}
    assert {mark[0] for bar in chart.figure.data for mark in bar.customdata} == {"1", "2"}
    assert "15 rows, 11 of them judged" in chart.alt
    assert "no rows" in charts.distribution([], score="entropy").alt


def test_errors_by_tenth_and_errors_found() -> None:
    chart = charts.error_rates(PARTS, score="entropy")
    assert list(chart.figure.data[0].y) == [0.4, 0.0]
    assert "40.0% (20.0% to 60.0%, n = 10) of the least sure tenth" in chart.alt
    rows = [
        {"share": 0.1, "mark": "10%", "value": 0.25, "low": 0.2, "high": 0.3, "n": 100},
        {"share": 0.2, "mark": "20%", "value": None, "low": None, "high": None, "n": 0},
    ]
    chart = charts.captured(rows, score="entropy")
    assert list(chart.figure.data[1].x) == [0.1]
    assert "10% of the answers hold 25.0%" in chart.alt
    assert "not defined" in charts.captured(rows[1:], score="entropy").alt


def chunk(number: int, value: float | None, **more: Any) -> dict[str, Any]:
    row = {"chunk": number, "period": "reference" if number < 2 else "analysis", "n": 10}
    row |= {"from": datetime(2026, 1, 1 + number, tzinfo=UTC), "value": value, "lower": None}
    alert = value is not None and value > 0.5
    return row | {"threshold": 0.5, "alert": alert} | more


def test_drift_marks_alerts_thresholds_and_the_reference() -> None:
    rows = [chunk(0, 0.1), chunk(1, 0.2), chunk(2, 0.7), chunk(3, None)]
    chart = charts.drift(rows, column="score", method="jensen_shannon")
    line, threshold = chart.figure.data
    assert list(line.marker.symbol) == ["circle", "circle", "diamond", "circle"]
    assert [mark[0] for mark in line.customdata] == [f"2026-01-0{i}" for i in (1, 2, 3, 4)]
    assert set(threshold.y) == {0.5}
    (shade,) = chart.figure.layout.shapes
    assert (shade.x0, shade.x1) == (-0.5, 1.5)
    assert "1 alert, not below the threshold of 0.5000 in 2026-01-03" in chart.alt
    bare = [{**row, "threshold": None, "alert": None} for row in rows]
    assert "too few reference chunks" in charts.drift(bare, column="x", method="mean").alt
    assert "no value in any of 1" in charts.drift(rows[3:], column="x", method="mean").alt
    assert charts.chunk_name({"chunk": 7, "from": None}) == "chunk 7"


def test_what_is_promised_stands_beside_what_is_measured() -> None:
    rows = [chunk(0, 0.4, measured=0.3, low=0.2, high=0.5), chunk(2, 0.45, measured=None)]
    promised, measured, _ = charts.drift(rows, column="accuracy", method="cbpe").figure.data
    assert promised.name == "promised"
    assert list(measured.y) == [0.3, None]
    assert [round(x, 6) for x in measured.error_y.array] == [0.2, 0.0]
