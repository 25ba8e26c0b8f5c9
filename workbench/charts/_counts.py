"""Counts: a funnel of steps, and bars."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from workbench.charts._chart import MARGIN, REFERENCE, Chart, count


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
            connector={"line": {"color": REFERENCE, "width": 1}},
        )
    )
    figure.update_layout(height=44 * len(stages) + 40, margin=MARGIN, showlegend=False)
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
    figure.update_layout(height=30 * len(ordered) + 60, margin={**MARGIN, "r": 56})
    figure.update_xaxes(rangemode="tozero")
    most = ordered[-1] if ordered else ("none", 0)
    return Chart(figure, f"{what}: {len(ordered)} kinds, most often {most[0]} ({count(most[1])}).")
