"""Figures are functions of small tables: the marks, their groups, and the sentence."""

from __future__ import annotations

import re

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
