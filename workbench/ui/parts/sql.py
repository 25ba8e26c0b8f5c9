"""The parts of the SQL page: schema browser, form, and the result of a running query."""

from __future__ import annotations

import streamlit as st

from workbench.errors import WorkbenchError
from workbench.query import Build
from workbench.running import RunningQuery
from workbench.ui import data, state
from workbench.ui.parts.cards import rows_table
from workbench.ui.parts.controls import BOUND, download_rows
from workbench.ui.parts.empty import problem

_FIRST = "SELECT model_version, count(*) AS n\nFROM inferences\nGROUP BY ALL\nORDER BY ALL"


def schema_browser(source: Build) -> None:
    """Show the relations with their columns, and put a query about one into the form."""
    st.subheader("Relations")
    calls = data.macros(source)
    for relation, columns in data.relations(source).items():
        with st.expander(f"{relation} ({len(columns)})"):
            if relation in calls:
                st.caption(f"Takes parameters: `{calls[relation]}`")
            with st.container(horizontal=True):
                st.button(
                    "Insert name",
                    key=f"insert-{relation}",
                    on_click=state.append_to_query,
                    args=(relation,),
                )
                st.button(
                    "Preview 20",
                    key=f"preview-{relation}",
                    on_click=state.run_query,
                    args=(source.start, f"SELECT *\nFROM {relation}\nLIMIT 20"),
                )
            st.dataframe(
                [
                    {"column": row["column"], "type": row["type"], "meaning": row["comment"]}
                    for row in columns
                ],
                hide_index=True,
                alt=f"The columns of {relation} with their types and meaning.",
            )


def query_form(source: Build) -> None:
    """Draw the saved queries and the form; nothing runs before it is asked to."""
    saved = data.saved_queries()
    title = st.selectbox(
        "Saved queries", list(saved), index=None, key="saved", placeholder="choose one to load it"
    )
    if title in saved:
        st.caption(saved[title]["about"])
        st.button(
            "Load into the form",
            on_click=state.choose,
            args=("q", saved[title]["sql"]),
            icon=":material/edit_note:",
        )
    with st.form("sql"):
        st.text_area("Query: one SELECT", _FIRST, height=200, key="q", bind=BOUND)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.selectbox("Rows at most", [100, 1000, 10000], 1, key="rows", width=150)
            st.number_input("Seconds at most", 1, 600, 30, key="seconds", width=150)
            st.toggle("Explain", key="explain", help="Show the plan and do not run the query.")
            st.form_submit_button(
                "Run",
                type="primary",
                icon=":material/play_arrow:",
                shortcut="Mod+Enter",
                on_click=state.run_query,
                args=(source.start,),
            )


def query_result(query: RunningQuery) -> None:
    """Wait for a query with a way to cancel it, then show its rows or what went wrong."""
    if not query.done:
        cancel, clock = st.empty(), st.empty()
        cancel.button("Cancel", on_click=query.cancel, icon=":material/stop:", key="cancel")
        while not query.wait(0.2):
            clock.caption(f"Running for {query.elapsed:.0f} s")
        cancel.empty()
        clock.empty()
    try:
        result = query.result()
    except WorkbenchError as error:
        problem(error)
        return
    if result.columns == ("plan",) and state.chosen("explain"):
        st.code("\n".join(result.table["plan"].to_pylist()), language="text")
        return
    n = result.table.num_rows
    said = f"{n:,} {'row' if n == 1 else 'rows'} in {result.elapsed:.2f} s"
    if result.truncated:
        st.warning(
            f"The first {said}; there are more. Raise the limit, or take all of them with "
            "`workbench sql` or the Export page.",
            icon=":material/content_cut:",
        )
    else:
        st.caption(said)
    rows_table(result.table, alt=f"Result of the query: {said}.")
    download_rows(result.table, "query")
