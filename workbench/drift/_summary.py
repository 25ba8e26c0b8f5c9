"""Each column of a drift answer in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def by_column(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Sum up what `drift` returns, columns with most alerts first.

    Returns
    -------
    list of dict
        ``column``, ``method``, ``chunks`` (after the reference), ``alerts`` (NULL without a
        threshold), ``first_alert`` (its time, else its number), ``last`` (value), ``lower``,
        ``threshold``.
    """
    chunks: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["period"] == "analysis":
            chunks.setdefault((row["column"], row["method"]), []).append(row)
    found = [_line(column, method, own) for (column, method), own in chunks.items()]
    return sorted(found, key=lambda line: -(line["alerts"] or 0))


def _line(column: str, method: str, chunks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    alerts = [row for row in chunks if row["alert"]]
    known = [row for row in chunks if row["value"] is not None]
    last = known[-1] if known else chunks[-1]
    return {
        "column": column,
        "method": method,
        "chunks": len(chunks),
        "alerts": len(alerts) if last["threshold"] is not None else None,
        "first_alert": (alerts[0]["from"] or alerts[0]["chunk"]) if alerts else None,
        "last": last["value"],
        "lower": last["lower"],
        "threshold": last["threshold"],
    }
