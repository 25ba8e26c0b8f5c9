"""Charts: small tables of numbers in, a figure and one sentence about it out.

Colours come from the theme, so that light and dark both work; only reference lines are set here.
Every mark carries its group in ``customdata``, which is what a click returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

#: Bins with fewer labelled rows are drawn hollow.
FEW = 30

_REFERENCE = "#808080"
_MARGIN = {"l": 8, "r": 24, "t": 8, "b": 8}
_NONE = "(none)"

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Chart:
    """A figure and its text alternative.

    Attributes
    ----------
    figure
        The Plotly figure.
    alt
        One sentence with what the figure shows.
    """

    figure: go.Figure
    alt: str


def count(number: int) -> str:
    """Write `number` with thousands separators."""
    return f"{number:,}"


def group_name(value: Any) -> str:
    """How a group is called on an axis."""
    return _NONE if value is None else str(value)


def funnel(
    stages: Sequence[tuple[str, int]], *, what: str = "Feedback events that remain after each step"
) -> Chart:
    """How many rows remain after each step."""
    names = [name for name, _ in stages]
    numbers = [number for _, number in stages]
    first = numbers[0] if numbers else 0
    texts = [f"{count(n)} · {n / first:.1%}" if first else "0" for n in numbers]
    figure = go.Figure(
        go.Funnel(
            y=names,
            x=numbers,
            text=texts,
            textinfo="text",
            textposition="auto",
            hovertemplate="%{y}: %{text}<extra></extra>",
            connector={"line": {"color": _REFERENCE, "width": 1}},
        )
    )
    figure.update_layout(height=44 * len(stages) + 40, margin=_MARGIN, showlegend=False)
    steps = ", ".join(f"{name.lower()} {count(n)}" for name, n in stages)
    return Chart(figure, f"{what}: {steps}.")


def counts(rows: Sequence[tuple[str, int]], *, what: str) -> Chart:
    """Horizontal bars of a few counts, largest first."""
    ordered = sorted(rows, key=lambda row: (row[1], row[0]))
    figure = go.Figure(
        go.Bar(
            x=[number for _, number in ordered],
            y=[name for name, _ in ordered],
            orientation="h",
            text=[count(number) for _, number in ordered],
            textposition="outside",
            cliponaxis=False,
            customdata=[[name] for name, _ in ordered],
            hovertemplate="%{y}: %{x:,}<extra></extra>",
        )
    )
    figure.update_layout(height=30 * len(ordered) + 60, margin={**_MARGIN, "r": 56})
    figure.update_xaxes(rangemode="tozero")
    most = ordered[-1] if ordered else ("none", 0)
    return Chart(figure, f"{what}: {len(ordered)} kinds, most often {most[0]} ({count(most[1])}).")


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
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [_distance(row["high"], row["value"]) for row in rows],
                "arrayminus": [_distance(row["value"], row["low"]) for row in rows],
                "color": _REFERENCE,
            },
            hovertemplate=f"%{{customdata[0]}}: %{{y:{style}}}, n = %{{customdata[1]:,}}"
            "<extra></extra>",
        )
    )
    figure.update_layout(height=360, margin=_MARGIN, bargap=0.35, clickmode="event+select")
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


def _distance(upper: float | None, lower: float | None) -> float:
    return 0.0 if upper is None or lower is None else max(upper - lower, 0.0)


def calibration(rows: Rows) -> Chart:
    """Reliability diagram: observed frequency by mean predicted probability of each bin.

    Parameters
    ----------
    rows
        Dicts of ``group`` (the bin), ``predicted``, ``observed``, ``low``, ``high``, ``n``. The
        area of a marker is in proportion to n; bins with fewer than `FEW` rows are hollow.
    """
    most = max((row["n"] for row in rows), default=1)
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=[0, 1],
            y=[0, 1],
            mode="lines",
            line={"color": _REFERENCE, "dash": "dash", "width": 1},
            name="perfectly calibrated",
            hoverinfo="skip",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[row["predicted"] for row in rows],
            y=[row["observed"] for row in rows],
            mode="markers",
            name="bins",
            customdata=[[group_name(row["group"]), row["n"]] for row in rows],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [_distance(row["high"], row["observed"]) for row in rows],
                "arrayminus": [_distance(row["observed"], row["low"]) for row in rows],
            },
            marker={
                "size": [8 + 22 * (row["n"] / most) ** 0.5 for row in rows],
                "symbol": ["circle" if row["n"] >= FEW else "circle-open" for row in rows],
                "opacity": 0.85,
            },
            hovertemplate="bin %{customdata[0]}: predicted %{x:.3f}, observed %{y:.3f}, "
            "n = %{customdata[1]:,}<extra></extra>",
        )
    )
    figure.update_layout(
        height=460,
        margin=_MARGIN,
        clickmode="event+select",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    figure.update_xaxes(title="mean predicted probability", range=[-0.02, 1.02], constrain="domain")
    figure.update_yaxes(
        title="observed frequency", range=[-0.02, 1.02], scaleanchor="x", constrain="domain"
    )
    return Chart(figure, _calibration_sentence(rows))


def _calibration_sentence(rows: Rows) -> str:
    enough = [row for row in rows if row["n"] >= FEW] or list(rows)
    if not enough:
        return "Calibration: no labelled rows with a probability."
    worst = max(enough, key=lambda row: abs(row["predicted"] - row["observed"]))
    gap = worst["predicted"] - worst["observed"]
    word = "overconfident" if gap > 0 else "underconfident"
    return (
        f"Calibration over {len(rows)} bins: furthest from the diagonal where it predicts "
        f"{worst['predicted']:.2f} and {worst['observed']:.2f} is observed "
        f"(n = {worst['n']:,}), {word} by {abs(gap):.2f}."
    )
