"""The rows behind a mark: chosen by a click or by keyboard, shown, and taken further."""

from __future__ import annotations

from collections.abc import Callable, Iterable

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


def mark_choice(key: str, marks: Iterable[str], label: str) -> str | None:
    """Draw the choice of a mark: what a click on the chart does, for the keyboard.

    Parameters
    ----------
    key
        Key of the choice, which a click on the chart sets too.
    marks
        What the marks are called in the chart: short and the same in every build, for the choice is
        a part of the link to the page.
    label
        What is chosen.
    """
    names = list(marks)
    state.drop_unless(key, names)
    return st.selectbox(
        label,
        names,
        index=None,
        key=key,
        bind=BOUND,
        placeholder="click a mark of the chart, or choose here",
    )


def rows_behind(
    source: Build,
    condition: str | None,
    where: str,
    what: str,
    *,
    key: str,
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
    key
        Name of this part of the page.
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
        opened = open_record(shown["request_id"].to_pylist(), f"open-{key}")
        if opened:
            link("record", f"Open {opened}", request=opened)
        links(both)


def links(where: str) -> None:
    """Draw links that take the rows of a condition to Explore, Export and SQL."""
    link("explore", "Explore these rows", **{state.TAKEN: where})
    link("export", "Export these rows", **{state.TAKEN: where})
    link("sql", "Ask in SQL", q=data.as_query(where))


def both_of(condition: str | None, where: str) -> str:
    """Write the condition that both hold."""
    return f"{condition} AND {where}" if condition else where
