"""How unsure the model was, and whether it was wrong there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from workbench.charts._chart import MARGIN, REFERENCE, Chart, Rows, count, error_bars

_LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}


def distribution(rows: Rows, *, score: str) -> Chart:
    """Stacked bars of the rows by range of a score: wrong, right, and not judged.

    Parameters
    ----------
    rows
        Dicts of ``part``, ``left``, ``width``, ``n``, ``n_wrong``, ``n_right``.
    score
        What is shown.
    """
    figure = go.Figure()
    width = max((row["width"] for row in rows), default=0.0) or 1.0
    for name, opacity in (("wrong", 1.0), ("right", 0.85), ("not judged", 0.3)):
        counts = [_of(row, name) for row in rows]
        figure.add_trace(
            go.Bar(
                x=[row["left"] + row["width"] / 2 for row in rows],
                y=counts,
                width=width * 0.94,
                name=name,
                marker={"opacity": opacity}
                | ({"color": REFERENCE} if name == "not judged" else {}),
                customdata=[
                    [str(row["part"]), count(n)] for row, n in zip(rows, counts, strict=True)
                ],
                hovertemplate=f"{score} about %{{x:.3f}}: %{{customdata[1]}} {name}<extra></extra>",
            )
        )
    figure.update_layout(
        barmode="stack", height=340, margin=MARGIN, clickmode="event+select", legend=_LEGEND
    )
    figure.update_xaxes(title=score)
    figure.update_yaxes(title="rows", rangemode="tozero")
    if not rows:
        return Chart(figure, f"Distribution of {score}: no rows.")
    total, judged = sum(r["n"] for r in rows), sum(r["n_wrong"] + r["n_right"] for r in rows)
    most = max(rows, key=lambda row: row["n"])
    return Chart(
        figure,
        f"Distribution of {score} from {rows[0]['first']:.3f} to {rows[-1]['last']:.3f} over "
        f"{count(total)} rows, {count(judged)} of them judged; the fullest range "
        f"is {most['first']:.3f} to {most['last']:.3f} ({count(most['n'])} rows).",
    )


def _of(row: Mapping[str, Any], name: str) -> int:
    wrong, right = int(row["n_wrong"]), int(row["n_right"])
    return {"wrong": wrong, "right": right, "not judged": int(row["n"]) - wrong - right}[name]


def error_rates(rows: Rows, *, score: str) -> Chart:
    """Bars of the share of wrong answers from the least sure part to the surest.

    Parameters
    ----------
    rows
        Dicts of ``part`` (1 is the least sure), ``first``, ``last``, ``value``, ``low``, ``high``,
        ``n``.
    score
        What the rows are parted by.
    """
    figure = go.Figure(
        go.Bar(
            x=[str(row["part"]) for row in rows],
            y=[row["value"] for row in rows],
            customdata=[[str(r["part"]), count(r["n"]), r["first"], r["last"]] for r in rows],
            error_y={**error_bars(rows), "color": REFERENCE},
            hovertemplate="part %{customdata[0]}, " + score + " %{customdata[2]:.3f} to "
            "%{customdata[3]:.3f}: %{y:.1%} wrong, n = %{customdata[1]}<extra></extra>",
        )
    )
    figure.update_layout(height=340, margin=MARGIN, bargap=0.25, clickmode="event+select")
    figure.update_xaxes(
        title=f"tenth of the judged rows by {score}, 1 = least sure", type="category"
    )
    figure.update_yaxes(title="share of wrong answers", rangemode="tozero", tickformat=".0%")
    if not rows:
        return Chart(figure, f"Errors by {score}: no judged rows.")
    first, last = rows[0], rows[-1]
    return Chart(
        figure,
        f"Errors by {score}: {first['value']:.1%} ({first['low']:.1%} to {first['high']:.1%}, "
        f"n = {count(first['n'])}) of the least sure tenth are wrong, {last['value']:.1%} "
        f"({last['low']:.1%} to {last['high']:.1%}, n = {count(last['n'])}) of the surest.",
    )


def captured(rows: Rows, *, score: str) -> Chart:
    """Share of the errors that is found by looking at the least sure answers first.

    Parameters
    ----------
    rows
        Dicts of ``share``, ``mark``, ``value``, ``low``, ``high``, ``n``; undefined values are left
        out.
    score
        What the answers are ordered by.
    """
    known = [row for row in rows if row["value"] is not None]
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=[0, 1],
            y=[0, 1],
            mode="lines",
            name="at random",
            hoverinfo="skip",
            line={"color": REFERENCE, "dash": "dash", "width": 1},
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[row["share"] for row in known],
            y=[row["value"] for row in known],
            mode="lines+markers",
            name=f"by {score}",
            customdata=[[row["mark"]] for row in known],
            error_y=error_bars(known),
            hovertemplate="%{x:.0%} of the answers hold %{y:.1%} of the errors<extra></extra>",
        )
    )
    figure.update_layout(height=340, margin=MARGIN, clickmode="event+select", legend=_LEGEND)
    figure.update_xaxes(title="answers looked at, least sure first", tickformat=".0%")
    figure.update_yaxes(title="errors found", rangemode="tozero", tickformat=".0%")
    if not known:
        return Chart(figure, f"Errors found by {score}: not defined, nothing was wrong.")
    texts = [f"{row['share']:.0%} of the answers hold {row['value']:.1%}" for row in known]
    return Chart(
        figure, f"Errors found by {score} (n = {count(known[0]['n'])}): {', '.join(texts)}."
    )
