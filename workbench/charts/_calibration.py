"""Reliability diagrams."""

from __future__ import annotations

import plotly.graph_objects as go

from workbench.charts._chart import FEW, MARGIN, REFERENCE, Chart, Rows, error_bars, group_name


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
            line={"color": REFERENCE, "dash": "dash", "width": 1},
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
            error_y=error_bars(rows, "observed"),
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
        margin=MARGIN,
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
