"""What a chart is, and what all of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

#: Bins with fewer labelled rows are drawn hollow.
FEW = 30

REFERENCE = "#808080"
MARGIN = {"l": 8, "r": 24, "t": 8, "b": 8}
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


def distance(upper: float | None, lower: float | None) -> float:
    """Length of one side of an interval; 0 where it has no end."""
    return 0.0 if upper is None or lower is None else max(upper - lower, 0.0)


def error_bars(rows: Rows, value: str = "value") -> dict[str, Any]:
    """The intervals of `rows`, as Plotly wants them."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [distance(row["high"], row[value]) for row in rows],
        "arrayminus": [distance(row[value], row["low"]) for row in rows],
    }
