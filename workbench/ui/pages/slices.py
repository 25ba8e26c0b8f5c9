"""Slices: which rows are trained on, what becomes of them, and the training set made of them."""

from __future__ import annotations

import streamlit as st

from workbench.datasets import Slice
from workbench.errors import WorkbenchError
from workbench.ui import data, parts, state
from workbench.ui.parts import drafts, export, slices, words

build = data.build(state.session_build(data.current_build()))
st.title("Slices")
slices.from_link()
filters = parts.filters(build)
slices.saved()
conditions = export.steps(filters)
try:
    chosen, call = slices.choose(build, conditions)
except WorkbenchError as error:
    parts.problem(error)
    st.stop()

n = data.row_count(build, Slice(relation=chosen.relation, where=chosen.where))
said = " and ".join(name for name, _ in conditions) or "no filter"
st.caption(
    f"{words.plural(n, 'row')} of {chosen.relation}, {said} · slice {chosen.id} of build {build.id}"
)
if n == 0:
    parts.no_rows()
    st.stop()
draft = drafts.counted(build, chosen, call, n)
if draft is not None:
    drafts.funnel(draft)
    drafts.beside(draft)
    drafts.preview(draft)
drafts.keep(chosen)
drafts.compile_form(build, chosen, call)
