"""The rows behind a mark: chosen by a click or by keyboard, shown, and taken further."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

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
    where: str | None,
    what: str,
    *,
    key: str,
    onwards: Sequence[str] = ("explore", "export", "sql"),
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
        What the mark says; None for all rows.
    what
        What the mark is, for the heading.
    key
        Name of this part of the page.
    onwards
        Pages that the rows can be taken to.
    table
        What makes the table, where it is not of the newest rows.
    """
    both = both_of(condition, where)
    n = data.row_count(source, Slice(where=both))
    st.subheader(f"{words.plural(n, 'row')} {what}")
    shown = table() if table else data.rows(source, both, LIMIT)
    if n > shown.num_rows:
        first = "first" if table else "newest"
        st.caption(f"The {first} {shown.num_rows} are shown; Export takes all of them.")
    rows_table(shown, alt=f"{shown.num_rows} of {n} rows {what}.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        opened = open_record(shown["request_id"].to_pylist(), f"open-{key}")
        if opened:
            link("record", f"Open {opened}", request=opened)
        links(both, onwards)


def links(where: str | None, onwards: Sequence[str] = ("explore", "export")) -> None:
    """Draw links that take the rows of a condition to other pages."""
    taken = {state.TAKEN: where} if where else {}
    if "explore" in onwards:
        link("explore", "Explore these rows", **taken)
    if "export" in onwards:
        link("export", "Export these rows", **taken)
    if "sql" in onwards:
        link("sql", "Ask in SQL", q=data.as_query(where))


def both_of(condition: str | None, where: str | None) -> str | None:
    """Write the condition that both hold; None where neither says anything."""
    return " AND ".join(filter(None, (condition, where))) or None
