"""Counts of a column by chunk and cell: values of categories, bins of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np

from workbench import formulas
from workbench.scratch import Scratch

Array = np.ndarray[Any, Any]

#: Numbers of few values are categories (NannyML): up to so many, and up to this share of the rows.
FEW_VALUES, FEW_SHARE = 50, 0.1


@dataclass(frozen=True)
class Cells:
    """How many rows of each chunk are in each cell.

    Attributes
    ----------
    chunks
        Numbers of the chunks, rising.
    counts
        Rows, of shape (chunks, cells). The last cell is what the reference does not have: values
        that it never takes, numbers outside of its bins.
    reference
        Rows of the whole reference in each cell.
    """

    chunks: tuple[int, ...]
    counts: Array
    reference: Array


def is_number(value: ir.Value) -> bool:
    """Whether a column holds numbers; truth values are categories."""
    return bool(value.type().is_numeric()) and not value.type().is_boolean()


def is_continuous(rows: Scratch, table: ir.Table, name: str) -> bool:
    """Whether a column is to be binned: a number of more than a few values in the reference."""
    if not is_number(table[name]):
        return False
    inside = table.filter(table.reference)
    value = formulas.finite(inside[name])
    (found,) = rows.run(inside.aggregate(values=value.nunique(), n=value.count())).to_pylist()
    values, n = found["values"], found["n"]
    return bool(n) and (values > FEW_VALUES or values / n > FEW_SHARE)


def by_value(rows: Scratch, table: ir.Table, name: str) -> Cells:
    """Cells by value; NULL is a value of its own."""
    value = table[name]
    if value.type().is_floating():
        value = formulas.finite(value)
        # Otherwise -0.0 and 0.0 were two categories.
        value = (value == 0.0).ifelse(0.0, value)
    counted = table.group_by("chunk", "reference", cell=value).aggregate(n=table.count())
    # Each value is written once, not for each row.
    counted = counted.mutate(cell=counted.cell.cast("string"))
    found = rows.run(counted.order_by("chunk", "cell")).to_pydict()
    known = {c for c, ok in zip(found["cell"], found["reference"], strict=True) if ok}
    order = sorted(known, key=lambda c: (c is None, c or ""))
    return _cells(found, {value: place for place, value in enumerate(order)}, len(order))


@ibis.udf.agg.builtin(name="histogram")  # type: ignore[untyped-decorator]
def _histogram(value: float, bounds: list[float]) -> dict[float, int]:  # type: ignore[empty-body]
    """Values up to each bound that are above the one before it; those above all under infinity."""


def by_edges(rows: Scratch, table: ir.Table, name: str, edges: Sequence[float]) -> Cells:
    """Cells [edge, next edge), the last one closed; NULL and NaN are one cell of their own.

    The edges may be infinite. They are passed as text, since DuckDB reads a literal such as
    0.09090909090909091 as a DECIMAL, which is another number.
    """
    # A bound of the engine is in the cell below it, which an edge is only if it is the last one.
    bounds = [*(math.nextafter(edge, -math.inf) for edge in edges[:-1]), edges[-1]]
    listed = [
        ibis.literal(repr(float(bound))).cast("float64") for bound in bounds if bound != -math.inf
    ]
    value = table[name].cast("float64")
    value = value.isnan().ifelse(ibis.null("float64"), value)
    counted = table.group_by("chunk", "reference").aggregate(
        cells=_histogram(value, ibis.array(listed)), n=table.count()
    )
    found: dict[str, list[Any]] = {"chunk": [], "reference": [], "cell": [], "n": []}
    for row in rows.run(counted).to_pylist():
        cells = dict(row["cells"] or ())
        for cell, n in [*cells.items(), (None, row["n"] - sum(cells.values()))]:
            for key, entry in (row | {"cell": cell, "n": n}).items():
                if key in found:
                    found[key].append(entry)
    last = len(edges) - 1
    # What is below the first edge has no place. Of edges that are equal, the first has the rows.
    index = {bounds[place]: place - 1 for place in range(last, 0, -1)}
    return _cells(found, index | {None: last}, last + 1)


def _cells(found: dict[str, list[Any]], index: Mapping[Any, int], last: int) -> Cells:
    """Rows by chunk and cell; in the cell `last` are those of which `index` has no place."""
    chunk, n = np.asarray(found["chunk"], np.int64), np.asarray(found["n"], np.int64)
    of_reference = np.asarray(found["reference"], bool)
    column = np.asarray([index.get(value, last) for value in found["cell"]], np.int64)
    chunks, row = np.unique(chunk, return_inverse=True)
    counts = np.zeros((len(chunks), last + 1), np.int64)
    np.add.at(counts, (row, column), n)
    inside = np.zeros(last + 1, np.int64)
    np.add.at(inside, column[of_reference], n[of_reference])
    return Cells(tuple(int(number) for number in chunks), counts, inside)


def doane_edges(rows: Scratch, table: ir.Table, name: str) -> list[float] | None:
    """Edges of ``numpy.histogram_bin_edges(reference, bins="doane")``; None without a value."""
    inside = table.filter(table.reference).select(v=formulas.finite(table[name]))
    inside = inside.filter(inside.v.notnull())
    v = inside.v
    (found,) = rows.run(
        inside.aggregate(n=v.count(), low=v.min(), high=v.max(), mean=v.mean(), sd=v.std(how="pop"))
    ).to_pylist()
    n, low, high = found["n"], found["low"], found["high"]
    if not n:
        return None
    if low == high:
        return [low - 0.5, high + 0.5]
    bins = 1
    if n > 2 and found["sd"]:
        z = (v - found["mean"]) / found["sd"]
        (moment,) = rows.run(inside.aggregate(skewness=(z * z * z).mean())).to_pylist()
        scale = math.sqrt(6.0 * (n - 2) / ((n + 1.0) * (n + 3)))
        width = (high - low) / (1.0 + math.log2(n) + math.log2(1 + abs(moment["skewness"]) / scale))
        bins = max(1, math.ceil((high - low) / width))
    return [float(edge) for edge in np.linspace(low, high, bins + 1)]


def decile_edges(rows: Scratch, table: ir.Table, name: str) -> list[float] | None:
    """Inner deciles of the reference as ``numpy.quantile``, from minus to plus infinity.

    Equal deciles are one edge.
    """
    inside = table.filter(table.reference).select(v=formulas.finite(table[name]))
    inside = inside.filter(inside.v.notnull())
    (found,) = rows.run(inside.aggregate(n=inside.count())).to_pylist()
    n = found["n"]
    if not n:
        return None
    positions = [(n - 1) * (tenth / 10) for tenth in range(1, 10)]
    wanted = sorted({min(math.floor(p) + step, n - 1) for p in positions for step in (0, 1)})
    ranked = inside.mutate(place=ibis.row_number().over(order_by="v"))
    picked = rows.run(ranked.filter(ranked.place.isin(wanted))).to_pydict()
    at = dict(zip(picked["place"], picked["v"], strict=True))
    edges = []
    for position in positions:
        before = math.floor(position)
        low, high, part = at[before], at[min(before + 1, n - 1)], position - before
        # The operations of numpy in their order: another order moves the last digit.
        rise = high - low
        edges.append(high - rise * (1 - part) if part >= 0.5 else low + rise * part)
    return [-math.inf, *sorted(set(edges)), math.inf]
