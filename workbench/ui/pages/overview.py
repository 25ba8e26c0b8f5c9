"""Overview: what came in, what became of it, and how good the model was."""

from __future__ import annotations

import streamlit as st

from workbench import charts
from workbench.ui import data, parts, state
from workbench.ui.parts import words

build = data.build(state.session_build(data.current_build()))
events, whole = data.ledger(build, "feedback"), data.span(build)

st.title(data.project_name())
parts.sentences(build)

st.subheader("How the model did")
rows = data.measured(build, data.HEADLINE, None)
parts.metric_row(rows, data.about)
found = st.container()
if whole["n"] and not whole["labelled"]:
    parts.no_labels(whole["n"])
parts.view_sql(data.compiled(build, data.HEADLINE))

left, right = st.columns(2)
with left:
    st.subheader("What became of the feedback")
    stages = words.stages(events)
    chart = charts.funnel(stages)
    parts.chart_card(chart, [{"step": name, "events": n} for name, n in stages], key="ledger")
with right:
    st.subheader("What was refused, and why")
    refused = data.quarantine(build)
    if refused:
        bars = [(f"{row['table']}: {words.code(row['reason'])}", row["n"]) for row in refused]
        parts.chart_card(charts.counts(bars, what="Refused rows"), refused, key="refused")
        parts.link("sql", "See the refused rows", q="SELECT *\nFROM quarantine")
    else:
        st.success("Nothing was refused.", icon=":material/check:")

# Last, because the search reads every row several times.
with found, st.spinner("Looking for the worst slices"):
    st.markdown("\n".join(f"- {line}" for line in data.findings(build)))
