"""Shares of two sets of rows, beside each other."""

from __future__ import annotations

import plotly.graph_objects as go

from workbench.charts._chart import MARGIN, REFERENCE, Chart, Rows


def shares(rows: Rows, *, names: tuple[str, str], what: str) -> Chart:
    """How two sets of rows are shared out: two dots a line, with their distance between them.

    Parameters
    ----------
    rows
        Dicts of ``name`` and of ``first`` and ``second``: its share of each set, 0 to 1.
    names
        How the two sets are called.
    what
        What is shared out, for the sentence.
    """
    figure = go.Figure()
    for side, name, symbol in (
        ("first", names[0], "circle-open"),
        ("second", names[1], "diamond"),
    ):
        figure.add_trace(
            go.Scatter(
                x=[row[side] for row in rows],
                y=list(range(len(rows))),
                mode="markers",
                name=name,
                marker={"size": 11, "symbol": symbol, "line": {"width": 2}},
                customdata=[[row["name"]] for row in rows],
                hovertemplate="%{customdata[0]}: %{x:.1%}",
            )
        )
    for place, row in enumerate(rows):
        figure.add_shape(
            x0=row["first"], x1=row["second"], y0=place, y1=place,
            line={"color": REFERENCE, "width": 2}, layer="below",
        )  # fmt: skip
    figure.update_layout(
        height=32 * len(rows) + 96,
        margin=MARGIN,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    figure.update_xaxes(tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[row["name"] for row in rows],
        zeroline=False,
        range=[len(rows) - 0.4, -0.6],
    )
    ordered = sorted(rows, key=lambda row: (-abs(row["first"] - row["second"]), row["name"]))
    told = "; ".join(
        f"{row['name']} {row['first']:.1%} and {row['second']:.1%}" for row in ordered[:3]
    )
    return Chart(figure, f"{what}, {names[0]} and {names[1]}. Farthest apart: {told or 'nothing'}.")
