"""Explore: filters, a chart, and the rows behind each of its marks."""

from __future__ import annotations

import streamlit as st

from workbench import charts
from workbench.datasets import Slice
from workbench.ui import data, parts, state
from workbench.ui.parts import words

build = data.build(state.session_build(data.current_build()))
st.title("Explore")
condition = parts.filters(build).condition()
kind, metric, by = parts.grouping(build)

n_rows = data.row_count(build, Slice(where=condition))
if n_rows == 0:
    parts.no_rows()
    st.stop()

metric = "ece" if kind == "calibration" else metric
overall = data.measured(build, (metric, "label_coverage"), condition)
parts.metric_row(overall, data.about)
labelled = overall[0]["n_labelled"]
if labelled == 0:
    parts.no_labels(n_rows)
elif labelled < charts.FEW:
    parts.few_labels(labelled, charts.FEW)

groups = data.groups(build, condition, by)
pick = state.pick_from("marks", "group")
if kind == "calibration":
    marks = data.calibration(build, condition)
    chart = charts.calibration(marks)
    parts.chart_card(chart, marks, key="marks", on_pick=pick, guides=("calibration",))
else:
    marks = data.measured(build, (metric,), condition, by)
    marks = words.in_order(marks, [name for name, _ in groups])
    chart = charts.metric_by_group(marks, metric=metric, by=by, percent=metric in words.SHARES)
    parts.chart_card(
        chart,
        words.chart_rows(marks, dict(groups)),
        key="marks",
        on_pick=pick,
        sql=data.compiled(build, (metric,), condition, (by,)),
        guides=(metric,),
    )

group = parts.group_choice(groups)
where = data.in_group(by, state.value_of(group)) if group else None
what = f"behind {f'{by} = {group}' if group else 'the chart'}"
parts.rows_behind(build, condition, where, what, key="group", onwards=("export", "sql"))
