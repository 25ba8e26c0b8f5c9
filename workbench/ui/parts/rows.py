"""The rows behind a mark: chosen by a click or by keyboard, shown, and taken further."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pyarrow as pa
import streamlit as st

from workbench.datasets import Slice
from workbench.query import Build
from workbench.ui import data, state
from workbench.ui.parts import words
from workbench.ui.parts.cards import rows_table
from workbench.ui.parts.controls import BOUND, open_record
from workbench.ui.parts.links import link

#: Rows that a table shows at most.
LIMIT = 200


def mark_choice(key: str, marks: Mapping[str, str], label: str) -> str | None:
    """Draw the choice of a mark: what a click on the chart does, for the keyboard.

    Parameters
    ----------
    key
        Key of the choice, which a click on the chart sets too.
    marks
        What each mark is called in the list, by its name in the chart.
    label
        What is chosen.
    """
    state.drop_unless(key, list(marks))
    return st.selectbox(
        label,
        list(marks),
        index=None,
        key=key,
        bind=BOUND,
        format_func=lambda mark: marks.get(mark, mark),
        placeholder="click a mark of the chart, or choose here",
    )


def rows_behind(
    source: Build,
    condition: str | None,
    where: str,
    what: str,
    *,
    table: Callable[[], pa.Table] | None = None,
) -> None:
    """Show the rows for which both conditions hold, and links that take them further.

    Parameters
    ----------
    source
        The build.
    condition
        What the filters say.
    where
        What the mark says.
    what
        What the mark is, for the heading.
    table
        What makes the table, where it is not of the newest rows.
    """
    both = both_of(condition, where)
    n = data.row_count(source, Slice(where=both))
    st.subheader(f"{words.plural(n, 'row')} {what}")
    shown = table() if table else data.rows(source, both, LIMIT)
    if n > shown.num_rows:
        st.caption(f"{shown.num_rows} of them are shown; Export takes all of them.")
    rows_table(shown, alt=f"{shown.num_rows} of {n} rows {what}.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        opened = open_record(shown["request_id"].to_pylist())
        if opened:
            link("record", f"Open {opened}", request=opened)
        links(where, sql=both)


def links(where: str, *, sql: str | None = None) -> None:
    """Draw links that take the rows of a condition to Explore, Export and SQL."""
    typed = state.filters().where
    # The other filters go along by themselves.
    kept = both_of(f"({typed.strip()}\n)" if typed.strip() else None, where)
    link("explore", "Explore these rows", where=kept)
    link("export", "Export these rows", where=kept)
    if sql:
        link("sql", "Ask in SQL", q=data.as_query(sql))


def both_of(condition: str | None, where: str) -> str:
    """Write the condition that both hold."""
    return f"{condition} AND {where}" if condition else where
