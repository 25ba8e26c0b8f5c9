"""Drift: what has moved over time, what the scores promise, and for whom it is worst."""

from __future__ import annotations

import streamlit as st

from workbench.datasets import Slice
from workbench.ui import data, parts, state
from workbench.ui.parts import drift

build = data.build(state.session_build(data.current_build()))
st.title("Drift")
condition = parts.filters(build).condition()
if data.row_count(build, Slice(where=condition)) == 0:
    parts.no_rows()
    st.stop()

chosen = drift.settings(build)
before = drift.followed(build, chosen, condition)
drift.promised(build, chosen, condition)
drift.slices(build, before, condition)
