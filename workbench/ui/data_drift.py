"""What the Drift page shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from workbench.drift import bucket, chunks_query, drift
from workbench.measure import measure
from workbench.query import Build
from workbench.state import measure_state
from workbench.ui.data import cached, span
from workbench.worst import Search, find_worst

#: What slices can be searched for, in the order of the choice.
METRICS = ("accuracy", "calibration_gap", "reward_mean", "label_coverage", "expected_accuracy")

#: With fewer weeks than these, days are shown.
_LEAST_WEEKS = 9


def usual_chunks(source: Build) -> str:
    """Chunks of which there are enough: a threshold needs several of them in the reference."""
    whole = span(source)
    if whole["first"] is None:
        return "500"
    return "week" if (whole["last"] - whole["first"]).days >= 7 * _LEAST_WEEKS else "day"


@cached
def followed(
    source: Build,
    columns: Sequence[str],
    every: str,
    reference: str | None,
    methods: Sequence[str],
    condition: str | None,
) -> list[dict[str, Any]]:
    """Drift of columns by chunk; of all that there is when none is named."""
    found = drift(
        source, columns, every=every, reference=reference, methods=methods, where=condition
    )
    by_rows = every.strip().isdecimal()
    return [{**row, "cut_by_rows": by_rows} for row in found]


@cached
def promised(
    source: Build,
    every: str,
    reference: str | None,
    methods: Sequence[str],
    condition: str | None,
) -> list[dict[str, Any]]:
    """Expected performance by chunk, beside what labels say, with its interval where it has one.

    It is among what `followed` finds of all columns; without any score there is nothing.
    """
    every_column = followed(source, (), every, reference, methods, condition)
    found = [row for row in every_column if row["method"] == "cbpe"]
    if every.strip().isdecimal() or not any(row["measured"] is not None for row in found):
        return found
    unit = every.strip().lower()
    if reference or condition:
        start = bucket(unit, "ts")
        chosen = f"coalesce(({reference}\n), false)" if reference else "false"
        # Of all chunks in one scan; without a reference, no condition tells the first ones.
        measured = measure(source, ("accuracy",), (start, chosen), condition)
    else:
        start, chosen = f"date_trunc('{unit}', day::TIMESTAMP)", "false"
        measured = measure_state(source, ("accuracy",), (start, chosen))
    ends = {
        (row["by"][start].replace(tzinfo=UTC), row["by"][chosen]): {
            name: row[name] for name in ("low", "high", "n_labelled")
        }
        for row in measured
        if row["by"][start] is not None
    }
    return [_with_interval(row, ends, with_reference=reference is not None) for row in found]


def _with_interval(
    row: dict[str, Any], ends: Mapping[tuple[Any, bool], Any], *, with_reference: bool
) -> dict[str, Any]:
    if row["column"] != "expected_accuracy":
        return row
    chosen = with_reference and row["period"] == "reference"
    starts = [start for start, inside in ends if inside is chosen and start <= row["from"]]
    return {**row, **ends[max(starts), chosen]} if starts else row


def in_chunk(row: dict[str, Any], reference: str | None) -> str:
    """Write the SQL condition of the rows of a chunk.

    Where chunks are cut by number, rows of the very time of a border are in both.
    """
    parts = []
    if row["from"] is not None:
        parts.append(
            f"ts BETWEEN TIMESTAMPTZ '{row['from'].isoformat()}' "
            f"AND TIMESTAMPTZ '{row['to'].isoformat()}'"
        )
    if reference:
        inside = row["period"] == "reference"
        parts.append(f"{'' if inside else 'NOT '}coalesce(({reference}\n), false)")
    return " AND ".join(parts) or "true"


@cached
def slices(source: Build, metric: str, reference: str | None, condition: str | None) -> Search:
    """The slices where a metric is worst, or moved most since a reference."""
    return find_worst(source, metric, where=condition, reference=reference)


@cached
def rows_sql(
    source: Build, column: str, every: str, reference: str | None, condition: str | None
) -> str:
    """Return the query of the rows that are compared, each with its chunk."""
    # What is followed of attributions are features, which are no columns.
    name = "attributions" if column.startswith("attributions.") else column
    return chunks_query(source, (name,), every=every, reference=reference, where=condition)
