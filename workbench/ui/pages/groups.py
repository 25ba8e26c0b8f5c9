"""Groups: for whom the model does worse, how sure that is, and who is heard at all."""

from __future__ import annotations

import streamlit as st

from workbench.datasets import Slice
from workbench.ui import data, parts, state
from workbench.ui.parts import groups

build = data.build(state.session_build(data.current_build()))
st.title("Groups")
condition = parts.filters(build).condition()
n_rows = data.row_count(build, Slice(where=condition))
if n_rows == 0:
    parts.no_rows()
    st.stop()

metric, by, least = groups.settings(build)
if data.measured(build, ("label_coverage",), condition)[0]["n_labelled"] == 0:
    parts.no_labels(n_rows)
groups.by_groups(build, metric, by, condition, least)
groups.disparities(build, metric, by, condition, least)
groups.heard(build, by, condition, least)
