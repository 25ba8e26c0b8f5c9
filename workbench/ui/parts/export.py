"""The parts of the export page: from filters to a slice, and from a slice to a file."""

from __future__ import annotations

import shlex
from pathlib import Path

import streamlit as st

from workbench.datasets import Slice, export
from workbench.errors import WorkbenchError
from workbench.formats import downloads, formats
from workbench.query import Build
from workbench.ui import data, state
from workbench.ui.parts.controls import BOUND
from workbench.ui.parts.empty import problem

#: Files above this size are named, not loaded into the browser.
LARGEST = 50 * 1024 * 1024

RELATIONS = ("enriched_inferences", "enriched_feedback")


def steps(filters: state.Filters) -> list[tuple[str, str]]:
    """List filters in words and as SQL, with the group that was chosen on the Explore page."""
    found = filters.steps()
    group, by = state.chosen("group"), state.grouping()
    if group and by:
        keep = st.checkbox(f"Only the chosen group: {by} = {group}", True, key="only")
        if keep:
            found.append((f"{by} = {group}", data.in_group(by, state.value_of(group))))
    return found


def choose_slice(source: Build, conditions: list[tuple[str, str]]) -> Slice:
    """Draw the choice of relation, columns and size, and return the slice."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        relation = st.selectbox("Relation", RELATIONS, key="relation", bind=BOUND, width=260)
        limit = st.number_input(
            "Rows at most",
            min_value=1,
            value=None,
            key="limit",
            bind=BOUND,
            placeholder="all",
            width=160,
            help="A uniform sample of so many rows, the same each time.",
        )
    known = list(source.columns(relation))
    columns = st.multiselect(
        "Columns",
        known,
        key=f"columns-{relation}",
        persist_state="session",
        placeholder="all columns",
    )
    where = " AND ".join(condition for _, condition in conditions) or None
    return Slice(relation=relation, where=where, columns=tuple(columns), limit=limit)


def take_away(source: Build, chosen: Slice, n: int) -> None:
    """Draw the choice of format, prepare the file, and offer it."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        fmt = st.segmented_control(
            "Format", downloads(), default="parquet", required=True, key="format", bind=BOUND
        )
        prepare = st.button("Prepare the file", type="primary", icon=":material/inventory_2:")
    kind = formats.get(str(fmt))
    st.caption(kind.about)
    name = f"{chosen.relation}-{chosen.id}{kind.suffix}"
    folder = source.root / "exports" / source.id
    if prepare:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with st.spinner(f"Writing {n:,} rows"):
                state.keep_export(export(source, chosen, str(fmt), folder / name, force=True))
        except (WorkbenchError, OSError) as error:
            state.keep_export(None)
            problem(error if isinstance(error, WorkbenchError) else WorkbenchError(str(error)))
    done = state.exported()
    if done and done["path"] == str(folder / name) and Path(done["path"]).is_file():
        offer(done, name, kind.media_type)
    show_command(chosen, str(fmt), name)


def offer(done: dict[str, object], name: str, media_type: str) -> None:
    """Offer a file that was made as a download; name where it is if it is large or a folder."""
    path = Path(str(done["path"]))
    size = int(str(done["bytes"]))
    st.success(f"{done['rows']:,} rows, {size / 1e6:,.1f} MB, sha256 {str(done['sha256'])[:12]}")
    if size > LARGEST or path.is_dir():
        why = "A folder does" if path.is_dir() else "A file of this size does"
        st.markdown(f"{why} not pass through the page. It lies here:")
        st.code(str(path), language=None)
        return
    st.download_button(
        "Download",
        data=path.read_bytes,
        file_name=name,
        mime=media_type,
        on_click="ignore",
        icon=":material/download:",
        key="download",
    )


def show_command(chosen: Slice, fmt: str, name: str) -> None:
    """Show how to make the same file without the page."""
    st.caption("The same without this page")
    words = ["workbench", "export", chosen.relation, "--format", fmt, "-o", name]
    words += ["--where", chosen.where] if chosen.where else []
    words += ["--columns", ",".join(chosen.columns)] if chosen.columns else []
    words += ["--limit", str(chosen.limit)] if chosen.limit is not None else []
    st.code(shlex.join(words), language="bash", wrap_lines=True)
