"""Uncertainty: how unsure the model was, and whether it knew when it was wrong."""

from __future__ import annotations

import streamlit as st

from workbench.datasets import Slice
from workbench.ui import data, data_uncertainty, parts, state
from workbench.ui.parts import uncertainty

build = data.build(state.session_build(data.current_build()))
st.title("Uncertainty")
condition = parts.filters(build).condition()
n_rows = data.row_count(build, Slice(where=condition))
if n_rows == 0:
    parts.no_rows()
    st.stop()
if not data_uncertainty.scores(build):
    parts.no_scores()
    st.stop()

score = uncertainty.settings(build)
judged = max(row["n"] for row in data_uncertainty.detection(build, condition))
if judged == 0:
    parts.no_labels(n_rows)
else:
    uncertainty.detection(build, condition)
    uncertainty.errors(build, score, condition)
uncertainty.distribution(build, score, condition)
if judged:
    uncertainty.wrong(build, score, condition)
