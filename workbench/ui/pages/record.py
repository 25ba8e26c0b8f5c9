"""Record: one inference opened whole, with its contexts and all of its feedback."""

from __future__ import annotations

import streamlit as st

from workbench.ui import data, parts, state
from workbench.ui.parts import record

build = data.build(state.session_build(data.current_build()))
st.title("Record")
request_id = record.chooser()
if not request_id:
    st.info("Type a request_id, or open a row on the Explore page.", icon=":material/search:")
    parts.link("explore", "Choose a row")
    st.stop()

found = data.record(build, request_id)
if found is None:
    st.warning(f"The build has no inference {request_id!r}.", icon=":material/search_off:")
    st.stop()

record.verdict(found)
record.texts(found)
record.fields(build, found)
record.contexts(build, found)
record.events(data.events_of(build, request_id))
