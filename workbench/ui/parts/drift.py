"""The parts of the Drift page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from workbench import charts, drift
from workbench.query import Build
from workbench.ui import data, data_drift, state
from workbench.ui.parts import words
from workbench.ui.parts.cards import chart_card
from workbench.ui.parts.controls import BOUND
from workbench.ui.parts.empty import no_clock
from workbench.ui.parts.guides import how_to_read
from workbench.ui.parts.rows import both_of, links, mark_choice, rows_behind
from workbench.worst import ALPHA

Row = dict[str, Any]

_THRESHOLD = (
    "The threshold is what the chunks of the reference show among themselves: their mean and "
    f"{drift.DEVIATIONS:g} standard deviations. It stands in place of an interval, which a "
    "distance does not have. A diamond is a chunk beyond it: look at what happened then. A chunk "
    "of few rows is further away by chance alone."
)
_SLICES = (
    "All slices of up to two columns were tried, so some look bad by chance: of those that are "
    f"named, {ALPHA:.0%} at most are chance (Benjamini-Hochberg). The effect is the value of the "
    "slice minus that of the rest, or of itself before; its interval is at 95 %. Impact is what "
    "the slice does to the overall number."
)


@dataclass(frozen=True)
class Settings:
    """What is compared with what.

    Attributes
    ----------
    every
        Chunks: a unit or a number of rows.
    reference
        SQL condition, or None for the first third.
    methods
        Chosen methods; empty for the usual ones.
    """

    every: str
    reference: str | None
    methods: tuple[str, ...]


def settings(source: Build) -> Settings:
    """Draw the choice of chunks, reference and method."""
    usual = data_drift.usual_chunks(source)
    units = list(dict.fromkeys([usual, "day", "week", "month", "500"]))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        every = st.selectbox(
            "Chunks",
            units,
            key="every",
            bind=BOUND,
            accept_new_options=True,
            width=140,
            help="A day, week, month, quarter or year in UTC; or type a number of rows.",
        )
        method = st.selectbox(
            "Method",
            drift.METHODS,
            index=None,
            key="method",
            bind=BOUND,
            placeholder="the usual one",
            width=200,
            help="By default jensen_shannon for distributions and mean for rates.",
        )
        reference = st.text_input(
            "Reference",
            key="since",
            bind=BOUND,
            placeholder="the first third of the chunks, or SQL: ts < '2026-03-09'",
            width=420,
        )
    return Settings(str(every), reference.strip() or None, (method,) if method else ())


def followed(source: Build, chosen: Settings, condition: str | None) -> str | None:
    """Show all columns in short and one as a chart; return SQL of the time before the alerts."""
    with st.spinner("Comparing chunks"):
        rows = data_drift.followed(
            source, (), chosen.every, chosen.reference, chosen.methods, condition
        )
    if not rows:
        no_clock()
        return None
    known = [row for row in rows if row["method"] != "cbpe"]
    lines = drift.by_column(known)
    _summary(lines, known)
    columns = list(dict.fromkeys(row["column"] for row in (lines or known)))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        column = st.selectbox(
            "Column",
            columns,
            key="column",
            bind=BOUND,
            accept_new_options=True,
            width=300,
            help="Those with most alerts first; or type any SQL expression.",
        )
    own = [row for row in known if row["column"] == column] or data_drift.followed(
        source, (str(column),), chosen.every, chosen.reference, chosen.methods, condition
    )
    _chart(source, own, chosen, condition)
    first = min(
        (row["from"] for row in rows if row["period"] == "analysis" and row["from"]), default=None
    )
    return chosen.reference or (f"ts < TIMESTAMPTZ '{first.isoformat()}'" if first else None)


def _summary(lines: Sequence[Row], rows: Sequence[Row]) -> None:
    alerts = [line for line in lines if line["alerts"]]
    if not lines or all(line["alerts"] is None for line in lines):
        st.warning(
            "The reference has fewer than two chunks, so there is no threshold and no alert. "
            "Choose smaller chunks or a longer reference.",
            icon=":material/straighten:",
        )
    elif alerts:
        names = ", ".join(f"`{line['column']}` ({line['alerts']})" for line in alerts[:6])
        st.markdown(
            f"**{len(alerts)} of {words.plural(len(lines), 'column')}** went beyond the threshold: "
            f"{names}{f' and {len(alerts) - 6} more' if len(alerts) > 6 else ''}."
        )
    else:
        st.markdown(f"None of {words.plural(len(lines), 'column')} went beyond its threshold.")
    if any(not row["whole"] for row in rows):
        st.caption("What is left over at the end of a period is a shorter chunk.")
    with st.expander("All columns", icon=":material/table:"):
        st.dataframe(list(lines), hide_index=True, alt="Drift of each column, most alerts first.")


def _chart(source: Build, rows: Sequence[Row], chosen: Settings, condition: str | None) -> None:
    column, method = str(rows[0]["column"]), str(rows[0]["method"])
    own = [row for row in rows if row["method"] == method]
    chart_card(
        charts.drift(own, column=column, method=method),
        own,
        key="drift",
        on_pick=state.pick_from("drift", "chunk"),
        said=f"{words.plural(sum(row['n'] for row in own), 'row')} with a value.",
        sql=data_drift.rows_sql(source, column, chosen.every, chosen.reference, condition),
        guides=("drift",),
        also=_THRESHOLD,
    )
    marks = {
        charts.chunk_name(row): charts.chunk_name(row) + (", an alert" if row["alert"] else "")
        for row in own
    }
    chunk = mark_choice("chunk", marks, "Rows of the chunk")
    if chunk:
        row = next(row for row in own if charts.chunk_name(row) == chunk)
        where = data_drift.in_chunk(row, chosen.reference)
        rows_behind(source, condition, where, f"of chunk {marks[chunk]}", key="chunk")


def promised(source: Build, chosen: Settings, condition: str | None) -> None:
    """Draw the performance that scores promise before labels are there."""
    st.header("Expected performance without labels")
    rows = data_drift.promised(source, chosen.every, chosen.reference, chosen.methods, condition)
    measures = list(dict.fromkeys(row["column"] for row in rows))
    if not any(row["value"] is not None for row in rows):
        st.info(
            "No inference has a score between 0 and 1 and a decision, so nothing is promised.",
            icon=":material/question_mark:",
        )
        return
    measure = st.segmented_control(
        "Measure",
        measures,
        default=measures[0],
        required=True,
        key="promise",
        bind=BOUND,
        format_func=lambda name: words.code(name.removeprefix("expected_")),
    )
    own = [row for row in rows if row["column"] == measure]
    st.warning(drift.CBPE_BLIND, icon=":material/visibility_off:")
    labelled = sum(row.get("n_labelled") or 0 for row in own)
    guides = {"expected_precision", "expected_recall"} & {str(measure)} or {"expected_accuracy"}
    chart_card(
        charts.drift(own, column=words.code(str(measure)), method="cbpe"),
        own,
        key="promised",
        on_pick=state.pick_from("promised", "chunk"),
        said=f"{words.plural(sum(row['n'] for row in own), 'row')} with a score"
        + (f", {labelled:,} of them labelled; bars are 95 % intervals." if labelled else "."),
        sql=data_drift.rows_sql(source, "expected", chosen.every, chosen.reference, condition),
        guides=tuple(guides),
        also=_THRESHOLD,
    )


def slices(source: Build, before: str | None, condition: str | None) -> None:
    """Search for the slices that are worst or moved most; each leads to its rows."""
    st.header("For whom it is worst")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        metric = st.selectbox("What", data_drift.METRICS, key="worst", bind=BOUND, width=220)
        kinds = ["worse than elsewhere", *(["worse than before"] if before else [])]
        state.drop_unless("moved", kinds)
        kind = st.segmented_control(
            "Compared", kinds, default=kinds[0], required=True, key="moved", bind=BOUND
        )
        wanted = st.toggle("Search", key="search", bind=BOUND, help="Takes some seconds.")
    moved = kind == "worse than before"
    if not wanted:
        st.caption("Turn on Search: it tries all slices of up to two columns.")
        return
    with st.spinner("Trying slices"):
        found = data_drift.slices(source, str(metric), before if moved else None, condition)
    than = "before" if moved else "elsewhere"
    st.markdown(
        f"{words.plural(found.n_slices, 'slice')} tried, **{len(found.rows)} named**: {metric} is "
        f"worse there than {than}."
    )
    if not found.rows:
        how_to_read((), also=_SLICES)
        st.caption(
            "That no slice is named does not mean that all are alike: small ones do not show."
        )
        return
    effects = [
        {"name": _name(row), "value": row["effect"], **{k: row[k] for k in ("low", "high", "n")}}
        for row in found.rows
    ]
    columns = ("where", "value", "other", "effect", "low", "high", "n", "n_rows", "impact", "q")
    chart_card(
        charts.intervals(effects, what=f"{metric}, minus {than}", reference=0.0, said="no effect"),
        [{name: row[name] for name in columns} for row in found.rows],
        key="slices",
        said="Bars are 95 % intervals.",
        guides=(str(metric),) if metric in data.metric_names() else ("calibration",),
        also=_SLICES,
    )
    for place, row in enumerate(found.rows):
        _slice(row, than, place, condition)


def _name(row: Row) -> str:
    return ", ".join(f"{name} {value}" for name, value in row["slice"].items())


def _slice(row: Row, than: str, place: int, condition: str | None) -> None:
    names = " and ".join(f"**{name}** {value}" for name, value in row["slice"].items())
    with st.container(border=True, key=f"slice-{place}"):
        st.markdown(
            f"{names}  \n{row['value']:.3f}, {than} {row['other']:.3f}: effect "
            f"{row['effect']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f}), "
            f"n = {row['n']:,} of {words.plural(row['n_rows'], 'row')}, impact "
            f"{row['impact']:+.4f}, q = {row['q']:.2g}"
        )
        st.code(row["where"], language="sql", wrap_lines=True)
        with st.container(horizontal=True):
            links(both_of(condition, row["where"]))
