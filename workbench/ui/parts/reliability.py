"""The parts of the Reliability page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from workbench import charts
from workbench.metrics import metrics
from workbench.query import Build
from workbench.ui import data, data_reliability, state
from workbench.ui.parts import words
from workbench.ui.parts.cards import chart_card, metric_row, view_sql
from workbench.ui.parts.controls import BOUND
from workbench.ui.parts.guides import how_to_read
from workbench.ui.parts.rows import mark_choice, rows_behind

ALL = "all"

_DIAGRAM = (
    "Each mark is a bin of probability; its area grows with its rows. On the dashed line, what was "
    "said is what happened; below it the model is overconfident, above it underconfident. A bar "
    "that reaches the line does not contradict it. Click a mark to read its rows."
)


@dataclass(frozen=True)
class Settings:
    """How the diagram is made.

    Attributes
    ----------
    bins, rule
        As those of ``ece``.
    by
        Expression of the groups, or None.
    """

    bins: int
    rule: str
    by: str | None


def settings(source: Build) -> Settings:
    """Draw the choice of bins and groups."""
    rules = metrics.get("ece").params["bin_rule"]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        bins = st.slider("Bins", 2, 50, 10, key="bins", bind=BOUND, width=260)
        rule = st.selectbox(
            "Bin rule",
            rules.choices,
            key="rule",
            bind=BOUND,
            width=180,
            help=f"{rules.about} equal_mass and ntile make bins of equal size.",
        )
        by = st.selectbox(
            "By",
            data.group_columns(source),
            index=None,
            key="split",
            bind=BOUND,
            accept_new_options=True,
            placeholder="all rows together",
            width=300,
            help="A column, or any SQL expression: type it and press Enter.",
        )
    return Settings(bins, str(rule), by or None)


def headline(source: Build, chosen: Settings, condition: str | None) -> None:
    """Show the calibration metrics, and say whether chance explains the error."""
    calls = data_reliability.calls(chosen.bins, chosen.rule)
    rows = data.measured(source, calls, condition)
    metric_row(rows, data.about, width=196)
    found = {row["metric"].split("(")[0]: row for row in rows}
    if found["ece"]["value"] is not None:
        st.markdown(_chance(found["ece"], found["calibration_noise_floor"]))
    with st.container(horizontal=True):
        view_sql(data.compiled(source, calls, condition))
        how_to_read(data_reliability.HEADLINE)


def _chance(ece: dict[str, Any], floor: dict[str, Any]) -> str:
    if floor["value"] is None or floor["high"] is None or ece["low"] is None:
        return ""
    likely = (
        "so **chance alone is enough to explain it**"
        if ece["low"] <= 0
        else "so **chance alone does not explain it**"
    )
    return (
        f"The calibration error is {ece['value']:.3f}. A perfectly calibrated model would show "
        f"{floor['value']:.3f} on as many rows ({floor['low']:.3f} to {floor['high']:.3f} in 95 of "
        f"100 cases), {likely}."
    )


def diagram(source: Build, chosen: Settings, condition: str | None) -> None:
    """Draw the reliability diagram, of one group or of all side by side, and its rows."""
    if chosen.by:
        # Before anything is drawn: an expression of too many values is refused in words.
        data.groups(source, condition, chosen.by)
    found = data_reliability.bins_of(source, chosen.bins, chosen.rule, chosen.by, condition)
    rows = [{**row, "panel": row["group"], "group": row["mark"]} for row in found.rows]
    panel = _panel(rows) if chosen.by else ALL
    if panel != ALL:
        rows = [row for row in rows if charts.group_name(row["panel"]) == panel]
    many = bool(chosen.by) and panel == ALL
    chart = charts.panels(rows, by=str(chosen.by)) if many else charts.calibration(rows)
    n, whole = sum(row["n"] for row in rows), data.span(source)["n"]
    chart_card(
        chart,
        [{name: row[name] for name in _COLUMNS} for row in rows],
        key="reliability",
        on_pick=state.pick_from("reliability", "bin"),
        said=f"On {words.plural(n, 'labelled row')} with a probability, of {whole:,} in the build. "
        f"Bars are 95 % intervals; hollow marks have fewer than {charts.FEW} rows.",
        sql=found.sql,
        guides=("calibration",),
        also=_DIAGRAM,
    )
    marks = {row["group"]: _bin_label(row) for row in rows}
    bin_ = mark_choice("bin", marks, "Rows of the bin")
    if bin_:
        where = next(row["where"] for row in rows if row["group"] == bin_)
        rows_behind(source, condition, where, f"of bin {marks[bin_]}", key="bin")


_COLUMNS = ("group", "n", "predicted", "observed", "low", "high", "first", "last")


def _bin_label(row: dict[str, Any]) -> str:
    return f"{row['group']} ({row['first']:.3f} to {row['last']:.3f})"


def _panel(rows: Sequence[dict[str, Any]]) -> str:
    names = [ALL, *dict.fromkeys(charts.group_name(row["panel"]) for row in rows)]
    state.drop_unless("panel", names)
    return st.selectbox("Group", names, key="panel", bind=BOUND, width=300) or ALL


def recalibrated(source: Build, chosen: Settings, condition: str | None) -> None:
    """Show what recalibration changes, or say how to make one."""
    st.header("Recalibrated")
    artefact = data_reliability.recalibration(source)
    if artefact is None:
        st.markdown(
            "This build has no recalibration. To fit one, judge it on later rows and see it here: "
            "`workbench fit recalibration`, then `workbench build`."
        )
        return
    rows = data_reliability.before_and_after(source, condition)
    names = {"calibration_p": "as it is", "calibrated_p": "recalibrated"}
    compared = [{**row, "name": row["metric"], "series": names[row["probability"]]} for row in rows]
    said = f"By `{artefact['id']}`, on rows that it was not fitted on: `{artefact['held_out']}`."
    left, right = st.columns(2)
    columns = ("metric", "series", "value", "low", "high", "n", "n_labelled")
    with left:
        chart_card(
            charts.intervals(compared, what="Before and after recalibration", own_axes=True),
            [{name: row[name] for name in columns} for row in compared],
            key="recalibrated",
            said=said,
            sql=data.compiled(source, data_reliability.JUDGED, artefact["held_out"]),
            guides=data_reliability.JUDGED,
        )
    with right:
        bins = data_reliability.corrected_bins(source, chosen.bins, chosen.rule, condition)
        chart_card(
            charts.calibration(bins.rows),
            [{name: row[name] for name in ("series", *_COLUMNS)} for row in bins.rows],
            key="corrected",
            on_pick=state.pick_from("corrected", "fixed"),
            said=said,
            sql=bins.sql,
            guides=("calibration",),
            also=_DIAGRAM,
        )
    marks = {row["group"]: row for row in bins.rows}
    fixed = mark_choice("fixed", marks, "Rows of the bin, before or after")
    if fixed:
        where = marks[fixed]["where"]
        rows_behind(source, condition, where, f"of bin {_bin_label(marks[fixed])}", key="fixed")
