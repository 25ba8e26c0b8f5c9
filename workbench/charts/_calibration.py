"""Reliability diagrams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.charts._chart import FEW, MARGIN, REFERENCE, Chart, Rows, error_bars, group_name


def calibration(rows: Rows) -> Chart:
    """Reliability diagram: observed frequency by mean predicted probability of each bin.

    Parameters
    ----------
    rows
        Dicts of ``group`` (the bin), ``predicted``, ``observed``, ``low``, ``high``, ``n``. The
        area of a marker is in proportion to n; bins with fewer than `FEW` rows are hollow. Rows
        with another ``series`` get another colour.
    """
    figure = go.Figure()
    figure.add_trace(_diagonal())
    names = list(dict.fromkeys(row.get("series", "bins") for row in rows)) or ["bins"]
    most = max((row["n"] for row in rows), default=1)
    largest = 22 if len(names) == 1 else 10
    for name in names:
        own = [row for row in rows if row.get("series", "bins") == name]
        figure.add_trace(_marks(own, most, name, largest))
    figure.update_layout(
        height=460,
        margin=MARGIN,
        clickmode="event+select",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    figure.update_xaxes(title="mean predicted probability", range=[-0.02, 1.02], constrain="domain")
    figure.update_yaxes(
        title="observed frequency", range=[-0.02, 1.02], scaleanchor="x", constrain="domain"
    )
    return Chart(figure, _calibration_sentence(rows))


def panels(rows: Rows, *, by: str) -> Chart:
    """One small reliability diagram for each group, with common axes.

    Parameters
    ----------
    rows
        As for `calibration`, with ``panel``: the text of the group.
    by
        What the groups are of, for the sentence.
    """
    names = list(dict.fromkeys(group_name(row["panel"]) for row in rows))
    across = min(len(names), 3) or 1
    down = max(-(-len(names) // across), 1)
    figure = make_subplots(
        down, across, shared_xaxes=True, shared_yaxes=True, subplot_titles=names,
        horizontal_spacing=0.03, vertical_spacing=0.14 / down,
    )  # fmt: skip
    most = max((row["n"] for row in rows), default=1)
    sentences = []
    for i, name in enumerate(names):
        own = [row for row in rows if group_name(row["panel"]) == name]
        place = {"row": i // across + 1, "col": i % across + 1}
        figure.add_trace(_diagonal(), **place)
        marks = _marks(own, most, name, largest=14)
        figure.add_trace(marks, **place)
        worst = _furthest(own)
        sentences.append(f"{name} {worst['predicted'] - worst['observed']:+.2f}")
    figure.update_layout(
        height=290 * down + 60, margin={**MARGIN, "t": 32}, clickmode="event+select",
        showlegend=False,
    )  # fmt: skip
    figure.update_xaxes(range=[-0.02, 1.02])
    figure.update_yaxes(range=[-0.02, 1.02])
    figure.update_xaxes(title="mean predicted probability", row=down)
    figure.update_yaxes(title="observed frequency", col=1)
    text = f"Calibration by {by}, predicted minus observed where it is furthest from the diagonal: "
    return Chart(figure, text + ", ".join(sentences) + ".")


def _diagonal() -> go.Scatter:
    return go.Scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": REFERENCE, "dash": "dash", "width": 1},
        name="perfectly calibrated",
        hoverinfo="skip",
    )


def _marks(rows: Rows, most: int, name: str, largest: int = 22) -> go.Scatter:
    return go.Scatter(
        x=[row["predicted"] for row in rows],
        y=[row["observed"] for row in rows],
        mode="markers",
        name=name,
        customdata=[[group_name(row["group"]), row["n"]] for row in rows],
        error_y=error_bars(rows, "observed"),
        marker={
            "size": [8 + largest * (row["n"] / most) ** 0.5 for row in rows],
            "symbol": ["circle" if row["n"] >= FEW else "circle-open" for row in rows],
            "opacity": 0.85,
        },
        hovertemplate="bin %{customdata[0]}: predicted %{x:.3f}, observed %{y:.3f}, "
        "n = %{customdata[1]:,}<extra></extra>",
    )


def _furthest(rows: Rows) -> Mapping[str, Any]:
    enough = [row for row in rows if row["n"] >= FEW] or list(rows)
    return max(enough, key=lambda row: abs(row["predicted"] - row["observed"]))


def _calibration_sentence(rows: Rows) -> str:
    if not rows:
        return "Calibration: no labelled rows with a probability."
    series = list(dict.fromkeys(row.get("series", "") for row in rows))
    parts = [_of_series([r for r in rows if r.get("series", "") == name], name) for name in series]
    return f"Calibration {'; '.join(parts)}."


def _of_series(rows: Rows, name: str) -> str:
    worst = _furthest(rows)
    gap = worst["predicted"] - worst["observed"]
    word = "overconfident" if gap > 0 else "underconfident"
    return (
        f"{f'{name}, ' if name else ''}over {len(rows)} bins: furthest from the diagonal where it "
        f"predicts {worst['predicted']:.2f} and {worst['observed']:.2f} is observed "
        f"(n = {worst['n']:,}), {word} by {abs(gap):.2f}"
    )
