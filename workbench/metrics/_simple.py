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
    columns: dict[str, ir.Value] = {}
    for i, m in simple.items():
        if m.expr:
            value = formulas.finite(m.expr(rows))
            columns[f"v{i}"] = (
                rows.weight.notnull().ifelse(value, ibis.null("float64")) if weighted else value
            )
        if m.base:
            columns[f"b{i}"] = m.base(rows)
    valued = rows.mutate(**columns)
    aggregates: dict[str, ir.Scalar] = {
        "n_rows": valued.count(),
        "n_labelled": valued.count(where=valued.labelled),
    }
    for i, metric in simple.items():
        aggregates |= _sums(valued, i, metric, weighted=weighted)
    return valued.aggregate(by=list(keys), **aggregates)


def simple_values(sums: ir.Table, keys: tuple[str, ...], simple: Mapping[int, Metric]) -> ir.Table:
    """Value and interval of every simple metric in every group of `simple_sums`.

    Returns
    -------
    ir.Table
        `keys`, ``n_rows``, ``n_labelled``, and of metric i ``n<i>``, ``mean<i>``, ``low<i>`` and
        ``high<i>`` where it has an interval, ``base<i>`` where it is about a part of the rows.
    """
    found: dict[str, ir.Value] = {name: sums[name] for name in (*keys, "n_rows", "n_labelled")}
    for i, metric in simple.items():
        found[f"n{i}"], found[f"mean{i}"] = sums[f"n{i}"], sums[f"mean{i}"]
        if metric.base:
            found[f"base{i}"] = sums[f"base{i}"]
        if metric.interval != "none":
            found[f"low{i}"], found[f"high{i}"] = _interval(sums, i, metric)
    return sums.select(**found)


def _sums(valued: ir.Table, i: int, metric: Metric, *, weighted: bool) -> dict[str, ir.Scalar]:
    """What one scan sums up for a simple metric; ``size`` is the effective sample size."""
    value, weight = valued[f"v{i}"], valued.weight if weighted else None
    sums: dict[str, ir.Scalar] = {f"n{i}": value.count()}
    if metric.base:
        sums[f"base{i}"] = valued.count(where=valued[f"b{i}"])
    if weight is not None:
        there = value.notnull()
        total = weight.sum(where=there).nullif(0.0)
        mean = (weight * value).sum() / total
        size = total * total / (weight * weight).sum(where=there)
        spread = ibis.greatest((weight * value * value).sum() / total - mean * mean, 0.0)
        variance = spread * size / (size - 1.0).nullif(0.0)
    else:
        mean, size, variance = value.mean(), value.count(), value.var(how="sample")
    sums[f"mean{i}"], sums[f"size{i}"] = mean, size
    if metric.interval in ("mean", "normal"):
        sums[f"var{i}"] = variance
        sums[f"min{i}"], sums[f"max{i}"] = value.min(), value.max()
    return sums


def _interval(sums: ir.Table, i: int, metric: Metric) -> tuple[ir.FloatingValue, ir.FloatingValue]:
    mean, size = sums[f"mean{i}"], sums[f"size{i}"]
    if metric.interval == "wilson":
        return formulas.wilson(mean * size, size)
    if metric.interval == "normal":
        return formulas.normal_interval(mean, sums[f"var{i}"], size)
    return formulas.mean_interval(mean, sums[f"var{i}"], sums[f"min{i}"], sums[f"max{i}"], size)
