"""Values with their intervals, one line each, so that many can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from workbench.charts._chart import MARGIN, REFERENCE, Chart, Rows, count, error_bars


def intervals(
    rows: Rows,
    *,
    what: str,
    percent: bool = False,
    reference: float | None = None,
    said: str = "",
    own_axes: bool = False,
) -> Chart:
    """Dots with 95 % intervals, from top to bottom; undefined values are left out.

    Parameters
    ----------
    rows
        Dicts of ``name``, ``value``, ``low``, ``high``, ``n`` and, to compare several values of a
        name, ``series``.
    what
        What the values are, for the axis and the sentence.
    percent
        Whether the values are shares.
    reference
        Where to draw a line.
    said
        What the line means.
    own_axes
        Whether each name has an axis of its own, for values that are no measure of one thing.
    """
    known = [row for row in rows if row["value"] is not None]
    names = list(dict.fromkeys(row["name"] for row in known))
    series = list(dict.fromkeys(row.get("series", "") for row in known))
    style = ".1%" if percent else ".3f"
    drawn = _scaled(known) if own_axes else known
    figure = go.Figure()
    for i, one in enumerate(series):
        own = [row for row in drawn if row.get("series", "") == one]
        # Lines of one name would lie on each other.
        shift = (i - (len(series) - 1) / 2) * 0.36
        told = [[row["name"], count(row["n"]), _value(row, style)] for row in own]
        figure.add_trace(
            go.Scatter(
                x=[row["value"] for row in own],
                y=[names.index(row["name"]) + shift for row in own],
                mode="markers+text" if own_axes else "markers",
                text=[f"{row.get('text', row['value']):{style}}" for row in own],
                textposition=("top center", "bottom center")[i % 2],
                name=one,
                marker={"size": 10, "symbol": ("circle", "diamond")[i % 2]},
                customdata=told,
                error_x=error_bars(own),
                hovertemplate="%{customdata[0]}: %{customdata[2]}, n = %{customdata[1]}"
                "<extra></extra>",
            )
        )
    if reference is not None:
        figure.add_vline(x=reference, line={"color": REFERENCE, "dash": "dash", "width": 1})
    figure.update_layout(
        height=(66 if own_axes else 44) * max(len(names), 1) + (110 if len(series) > 1 else 80),
        margin=MARGIN,
        showlegend=len(series) > 1,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    figure.update_xaxes(title=what, tickformat=".0%" if percent else None)
    if own_axes:
        figure.update_xaxes(
            title=f"{what}; each line has a scale of its own", range=[-0.08, 1.08],
            showticklabels=False, showgrid=False, zeroline=False,
        )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=names, zeroline=False,
        range=[len(names) - 0.4, -0.6],
    )  # fmt: skip
    line = f" The line at {reference:g} is {said}." if reference is not None and said else ""
    if not known:
        return Chart(figure, f"{what}: none of {len(rows)} values is defined.")
    texts = [_said(row, style) for row in known]
    more = f" and {len(texts) - 6} more" if len(texts) > 6 else ""
    return Chart(figure, f"{what}: {'; '.join(texts[:6])}{more}.{line}")


def _scaled(rows: Rows) -> Rows:
    """The rows, each value as a place in the range of its name; ``text`` has the value."""
    ends = {
        name: [
            one[key]
            for one in rows
            for key in ("value", "low", "high")
            if one["name"] == name and one[key] is not None
        ]
        for name in {row["name"] for row in rows}
    }
    scaled = []
    for row in rows:
        least, width = min(ends[row["name"]]), max(ends[row["name"]]) - min(ends[row["name"]])
        places = {
            key: None if row[key] is None else (row[key] - least) / width if width else 0.5
            for key in ("value", "low", "high")
        }
        of = {f"of_{key}": row[key] for key in ("low", "high")}
        scaled.append({**row, **places, "text": row["value"], **of})
    return scaled


def _value(row: Mapping[str, Any], style: str) -> str:
    low, high = row.get("of_low", row["low"]), row.get("of_high", row["high"])
    ends = "" if low is None or high is None else f" ({low:{style}} to {high:{style}})"
    return f"{row.get('text', row['value']):{style}}{ends}"


def _said(row: Mapping[str, Any], style: str) -> str:
    series = f" {row['series']}" if row.get("series") else ""
    return f"{row['name']}{series} {_value(row, style)}"
