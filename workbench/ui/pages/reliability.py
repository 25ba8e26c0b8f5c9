"""Reliability: whether probabilities mean what they say, for whom, and whether it is chance."""

from __future__ import annotations

import streamlit as st

from workbench import charts
from workbench.datasets import Slice
from workbench.ui import data, data_reliability, parts, state
from workbench.ui.parts import reliability

build = data.build(state.session_build(data.current_build()))
st.title("Reliability")
condition = parts.filters(build).condition()
n_rows = data.row_count(build, Slice(where=condition))
if n_rows == 0:
    parts.no_rows()
    st.stop()
if not data_reliability.has_scores(build):
    parts.no_scores()
    st.stop()
labelled = data.measured(build, ("ece",), condition)[0]["n"]
if labelled == 0:
    parts.no_labels(n_rows)
    st.stop()
if labelled < charts.FEW:
    parts.few_labels(labelled, charts.FEW)

chosen = reliability.settings(build)
reliability.headline(build, chosen, condition)
st.header("Reliability diagram")
reliability.diagram(build, chosen, condition)
reliability.recalibrated(build, chosen, condition)
