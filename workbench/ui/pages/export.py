"""Export: the filters become a slice, which is counted, previewed and taken away as a file."""

from __future__ import annotations

import streamlit as st

from workbench import charts
from workbench.ui import data, parts, state
from workbench.ui.parts import export, words

build = data.build(state.session_build(data.current_build()))
st.title("Export")
filters = parts.filters(build)
steps = export.steps(filters)
chosen = export.choose_slice(build, steps)

n = data.row_count(build, chosen)
st.header(f"{words.plural(n, 'row')} of {chosen.relation}")
st.caption(f"Slice {chosen.id} of build {build.id}")
if n == 0:
    parts.no_rows()
    st.stop()
if steps:
    stages = data.funnel(build, tuple(steps))
    chart = charts.funnel(stages, what="Inferences that remain after each filter")
    parts.chart_card(chart, [{"filter": name, "rows": left} for name, left in stages], key="funnel")

st.subheader("Preview")
parts.rows_table(data.preview(build, chosen), alt="The first 20 rows of the slice.")
export.take_away(build, chosen, n)
