"""How far each two raters agree."""

from __future__ import annotations

import plotly.graph_objects as go

from workbench.charts._chart import MARGIN, Chart, Rows, count

_SIZE = 26


def kappas(rows: Rows, *, signal: str) -> Chart:
    """A square for each pair of raters, coloured by Cohen's kappa.

    Parameters
    ----------
    rows
        Dicts of ``mark``, ``rater_a``, ``rater_b``, ``value``, ``low``, ``high``, ``n``; a pair
        without a value has no square.
    signal
        What they judged.
    """
    known = [row for row in rows if row["value"] is not None]
    names = sorted({row[side] for row in known for side in ("rater_a", "rater_b")})
    figure = go.Figure(
        go.Scatter(
            x=[row["rater_b"] for row in known],
            y=[row["rater_a"] for row in known],
            mode="markers",
            marker={
                "symbol": "square",
                "size": _SIZE,
                "color": [row["value"] for row in known],
                "cmin": min([0.0, *(row["value"] for row in known)]),
                "cmax": 1.0,
                "showscale": True,
                "colorbar": {"title": "kappa"},
            },
            customdata=[
                [row["mark"], row["value"], _ends(row["low"], row["high"]), count(row["n"])]
                for row in known
            ],
            hovertemplate="%{customdata[0]}: %{customdata[1]:.3f}%{customdata[2]}, "
            "n = %{customdata[3]}<extra></extra>",
        )
    )
    figure.update_layout(height=120 + 34 * max(len(names), 1), margin=MARGIN, showlegend=False)
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=names)
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=names[::-1])
    what = f"Cohen's kappa on {signal}"
    if not known:
        return Chart(figure, f"{what}: no two raters have enough inferences in common.")
    low, high = (end(known, key=lambda row: row["value"]) for end in (min, max))
    ends = [f"{row['value']:.2f} for {row['mark']} (n = {count(row['n'])})" for row in (low, high)]
    return Chart(figure, f"{what}, {len(known)} pairs of raters: from {ends[0]} to {ends[1]}.")


def _ends(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
