"""What the Uncertainty page shows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from workbench import uncertainty
from workbench.measure import measure
from workbench.metrics import UNCERTAINTY_SCORES
from workbench.query import Build
from workbench.ui.data import RELATION, cached, shown_columns
from workbench.uncertainty import Parts

#: Shares of the answers that a person might look at.
SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)


@cached
def scores(source: Build) -> list[str]:
    """Columns of uncertainty that have values."""
    return uncertainty.scores(source)


@cached
def distribution(source: Build, score: str, condition: str | None) -> Parts:
    """Rows by range of a score."""
    return uncertainty.distribution(source, score, condition)


@cached
def error_rates(source: Build, score: str, condition: str | None) -> Parts:
    """Share of wrong answers by tenth of the judged rows."""
    return uncertainty.error_rates(source, score, condition)


def detection_calls(source: Build) -> tuple[str, ...]:
    """The metric of how well each score finds errors."""
    return tuple(f"error_detection_auroc(score={score!r})" for score in scores(source))


@cached
def detection(source: Build, condition: str | None) -> list[dict[str, Any]]:
    """How well each score finds errors, as ``name``, ``value``, ``low``, ``high``, ``n``."""
    names = scores(source)
    found = measure(source, detection_calls(source), (), condition)
    return [{**row, "name": name} for name, row in zip(names, found, strict=True)]


def capture_calls(score: str) -> tuple[str, ...]:
    """The metric of how many errors are found, for each of `SHARES`."""
    return tuple(f"error_capture_rate(share={share}, score={score!r})" for share in SHARES)


@cached
def capture(source: Build, score: str, condition: str | None) -> list[dict[str, Any]]:
    """Share of the errors among the least sure answers, for each of `SHARES`.

    Each dict has ``share``, ``mark`` (how it is called) and ``where``: SQL of those answers, with
    all that have the score of the last one.
    """
    found = measure(source, capture_calls(score), (), condition)
    parts = uncertainty.error_rates(source, score, condition, parts=100).rows
    rows = []
    for share, row in zip(SHARES, found, strict=True):
        inside = [part for part in parts if part["part"] <= round(share * 100)]
        where = f"{uncertainty.between(score, inside)} AND correct IS NOT NULL" if inside else ""
        rows.append({**row, "share": share, "mark": f"{share:.0%}", "where": where})
    return rows


@cached
def wrong_rows(
    source: Build, score: str, condition: str | None, *, surest: bool, limit: int
) -> pa.Table:
    """Wrong answers, the least sure first or the surest first."""
    rule = [source.expression(condition)] if condition else []
    relation = source.narrowest(RELATION, score, *rule)
    # Of some scores, small means unsure.
    falling = (UNCERTAINTY_SCORES[score] > 0) is not surest
    order = f"{score} {'DESC' if falling else 'ASC'}, request_id"
    keys = (
        f"SELECT request_id FROM {relation} WHERE {' AND '.join(['correct = false', *rule])} "
        f"AND isfinite({score}) ORDER BY {order} LIMIT {int(limit)}"
    )
    columns = [name for name in shown_columns(source) if name != score]
    listed = ", ".join(["request_id", score, *(name for name in columns if name != "request_id")])
    return source.arrow(
        f"SELECT {listed} FROM {RELATION} WHERE request_id IN ({keys}) ORDER BY {order}"
    )
