"""The sentences of the overview: what came in, in words and numbers, each a link."""

from __future__ import annotations

import streamlit as st

from workbench.query import Build
from workbench.ui import data
from workbench.ui.parts import words
from workbench.ui.parts.links import link

_RAW = {
    "attributed": "SELECT * FROM enriched_feedback",
    "orphan": "SELECT * FROM attribution WHERE status = 'orphan'",
    "ambiguous": "SELECT * FROM attribution WHERE status = 'ambiguous'",
    "duplicate": "SELECT * FROM quarantine WHERE \"table\" = 'feedback' AND reason = 'duplicate'",
    "spam": "SELECT * FROM quarantine WHERE \"table\" = 'feedback' AND reason = 'spam'",
    "invalid": (
        "SELECT * FROM quarantine\n"
        "WHERE \"table\" = 'feedback' AND reason NOT IN ('duplicate', 'spam')"
    ),
}


def sentences(source: Build) -> None:
    """Say what was received and what became of it; each sentence leads to its rows."""
    events, whole = data.ledger(source, "feedback"), data.span(source)
    received = events.get("received", 0)
    st.markdown(
        f"**{words.plural(received, 'feedback event')}** "
        f"{'was' if received == 1 else 'were'} received about "
        f"**{words.plural(whole['n'], 'inference')}**."
    )
    for status, said in words.STATUSES.items():
        n = events.get(status, 0)
        if n:
            share = f" ({n / received:.1%})" if received else ""
            link("sql", f"**{n:,}**{share} {said}", q=_RAW[status])
    if whole["n"]:
        unlabelled = whole["n"] - whole["labelled"]
        link(
            "explore",
            f"**{whole['labelled']:,}** inferences ({whole['labelled'] / whole['n']:.1%}) have a "
            f"label; **{unlabelled:,}** have none, which says nothing about them",
            metric="label_coverage",
        )
