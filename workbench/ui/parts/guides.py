"""How to read a number or a chart, from the texts that metrics and views have of their own."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from workbench.guide import Guide
from workbench.ui import data
from workbench.ui.parts import words

_SECTIONS = (("What it shows", "shows"), ("How to read it", "read"), ("What to do", "do"))


def how_to_read(names: Sequence[str], *, also: str = "") -> None:
    """Offer the guides of metrics or views by name, and what else is to be said of a chart."""
    with st.popover("How to read this", icon=":material/help:", type="tertiary", width="content"):
        if also:
            st.markdown(also)
        if len(names) == 1:
            _guide(data.guide(names[0]))
        else:
            for name in names:
                with st.expander(words.metric_name(name)):
                    _guide(data.guide(name))


def _guide(guide: Guide) -> None:
    st.markdown(f"**{_markdown(guide.at_a_glance)}**")
    for title, name in _SECTIONS:
        text = getattr(guide, name)
        if text:
            st.markdown(f"*{title}.* {_markdown(text)}")


def _markdown(text: str) -> str:
    return text.replace("``", "`")
