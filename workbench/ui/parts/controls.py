"""Widgets that choose rows. Their keys are URL parameters."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import streamlit as st

from workbench.formats import downloads, formats
from workbench.query import Build
from workbench.ui import data, state

BOUND: Any = "query-params"


def filters(source: Build) -> state.Filters:
    """Draw the filters in the sidebar and return what they say."""
    whole = data.span(source)
    with st.sidebar:
        st.subheader("Filters")
        for key, column, label in (
            ("model", "model_version", "Model version"),
            ("label", "label", "Label"),
        ):
            _values(source, key, column, label)
        if whole["first"] is not None:
            first, last = whole["first"].date(), whole["last"].date()
            left, right = st.columns(2)
            for place, key, label in ((left, "from", "From day"), (right, "to", "To day")):
                place.date_input(label, None, first, last, key=key, bind=BOUND, format="YYYY-MM-DD")
        st.text_input(
            "SQL condition",
            key="where",
            bind=BOUND,
            placeholder="latency_ms > 2000",
            help="Any condition over the columns of enriched_inferences, contexts included.",
        )
        st.button("Clear all filters", on_click=state.clear_filters, icon=":material/clear_all:")
    chosen = state.filters()
    if chosen.where.strip():
        # By itself: in brackets, "a) OR (b" would look like a condition.
        source.expression(chosen.where)
    return chosen


def _values(source: Build, key: str, column: str, label: str) -> None:
    counts = {value or state.NONE: n for value, n in data.values(source, column)}
    if len(counts) > 1:
        st.multiselect(
            label,
            list(counts),
            key=key,
            bind=BOUND,
            placeholder="all",
            help=" · ".join(f"{value}: {n:,}" for value, n in list(counts.items())[:20]),
        )


def grouping(source: Build) -> tuple[str, str, str]:
    """Draw the choice of chart, metric and grouping, and return it."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control(
            "Chart",
            ["by group", "calibration"],
            default="by group",
            required=True,
            key="chart",
            bind=BOUND,
            on_change=state.choose,
            args=("group", None),
        )
        calibration = kind == "calibration"
        metric = st.selectbox(
            "Metric", data.metric_names(), key="metric", bind=BOUND, disabled=calibration, width=220
        )
        by = st.selectbox(
            "By",
            data.group_columns(source),
            key="by",
            bind=BOUND,
            accept_new_options=True,
            disabled=calibration,
            on_change=state.choose,
            args=("group", None),
            width=320,
            help="A column, or any SQL expression: type it and press Enter.",
        )
    return str(kind), str(metric), "prob_bin" if calibration else str(by)


def group_choice(groups: Sequence[tuple[str | None, int]]) -> str | None:
    """Draw the choice of a group: what a click on the chart does, for the keyboard."""
    names = [name if name is not None else state.NONE for name, _ in groups]
    state.drop_unless("group", names)
    return st.selectbox(
        "Rows of the group",
        names,
        index=None,
        key="group",
        bind=BOUND,
        placeholder="all groups; click a mark or choose here",
    )


def open_record(ids: Sequence[str], key: str = "open") -> str | None:
    """Draw the choice of one record of a table."""
    return st.selectbox(
        "Open a record",
        list(ids),
        index=None,
        key=key,
        placeholder="choose or type a request_id",
        accept_new_options=True,
    )


def download_rows(table: pa.Table, name: str) -> None:
    """Offer the rows of a table as a file; the bytes are made on the click."""
    with st.container(horizontal=True):
        for fmt in downloads():
            kind = formats.get(fmt)
            st.download_button(
                f"Download {fmt.upper() if fmt != 'parquet' else 'Parquet'}",
                data=_bytes(table, fmt),
                file_name=f"{name}{kind.suffix}",
                mime=kind.media_type,
                on_click="ignore",
                key=f"download-{fmt}",
                icon=":material/download:",
            )


def _bytes(table: pa.Table, fmt: str) -> Callable[[], bytes]:
    def make() -> bytes:
        out = io.BytesIO()
        formats.get(fmt).write(out, table.to_reader(), {})
        return out.getvalue()

    return make
