"""SQL: ask the build; one SELECT with a row limit, a timeout and a way to cancel."""

from __future__ import annotations

import streamlit as st

from workbench.ui import data, parts, state

build = data.build(state.session_build(data.current_build()))
st.title("SQL")
browser, editor = st.columns([2, 5], gap="large")
with browser:
    parts.schema_browser(build)
with editor:
    parts.query_form(build)
    query = state.query()
    if query is not None:
        parts.query_result(query)
