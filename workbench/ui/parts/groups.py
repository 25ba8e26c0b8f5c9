"""The parts of the Groups page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from workbench import charts
from workbench.disparities import FOUR_FIFTHS, LEAST
from workbench.query import Build
from workbench.ui import data, data_groups, state
from workbench.ui.parts import words
from workbench.ui.parts.cards import chart_card
from workbench.ui.parts.controls import BOUND
from workbench.ui.parts.rows import mark_choice, rows_behind

Row = dict[str, Any]

_PAIR = (
    "The two groups were picked after looking at all of them: of many equal groups, some two are "
    "always apart. So the interval is adjusted for all pairs that could have been picked. One "
    "that contains 0 may be chance. A difference says nothing of its cause."
)


def settings(source: Build) -> tuple[str, tuple[str, ...], int]:
    """Draw the choice of metric, groupings and smallest group, and return it."""
    columns = data.group_columns(source)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        metric = st.selectbox("Metric", data.metric_names(), key="metric", bind=BOUND, width=190)
        # Another grouping has other groups, here and on the Explore page.
        options: dict[str, Any] = {
            "bind": BOUND,
            "accept_new_options": True,
            "on_change": state.choose,
            "args": ("group", None),
            "width": 230,
            "help": "A column, or any SQL expression: type it and press Enter.",
        }
        by = st.selectbox("By", columns, key="by", **options)
        second = st.selectbox(
            "And by", columns, index=None, key="by2", placeholder="nothing else", **options
        )
        least = st.number_input(
            "Smallest group",
            min_value=0,
            value=LEAST,
            key="least",
            bind=BOUND,
            width=130,
            help="Values of fewer rows are hidden, and others that would give them away.",
        )
    names = dict.fromkeys(one for one in (str(by), second) if one)
    return str(metric), tuple(names), int(least)


def by_groups(
    source: Build, metric: str, by: Sequence[str], condition: str | None, least: int
) -> None:
    """Draw the metric by group, with what is hidden, and the rows behind a bar."""
    for one in by:
        # Before anything is drawn: an expression of too many values is refused in words.
        data.groups(source, condition, one)
    rows = data_groups.by_groups(source, metric, by, condition, least)
    chart_card(
        charts.metric_by_group(
            rows, metric=metric, by=" · ".join(by), percent=metric in words.SHARES
        ),
        _table(rows),
        key="by-groups",
        on_pick=state.pick_from("by-groups", "cell"),
        said=" ".join(filter(None, (_coverage(rows), _hidden(rows, least)))),
        sql=data.compiled(source, (metric,), condition, by),
        guides=(metric,),
    )
    shown = {row["group"]: row for row in rows if row["reason"] != "suppressed"}
    cell = mark_choice("cell", shown, "Rows of the group")
    if cell:
        rows_behind(source, condition, shown[cell]["where"], f"of {cell}", key="cell")


def _coverage(rows: Sequence[Row]) -> str:
    n, labelled = sum(row["n"] for row in rows), sum(row["n_labelled"] for row in rows)
    return (
        f"{words.plural(n, 'row')} in the values, {labelled:,} labelled; bars are 95 % intervals."
    )


def _hidden(rows: Sequence[Row], least: int) -> str:
    hidden = [row["group"] for row in rows if row["reason"] == "suppressed"]
    if not hidden:
        return ""
    names = ", ".join(hidden[:6]) + (f" and {len(hidden) - 6} more" if len(hidden) > 6 else "")
    return (
        f"**{words.plural(len(hidden), 'group is', 'groups are')} hidden** ({names}): fewer than "
        f"{least} rows, or a total would give such a group away."
    )


def _table(rows: Sequence[Row]) -> list[Row]:
    columns = ("group", "value", "low", "high", "n", "n_labelled")
    return [
        {name: row[name] for name in columns}
        | {"why not defined": words.reason(row["reason"]) if row["value"] is None else None}
        for row in rows
    ]


def disparities(
    source: Build, metric: str, by: Sequence[str], condition: str | None, least: int
) -> None:
    """Show how far the groups are apart, in which two, and what chance allows."""
    st.header("How far the groups are apart")
    rows = data_groups.disparities(source, metric, by, condition, least)
    known = [
        {
            "name": row["disparity"],
            "value": row["difference"],
            "low": row["adjusted_low"],
            "high": row["adjusted_high"],
            "n": sum(group["n"] for group in row["groups"]),
        }
        for row in rows
    ]
    chart = charts.intervals(
        known,
        what="Largest difference between two groups",
        reference=0.0,
        said="no difference",
    )
    names = list(dict.fromkeys(row["metric"] for row in rows))
    chart_card(
        chart,
        [_disparity(row) for row in rows],
        key="disparities",
        on_pick=state.pick_from("disparities", "pair"),
        said=_comparisons(rows),
        sql=data.compiled(source, names, condition, by),
        guides=names,
        also=_PAIR,
    )
    for row in rows:
        if row["disparity"] == metric and row["difference"] is not None:
            st.markdown(_in_words(row))
    apart = {row["disparity"]: row for row in rows if row["where"]}
    pair = mark_choice("pair", apart, "Rows of the two groups furthest apart")
    if pair:
        row = apart[pair]
        what = f"of {_name(row['lowest'])} and {_name(row['highest'])}"
        rows_behind(source, condition, row["where"], what, key="pair")


def _comparisons(rows: Sequence[Row]) -> str:
    most = max((row["comparisons"] or 0 for row in rows), default=0)
    undefined = [row["disparity"] for row in rows if row["difference"] is None]
    text = f"95 % intervals, adjusted for {words.plural(most, 'comparison')} at most."
    return text + (f" Not defined: {', '.join(undefined)}." if undefined else "")


def _in_words(row: Row) -> str:
    low, high = row["adjusted_low"], row["adjusted_high"]
    sure = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
    certain = (
        "chance may explain it" if low is None or low <= 0 else "chance alone does not explain it"
    )
    text = (
        f"**{row['metric']}** is {row['difference']:.3f}{sure} higher for "
        f"{_name(row['highest'])} than for {_name(row['lowest'])}; after "
        f"{words.plural(row['comparisons'], 'comparison')}, {certain}."
    )
    if row["ratio"] is not None:
        text += f" The ratio is {row['ratio']:.2f}: {_four_fifths(row)}."
    return text


def _disparity(row: Row) -> Row:
    columns = ("disparity", "difference", "adjusted_low", "adjusted_high", "ratio")
    return {name: row[name] for name in columns} | {
        "four-fifths": _four_fifths(row),
        "lowest": _name(row["lowest"]),
        "highest": _name(row["highest"]),
        "comparisons": row["comparisons"],
        "why not defined": words.reason(row["reason"]) if row["difference"] is None else None,
    }


def _four_fifths(row: Row) -> str | None:
    if row["below_four_fifths"] is None:
        return None
    side = "below" if row["below_four_fifths"] else "not below"
    return f"{side} {FOUR_FIFTHS:g}" + ("" if row["four_fifths_certain"] else ", not sure")


def _name(by: dict[str, Any] | None) -> str | None:
    if by is None:
        return None
    return " · ".join("(none)" if value is None else str(value) for value in by.values())


def heard(source: Build, by: Sequence[str], condition: str | None, least: int) -> None:
    """Show who gives feedback, and what the metrics would be if all were heard alike."""
    st.header("Who is heard")
    rows = data_groups.by_groups(source, "response_rate", by, condition, least)
    chart_card(
        charts.metric_by_group(rows, metric="response_rate", by=" · ".join(by), percent=True),
        _table(rows),
        key="heard",
        on_pick=state.pick_from("heard", "cell"),
        said=" ".join(filter(None, (_coverage(rows), _hidden(rows, least)))),
        sql=data.compiled(source, ("response_rate",), condition, by),
        guides=("response_rate", "label_coverage"),
    )
    told = data_groups.who_answers(source, condition)
    if told:
        names = dict.fromkeys(row["column_name"] for row in told if row["spread"] > 0)
        st.caption(
            f"Tells most of who answers: {', '.join(list(names)[:4])}."
            if names
            else "No column tells who answers."
        )
        with st.expander("Response rate by every column", icon=":material/table:"):
            st.dataframe(told, hide_index=True, alt="Response rates by column and value.")
    _reweighted(source, condition)


def _reweighted(source: Build, condition: str | None) -> None:
    rows = data_groups.reweighted(source, condition)
    if not rows:
        st.markdown(
            "**No weights.** To see what the metrics would be if all were heard alike, fit how "
            "likely a label is: `workbench fit propensity`, then `workbench build`."
        )
        return
    names = list(dict.fromkeys(row["name"] for row in rows))
    refused = [row["name"] for row in rows if row["reason"] == "few_effective"]
    said = "Reweighted, labelled inferences stand for all that are like them in the columns known."
    if refused:
        said += f" {', '.join(refused)}: {words.reason('few_effective')}."
    chart_card(
        charts.intervals(rows, what="Observed and reweighted", own_axes=True),
        rows,
        key="reweighted",
        said=said,
        sql=data.compiled(source, names, condition),
        guides=names,
    )
