"""The pages, and links between them."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

_FOLDER = Path(__file__).parents[1] / "pages"

_PAGES = {
    "overview": ("Overview", ":material/dashboard:", "What came in and what the model got wrong."),
    "explore": ("Explore", ":material/query_stats:", "Filter, chart, and the rows behind a mark."),
    "reliability": (
        "Reliability",
        ":material/target:",
        "Whether probabilities mean what they say.",
    ),
    "groups": ("Groups", ":material/groups:", "Whom the model serves worse, and who is heard."),
    "uncertainty": (
        "Uncertainty",
        ":material/psychology_alt:",
        "Whether the model knows when it is wrong.",
    ),
    "raters": ("Raters", ":material/how_to_vote:", "Who judges, and how far they can be believed."),
    "drift": ("Drift", ":material/timeline:", "What has moved over time, and for whom."),
    "record": ("Record", ":material/article:", "One inference opened whole."),
    "sql": ("SQL", ":material/database:", "Ask the build in SQL."),
    "slices": ("Slices", ":material/filter_list:", "Choose rows for a training set, and make it."),
    "datasets": ("Datasets", ":material/inventory_2:", "Training sets, their versions and cards."),
    "export": ("Export", ":material/download:", "Take a slice away as a file."),
}


def pages() -> dict[str, StreamlitPage]:
    """All pages by name, in order."""
    return {
        name: st.Page(
            _FOLDER / f"{name}.py",
            title=title,
            icon=icon,
            url_path=name,
            default=name == "overview",
            help=about,
        )
        for name, (title, icon, about) in _PAGES.items()
    }


def link(page: str, label: str, **params: str | list[str]) -> None:
    """Draw a link to a page with its URL parameters."""
    st.page_link(pages()[page], label=label, icon=_PAGES[page][1], query_params=params or None)
