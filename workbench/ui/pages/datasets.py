"""Datasets: training sets, their versions and cards, what differs, and files to take away."""

from __future__ import annotations

import streamlit as st

from workbench.ui import data_datasets, parts
from workbench.ui.parts import datasets
from workbench.ui.parts.controls import BOUND

st.title("Datasets")
names = data_datasets.names()
if not names:
    datasets.none_yet()
    st.stop()

name, known, manifest = datasets.choose(names)
if manifest is None:
    datasets.all_withdrawn(name)
    st.stop()
st.header(f"{name} {manifest['version']}")
datasets.leaks(manifest)
with st.container(horizontal=True, vertical_alignment="bottom"):
    view = st.segmented_control(
        "Show", datasets.VIEWS, default="card", required=True, key="show", bind=BOUND
    )
    parts.link("slices", "Open its slice", of=f"{name}@{manifest['version']}")
if view == "card":
    datasets.card(manifest)
elif view == "examples":
    datasets.examples(name, manifest)
elif view == "compare":
    datasets.compare(manifest, known)
else:
    datasets.take_away(name, manifest, known)
