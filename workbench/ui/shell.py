"""The frame of the dashboard: navigation, the build that is shown, what stands on every page."""

from __future__ import annotations

import streamlit as st

from workbench.errors import WorkbenchError
from workbench.ui import data, parts, state
from workbench.ui.parts import words

# Drawn here: an icon or emoji by name would be fetched from the internet.
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    '<rect width="32" height="32" rx="6" fill="#0072B2"/>'
    '<path d="M6 17l6 6L26 9" fill="none" stroke="#fff" stroke-width="4"/></svg>'
)


def run() -> None:
    """Draw the chosen page."""
    st.set_page_config("Feedback Workbench", _ICON, layout="wide")
    state.hold()
    page = st.navigation(list(parts.pages().values()))
    try:
        newest = data.current_build()
        build = data.build(state.session_build(newest))
    except WorkbenchError:
        parts.no_build(data.project_dir())
        return
    if build.id != newest:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f"A newer build, `{newest}`, was published. This page shows `{build.id}`.")
            st.button("Load it", on_click=state.load_build, args=(newest,), type="primary")
    body = st.container()
    # Drawn first, so that it stands there even if the page ends early.
    _footer(build.id)
    with body:
        try:
            page.run()
        except WorkbenchError as error:
            parts.problem(error)


def _footer(build_id: str) -> None:
    build = data.build(build_id)
    whole = data.span(build)
    made = build.manifest.get("created_at")
    facts = [
        f"build `{build_id}`" + (f" of {str(made)[:16].replace('T', ' ')} UTC" if made else ""),
        words.plural(whole["n"], "inference"),
        f"{whole['labelled'] / whole['n']:.1%} labelled" if whole["n"] else "none labelled",
    ]
    if whole["first"] is not None:
        facts.append(f"{words.when(whole['first'])} to {words.when(whole['last'])}")
    st.divider()
    st.caption(" · ".join(facts))
