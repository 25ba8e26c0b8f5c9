"""Drift of columns and of promised performance over chunks of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ibis.expr.types as ir
import numpy as np

from workbench.drift import _cells, _chunks, _columns, _distances, _expected
from workbench.drift._columns import Column
from workbench.errors import ConfigError
from workbench.query import Build
from workbench.scratch import Scratch, held_table, scratch

#: An alert is a value this many standard deviations from the mean of the reference chunks.
DEVIATIONS = 3.0

#: Names of columns that are not columns: what is promised without labels, attributions by feature.
EXPECTED, ATTRIBUTIONS = "expected", "attributions"

CBPE_BLIND = (
    "Expected performance takes the outcomes for a score to be what they were in the reference. "
    "Where that itself has changed (concept drift), it cannot see it: only labels can."
)


def drift(
    build: Build,
    columns: Sequence[str] = (),
    *,
    every: str | int = "week",
    reference: str | None = None,
    methods: Sequence[str] = (),
    where: str | None = None,
) -> list[dict[str, Any]]:
    """Follow columns over chunks of time, each chunk compared with a reference.

    Parameters
    ----------
    build
        The build to read.
    columns
        SQL expressions over ``enriched_inferences``; ``labelled`` for the response rate;
        ``attributions`` for the mean absolute attribution of each feature; ``expected`` for the
        performance that the scores promise. When empty, all that there is of features, model
        outputs, feedback, attributions and promised performance.
    every
        ``day``, ``week``, ``month``, ``quarter``, ``year`` in UTC, or a number of rows.
    reference
        SQL condition of the rows to compare with, such as ``ts < '2026-03-09'``; by default the
        first third of the chunks.
    methods
        `METHODS`, for every column; by default ``jensen_shannon``, and ``mean`` for rates.
    where
        SQL condition of the rows to look at.

    Returns
    -------
    list of dict
        For each column, method and chunk: ``column``, ``chunk`` (number), ``period`` (reference
        or analysis), ``from`` and ``to`` (first and last time in it), ``n`` (rows in the value),
        ``whole`` (false for what is left over at the end), ``method``, ``value``, ``p`` (of the
        tests), ``lower``, ``threshold``, ``alert`` (NULL where there is no threshold), ``reason``
        (why there is no value), and of ``expected`` the ``measured`` value.

    Raises
    ------
    ConfigError
        If a method or a size of chunks does not exist, or no row is in the reference.
    QueryError
        If an expression does not fit the columns.

    Notes
    -----
    The thresholds are mean + 3 standard deviations (of the population) of the reference chunks, and
    mean - 3 for means and promised performance, as NannyML's. With one chunk in the reference
    there is none.
    """
    size = _chunks.checked(every)
    special, wanted, selected = _selected(build, columns, methods)
    found = []
    with scratch(build, _chunks.chunked(build, selected, size, reference, where)) as rows:
        chunks = _chunks.summaries(rows, size)
        if chunks and not any(chunk["reference"] for chunk in chunks):
            raise ConfigError(
                f"No row is in the reference {reference!r}.", "Choose an earlier or wider one."
            )
        table = held_table(rows)
        for i, column in enumerate(wanted):
            for method, values in compare(rows, table, f"c{i}", column).items():
                found += _rows(column.name, method, chunks, values)
        if ATTRIBUTIONS in special:
            by_feature = _columns.attribution_means(rows, ATTRIBUTIONS)
            for feature, values in by_feature.items():
                found += _rows(f"{ATTRIBUTIONS}.{feature}", "mean_abs", chunks, values)
        if EXPECTED in special:
            for measure, values in _expected.expected(rows).items():
                found += _rows(f"{EXPECTED}_{measure}", "cbpe", chunks, values)
    return found


def chunks_query(
    build: Build,
    columns: Sequence[str] = (),
    *,
    every: str | int = "week",
    reference: str | None = None,
    where: str | None = None,
) -> str:
    """Query of the rows that `drift` compares: ``chunk``, ``reference``, ``row_ts``, columns.

    The parameters are those of `drift`.
    """
    _, _, selected = _selected(build, columns, ())
    return _chunks.chunked(build, selected, _chunks.checked(every), reference, where)


def _selected(
    build: Build, columns: Sequence[str], methods: Sequence[str]
) -> tuple[set[str], Sequence[Column], dict[str, str]]:
    """What is asked for that is no column, the columns, and the SQL of both by name."""
    special, named = _special(build, columns)
    wanted = _columns.columns_of(build, named, methods) if named or not columns else ()
    selected = {f"c{i}": column.sql for i, column in enumerate(wanted)}
    if ATTRIBUTIONS in special:
        selected[ATTRIBUTIONS] = "attributions"
    if EXPECTED in special:
        selected |= _expected.NEEDS
    return special, wanted, selected


def _special(build: Build, columns: Sequence[str]) -> tuple[set[str], list[str]]:
    """What is asked for that is no column, and the columns."""
    known = build.columns(_chunks.RELATION)
    if columns:
        special = {name for name in columns if name in (EXPECTED, ATTRIBUTIONS)}
        return special, [name for name in columns if name not in special]
    special = set()
    if build.count(
        f"SELECT 1 AS one FROM narrow.{_chunks.RELATION} WHERE score IS NOT NULL LIMIT 1"
    ):
        special.add(EXPECTED)
    if ATTRIBUTIONS in known and build.count(
        f"SELECT 1 AS one FROM {_chunks.RELATION} WHERE attributions IS NOT NULL LIMIT 1"
    ):
        special.add(ATTRIBUTIONS)
    return special, []


def compare(
    rows: Scratch, table: ir.Table, name: str, column: Column
) -> dict[str, Mapping[int, Mapping[str, Any]]]:
    """Values of each method of a column by chunk; a method that does not apply has none.

    Parameters
    ----------
    rows, table
        Held rows with ``chunk``, ``reference`` and the column, and their expression.
    name
        The column's name among them.
    column
        How it is to be compared.
    """
    number = _cells.is_number(table[name])
    binned = _cells.is_continuous(rows, table, name)
    cells: dict[str, _cells.Cells | None] = {}

    def cells_for(method: str) -> _cells.Cells | None:
        rule = "value" if not binned else "doane" if method == "jensen_shannon" else "decile"
        if rule not in cells:
            if rule == "value":
                cells[rule] = _cells.by_value(rows, table, name)
            else:
                edges_of = _cells.doane_edges if rule == "doane" else _cells.decile_edges
                edges = edges_of(rows, table, name)
                cells[rule] = _cells.by_edges(rows, table, name, edges) if edges else None
        return cells[rule]

    found: dict[str, Mapping[int, Mapping[str, Any]]] = {}
    for method in column.methods:
        if method in _distances.OF_CELLS:
            counted = cells_for(method)
            found[method] = _distances.OF_CELLS[method](counted) if counted else {}
        elif number or (method == "mean" and table[name].type().is_boolean()):
            found[method] = _distances.OF_NUMBERS[method](rows, table, name)
        else:
            found[method] = {}
    return found


def thresholds(
    chunks: Sequence[Mapping[str, Any]], values: Mapping[int, Mapping[str, Any]], *, both: bool
) -> tuple[float | None, float | None]:
    """Lower and upper threshold out of the reference chunks; None with fewer than two values."""
    inside = [
        values[chunk["chunk"]]["value"]
        for chunk in chunks
        if chunk["reference"] and values.get(chunk["chunk"], {}).get("value") is not None
    ]
    if len(inside) < 2:
        return None, None
    middle, spread = float(np.mean(inside)), float(np.std(inside))
    return (middle - DEVIATIONS * spread if both else None), middle + DEVIATIONS * spread


def _rows(
    name: str,
    method: str,
    chunks: Sequence[Mapping[str, Any]],
    values: Mapping[int, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    lower, upper = thresholds(chunks, values, both=method in ("mean", "mean_abs", "cbpe"))
    found = []
    for chunk in chunks:
        of_chunk = values.get(chunk["chunk"], {})
        value = of_chunk.get("value")
        alert = None
        if value is not None and upper is not None:
            alert = value > upper or (lower is not None and value < lower)
        row = {
            "column": name,
            "chunk": chunk["chunk"],
            "period": "reference" if chunk["reference"] else "analysis",
            "from": chunk["first"],
            "to": chunk["last"],
            "n": of_chunk.get("n", 0),
            "whole": chunk["whole"],
            "method": method,
            "value": value,
            "p": of_chunk.get("p"),
            "lower": lower,
            "threshold": upper,
            "alert": alert,
            "reason": None if value is not None else "empty" if values else "not_applicable",
        }
        if method == "cbpe":
            row["measured"] = of_chunk.get("measured")
        found.append(row)
    return found
