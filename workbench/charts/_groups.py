"""A metric by group."""

from __future__ import annotations

import plotly.graph_objects as go

from workbench.charts._chart import MARGIN, REFERENCE, Chart, Rows, count, error_bars, group_name


def metric_by_group(rows: Rows, *, metric: str, by: str, percent: bool) -> Chart:
    """Bars of one metric by group, with 95 % intervals and n; undefined groups have no bar.

    Parameters
    ----------
    rows
        Dicts of ``group``, ``value``, ``low``, ``high``, ``n``.
    metric, by
        What is shown, for axes and the sentence.
    percent
        Whether the values are shares.
    """
    names = [group_name(row["group"]) for row in rows]
    values = [row["value"] for row in rows]
    style = ".1%" if percent else ".3f"
    figure = go.Figure(
        go.Bar(
            x=[f"{name}<br>n = {count(row['n'])}" for name, row in zip(names, rows, strict=True)],
            y=values,
            customdata=[[name, row["n"]] for name, row in zip(names, rows, strict=True)],
            error_y={**error_bars(rows), "color": REFERENCE},
            hovertemplate=f"%{{customdata[0]}}: %{{y:{style}}}, n = %{{customdata[1]:,}}"
            "<extra></extra>",
        )
    )
    figure.update_layout(height=360, margin=MARGIN, bargap=0.35, clickmode="event+select")
    figure.update_xaxes(title=by, type="category")
    figure.update_yaxes(title=metric, rangemode="tozero", tickformat=".0%" if percent else None)
    return Chart(figure, _groups_sentence(rows, metric, by, style))


def _groups_sentence(rows: Rows, metric: str, by: str, style: str) -> str:
    known = [row for row in rows if row["value"] is not None]
    if not known:
        return f"{metric} by {by}: not defined for any of {len(rows)} groups."
    low = min(known, key=lambda row: row["value"])
    high = max(known, key=lambda row: row["value"])
    text = f"{metric} by {by}, {len(rows)} groups: "
    if len(known) == 1:
        return f"{text}{low['value']:{style}} for {group_name(low['group'])} (n = {low['n']:,})."
    return (
        f"{text}from {low['value']:{style}} for {group_name(low['group'])} (n = {low['n']:,}) "
        f"to {high['value']:{style}} for {group_name(high['group'])} (n = {high['n']:,})."
    )
