"""What one scan sums up for all simple metrics, and their values and intervals from those sums."""

from __future__ import annotations

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir

from workbench import formulas
from workbench.metrics._metric import Metric


def labelled(table: ir.Table) -> ir.BooleanValue:
    """Whether the label or the reward of a row is known."""
    known = [table[name].notnull() for name in ("label", "reward") if name in table.columns]
    found = known[0] if known else ibis.literal(False)
    for other in known[1:]:
        found = found | other
    return found


def simple_sums(
    rows: ir.Table, keys: tuple[str, ...], simple: Mapping[int, Metric], *, weighted: bool = False
) -> ir.Table:
    """Sums of every group: its rows and, for the simple metric number i, ``n<i>``, ``mean<i>``, ...

    Parameters
    ----------
    rows
        Rows with the columns that the metrics need, ``labelled`` and, if `weighted`, ``weight``.
    keys
        Grouping columns.
    simple
        Simple metrics by number.
    weighted
        Whether rows count by their ``weight``.
    """
    rows = rows if weighted else _counted(rows, keys, simple)
    columns: dict[str, ir.Value] = {}
    for i, m in simple.items():
        if m.expr:
            value = m.expr(rows)
            # A number that is true or false needs no look for NaN, which costs more than the rest.
            if weighted or not value.type().is_boolean():
                value = formulas.finite(value)
            columns[f"v{i}"] = (
                rows.weight.notnull().ifelse(value, ibis.null("float64")) if weighted else value
            )
    for i in set(_bases(simple).values()):
        base = simple[i].base
        if base:
            columns[f"b{i}"] = base(rows)
    valued = rows.mutate(**columns)
    aggregates: dict[str, ir.Scalar] = {
        "n_rows": _count(valued),
        "n_labelled": _count(valued, valued.labelled),
    }
    for i in set(_bases(simple).values()):
        aggregates[f"base{i}"] = _count(valued, valued[f"b{i}"])
    for i, metric in simple.items():
        aggregates |= _sums(valued, i, metric, weighted=weighted)
    return valued.aggregate(by=list(keys), **aggregates)


def _bases(simple: Mapping[int, Metric]) -> dict[int, int]:
    """The metric that stands for each that is about a part of the rows: the first of equal ones."""
    first: dict[object, int] = {}
    return {i: first.setdefault(m.base, i) for i, m in simple.items() if m.base}


def _counted(rows: ir.Table, keys: tuple[str, ...], simple: Mapping[int, Metric]) -> ir.Table:
    """Rows that are alike as one with the number of them in ``times``, where few can differ.

    Eight rates of a decision are then computed of a dozen rows of each group.
    """
    needed = sorted({name for metric in simple.values() for name in metric.needs})
    read = [rows[name] for name in needed] + [m.expr(rows) for m in simple.values() if m.expr]
    if not needed or not all(value.type().is_boolean() for value in read):
        return rows
    return rows.aggregate(by=[*keys, "labelled", *needed], times=rows.count())


def _count(rows: ir.Table, condition: ir.BooleanValue | None = None) -> ir.IntegerScalar:
    if "times" not in rows.columns:
        return rows.count(where=condition)
    # DuckDB's sum of BIGINT is a HUGEINT, and Ibis leaves out a cast from what it takes for BIGINT.
    return rows.times.sum(where=condition).fill_null(0).cast("float64").cast("int64")


def simple_values(sums: ir.Table, keys: tuple[str, ...], simple: Mapping[int, Metric]) -> ir.Table:
    """Value and interval of every simple metric in every group of `simple_sums`.

    Returns
    -------
    ir.Table
        `keys`, ``n_rows``, ``n_labelled``, and of metric i ``n<i>``, ``mean<i>``, ``low<i>`` and
        ``high<i>`` where it has an interval, ``base<i>`` where it is about a part of the rows.
    """
    found: dict[str, ir.Value] = {name: sums[name] for name in (*keys, "n_rows", "n_labelled")}
    bases = _bases(simple)
    for i, metric in simple.items():
        found[f"n{i}"], found[f"mean{i}"] = sums[f"n{i}"], sums[f"mean{i}"]
        if metric.base:
            found[f"base{i}"] = sums[f"base{bases[i]}"]
        if metric.interval != "none":
            found[f"low{i}"], found[f"high{i}"] = _interval(sums, i, metric)
    return sums.select(**found)


def _sums(valued: ir.Table, i: int, metric: Metric, *, weighted: bool) -> dict[str, ir.Scalar]:
    """What one scan sums up for a simple metric; ``size`` is the effective sample size."""
    value, weight = valued[f"v{i}"], valued.weight if weighted else None
    sums: dict[str, ir.Scalar] = {f"n{i}": _count(valued, value.notnull())}
    if weight is not None:
        there = value.notnull()
        total = weight.sum(where=there).nullif(0.0)
        mean = (weight * value).sum() / total
        size = total * total / (weight * weight).sum(where=there)
        spread = ibis.greatest((weight * value * value).sum() / total - mean * mean, 0.0)
        variance = spread * size / (size - 1.0).nullif(0.0)
    elif value.type().is_boolean():
        size = sums[f"n{i}"]
        mean = _count(valued, value).cast("float64") / size.nullif(0)
        variance = mean * (1.0 - mean) * size / (size - 1).nullif(0)
    else:
        mean, size, variance = value.mean(), value.count(), value.var(how="sample")
    sums[f"mean{i}"] = mean
    if weighted:
        sums[f"size{i}"] = size
    if metric.interval in ("mean", "normal"):
        sums[f"var{i}"] = variance
        number = value.cast("float64")
        sums[f"min{i}"], sums[f"max{i}"] = number.min(), number.max()
    return sums


def _interval(sums: ir.Table, i: int, metric: Metric) -> tuple[ir.FloatingValue, ir.FloatingValue]:
    # Of rows that are not weighted, the effective number is the number.
    mean, size = sums[f"mean{i}"], sums[f"size{i}" if f"size{i}" in sums.columns else f"n{i}"]
    if metric.interval == "wilson":
        return formulas.wilson(mean * size, size)
    if metric.interval == "normal":
        return formulas.normal_interval(mean, sums[f"var{i}"], size)
    return formulas.mean_interval(mean, sums[f"var{i}"], sums[f"min{i}"], sums[f"max{i}"], size)
