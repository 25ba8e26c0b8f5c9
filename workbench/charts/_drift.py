"""What moved over chunks of time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from workbench.charts._chart import MARGIN, REFERENCE, Chart, Rows, count, error_bars

_LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}


def drift(rows: Rows, *, column: str, method: str) -> Chart:
    """Value of each chunk with its thresholds; alerts are diamonds, the reference is shaded.

    Parameters
    ----------
    rows
        Dicts of ``chunk``, ``period``, ``from``, ``n``, ``value``, ``lower``, ``threshold``,
        ``alert``, in order of time, and of what is measured with labels ``measured``, ``low``,
        ``high``.
    column, method
        What is followed and how, for axes and the sentence.
    """
    names = [chunk_name(row) for row in rows]
    figure = go.Figure()
    alerts = [bool(row["alert"]) for row in rows]
    figure.add_trace(
        go.Scatter(
            x=names,
            y=[row["value"] for row in rows],
            mode="lines+markers",
            name="promised" if _measured(rows) else method,
            customdata=[
                [name, count(row["n"]), ", alert" if alert else ""]
                for name, row, alert in zip(names, rows, alerts, strict=True)
            ],
            marker={
                "size": [13 if alert else 8 for alert in alerts],
                "symbol": ["diamond" if alert else "circle" for alert in alerts],
            },
            hovertemplate="%{x}: %{y:.4f}, n = %{customdata[1]}%{customdata[2]}<extra></extra>",
        )
    )
    if _measured(rows):
        figure.add_trace(
            go.Scatter(
                x=names,
                y=[row.get("measured") for row in rows],
                mode="markers",
                name="measured with labels",
                marker={"size": 9, "symbol": "square-open"},
                error_y=error_bars([_ends(row) for row in rows], "measured"),
                hovertemplate="%{x}: %{y:.4f} measured<extra></extra>",
            )
        )
    for end, said in (("threshold", "upper threshold"), ("lower", "lower threshold")):
        level = next((row[end] for row in rows if row[end] is not None), None)
        if level is not None:
            figure.add_trace(
                go.Scatter(
                    x=names,
                    y=[level] * len(names),
                    mode="lines",
                    name=said,
                    hoverinfo="skip",
                    line={"color": REFERENCE, "dash": "dash", "width": 1.5},
                )
            )
    inside = [i for i, row in enumerate(rows) if row["period"] == "reference"]
    if inside:
        figure.add_vrect(
            x0=inside[0] - 0.5, x1=inside[-1] + 0.5, fillcolor=REFERENCE, opacity=0.12,
            line_width=0, annotation_text="reference", annotation_position="top left",
            annotation_font_color=REFERENCE,
        )  # fmt: skip
    figure.update_layout(height=380, margin=MARGIN, clickmode="event+select", legend=_LEGEND)
    figure.update_xaxes(type="category", nticks=16)
    figure.update_yaxes(title=column if method == "cbpe" else f"{method} of {column}")
    return Chart(figure, _sentence(rows, names, alerts, f"{column} by {method}"))


def chunk_name(row: Mapping[str, Any]) -> str:
    """How a chunk is called: by its first day, or by its number where there is no clock."""
    return (
        f"chunk {row['chunk']}"
        if row["from"] is None
        else f"{row['from']:%Y-%m-%d}" + (f" #{row['chunk']}" if row.get("cut_by_rows") else "")
    )


def _measured(rows: Rows) -> bool:
    return any(row.get("measured") is not None for row in rows)


def _ends(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in ("measured", "low", "high")}


def _sentence(rows: Rows, names: list[str], alerts: list[bool], what: str) -> str:
    known = [row for row in rows if row["value"] is not None]
    if not known:
        return f"{what}: no value in any of {len(rows)} chunks."
    last = known[-1]
    text = f"{what} over {len(rows)} chunks, last {last['value']:.4f} (n = {count(last['n'])}): "
    if last["threshold"] is None:
        return text + "too few reference chunks for a threshold, so there is no alert."
    beyond = [name for name, alert in zip(names, alerts, strict=True) if alert]
    if not beyond:
        return text + f"no alert, all {_within(last)}."
    listed = ", ".join(beyond[:4]) + (f" and {len(beyond) - 4} more" if len(beyond) > 4 else "")
    word = "alert" if len(beyond) == 1 else "alerts"
    return text + f"{len(beyond)} {word}, not {_within(last)} in {listed}."


def _within(row: Mapping[str, Any]) -> str:
    if row["lower"] is None:
        return f"below the threshold of {row['threshold']:.4f}"
    return f"between the thresholds of {row['lower']:.4f} and {row['threshold']:.4f}"
