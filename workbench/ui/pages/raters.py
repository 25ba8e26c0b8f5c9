"""Raters: who judges, how far they agree, whom to believe, and what labels owe to the policy."""

from __future__ import annotations

import streamlit as st

from workbench.datasets import Slice
from workbench.ui import data, data_raters, parts, state
from workbench.ui.parts import raters

build = data.build(state.session_build(data.current_build()))
st.title("Raters")
condition = parts.filters(build).condition()
if data.row_count(build, Slice(where=condition)) == 0:
    parts.no_rows()
    st.stop()
rows = data_raters.table(build, condition)
if rows:
    raters.table(build, rows, condition)
    raters.agreement(build, condition)
else:
    parts.no_raters()
raters.policies(build)
