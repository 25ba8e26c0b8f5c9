"""Cards and tables. A chart always has a text alternative and its numbers as a table beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import streamlit as st

from workbench.charts import Chart
from workbench.ui.parts import words
from workbench.ui.parts.guides import how_to_read

_KEPT = {"displayModeBar": False}


def metric_card(row: dict[str, Any], about: str, width: int = 215) -> None:
    """Show one metric: value, interval and n, or why it is not defined."""
    with st.container(border=True, width=width):
        st.metric(
            words.metric_name(row["metric"]), words.number(row["metric"], row["value"]), help=about
        )
        st.caption(words.interval(row))


def metric_row(
    rows: Sequence[dict[str, Any]], about: Callable[[str], str], width: int = 215
) -> None:
    """Show metrics side by side; they wrap on a narrow screen."""
    with st.container(horizontal=True):
        for row in rows:
            metric_card(row, about(row["metric"].split("(")[0]), width)


def chart_card(
    chart: Chart,
    table: Sequence[Mapping[str, Any]] | pa.Table,
    *,
    key: str,
    on_pick: Callable[[], None] | None = None,
    said: str = "",
    sql: str | None = None,
    guides: Sequence[str] = (),
    also: str = "",
) -> None:
    """Draw a chart, its sentence, and its numbers as a table.

    Parameters
    ----------
    chart, table
        The chart and its numbers.
    key
        Key of the chart, where a click is kept.
    on_pick
        What happens on a click.
    said
        On how many rows it rests, and what else is to be said under it.
    sql
        The query behind it.
    guides, also
        As `how_to_read` takes them.
    """
    st.plotly_chart(
        chart.figure,
        key=key,
        config=_KEPT,
        alt=chart.alt,
        on_select=on_pick or "ignore",
        selection_mode="points",
    )
    st.caption(f"{chart.alt}  \n{said}" if said else chart.alt)
    if sql or guides or also:
        with st.container(horizontal=True):
            if sql:
                view_sql(sql)
            if guides or also:
                how_to_read(guides, also=also)
    with st.expander("Data", icon=":material/table:"):
        data = table if isinstance(table, pa.Table) else pa.Table.from_pylist(list(table))
        st.dataframe(data, hide_index=True, alt=f"The numbers of the chart. {chart.alt}")


def rows_table(table: pa.Table, *, alt: str) -> None:
    """Show rows of a build; nested values and texts can be read whole in their cell."""
    config = {
        name: st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm:ss", timezone="UTC")
        for name in table.column_names
        if pa.types.is_timestamp(table[name].type)
    }
    st.dataframe(readable(table), hide_index=True, column_config=config, alt=alt)


def readable(table: pa.Table) -> pa.Table:
    """Give columns of types that the browser cannot show as text."""
    for i, field in enumerate(table.schema):
        if pa.types.is_interval(field.type) or pa.types.is_decimal(field.type):
            texts = [None if value is None else str(value) for value in table[i].to_pylist()]
            table = table.set_column(i, field.name, pa.array(texts, pa.string()))
    return table


def view_sql(sql: str) -> None:
    """Offer the SQL behind a number."""
    with st.popover("View SQL", icon=":material/code:", type="tertiary"):
        st.code(sql, language="sql", wrap_lines=True)
