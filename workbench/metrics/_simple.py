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
    shares: dict[int, bool] = {}
    for i, metric in simple.items():
        shares[i] = not weighted and valued[f"v{i}"].type().is_boolean()
        if shares[i]:
            aggregates[f"n{i}"] = _count(valued, valued[f"v{i}"].notnull())
            aggregates[f"k{i}"] = _count(valued, valued[f"v{i}"])
        else:
            aggregates |= _sums(valued, i, metric, weighted=weighted)
    return _with_shares(valued.aggregate(by=list(keys), **aggregates), simple, shares)


def _with_shares(
    sums: ir.Table, simple: Mapping[int, Metric], shares: Mapping[int, bool]
) -> ir.Table:
    """Of metrics that are true or false, the moments out of two counts: a count stands once."""
    moments: dict[str, ir.Value] = {}
    for i, metric in simple.items():
        if not shares[i]:
            continue
        n, k = sums[f"n{i}"], sums[f"k{i}"]
        mean = k.cast("float64") / n.nullif(0)
        moments[f"mean{i}"] = mean
        if metric.interval in ("mean", "normal"):
            moments[f"var{i}"] = mean * (1.0 - mean) * n / (n - 1).nullif(0)
            some = ibis.ifelse(n > 0, 1.0, ibis.null("float64"))
            moments[f"min{i}"] = some * (k == n).cast("float64")
            moments[f"max{i}"] = some * (k > 0).cast("float64")
    return sums.mutate(**moments).drop(*[f"k{i}" for i in simple if shares[i]])


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
    # As doubles, because DuckDB's sum of BIGINT is a HUGEINT.
    return rows.aggregate(by=[*keys, "labelled", *needed], times=rows.count().cast("float64"))


def _count(rows: ir.Table, condition: ir.BooleanValue | None = None) -> ir.IntegerScalar:
    if "times" not in rows.columns:
        return rows.count(where=condition)
    return rows.times.sum(where=condition).fill_null(0.0).cast("int64")


#: Number of the row of `simple_values` that is about the group alone.
SIZE = -1


def simple_values(sums: ir.Table, keys: tuple[str, ...], simple: Mapping[int, Metric]) -> ir.Table:
    """Value and interval of every simple metric in every group of `simple_sums`.

    The formula of an interval stands in the query once, not once for each metric: planning it
    would cost more than the scan.

    Returns
    -------
    ir.Table
        One row for each group and metric: `keys`, ``n_rows``, ``n_labelled``, ``metric`` (its
        number; `SIZE` in one more row of each group), ``n``, ``value``, ``low`` and ``high`` (NULL
        where it has no interval), and ``base`` where it is about a part of the rows.
    """
    bases = _bases(simple)
    nothing = dict.fromkeys(_MOMENTS, ibis.null("float64"))
    size = {"metric": SIZE, "kind": "none", "n": 0, "base": None, **nothing}
    entries = [_entry(size)]
    for i, metric in simple.items():
        n = sums[f"n{i}"]
        moments = {name: sums[f"{name}{i}"] for name in _MOMENTS if f"{name}{i}" in sums.columns}
        entries.append(
            _entry(
                {"metric": i, "kind": metric.interval, "n": n,
                 "base": sums[f"base{bases[i]}"] if metric.base else None,
                 # Of rows that are not weighted, the effective number is the number.
                 **nothing, "size": n, **moments}
            )
        )  # fmt: skip
    long = sums.select(*keys, "n_rows", "n_labelled", entry=ibis.array(entries).unnest())
    names = ("metric", "kind", "n", "base", *_MOMENTS)
    flat = long.select(*keys, "n_rows", "n_labelled", **{name: long.entry[name] for name in names})
    low, high = _interval(flat, {metric.interval for metric in simple.values()})
    return flat.select(
        *keys, "n_rows", "n_labelled", "metric", "n", "base", value=flat["mean"], low=low, high=high
    )


_MOMENTS = ("mean", "size", "var", "min", "max")


def _entry(fields: Mapping[str, object]) -> ir.StructValue:
    types = {"metric": "int64", "kind": "string", "n": "int64", "base": "int64"}
    found = {}
    for name, value in fields.items():
        kind = types.get(name, "float64")
        known = value if isinstance(value, ir.Value) else ibis.literal(value, kind)
        found[name] = known.cast(kind)
    return ibis.struct(found)


def _interval(flat: ir.Table, kinds: set[str]) -> tuple[ir.FloatingValue, ir.FloatingValue]:
    mean, size, variance = flat["mean"], flat["size"], flat["var"]
    known = {
        "wilson": formulas.wilson(mean * size, size),
        "normal": formulas.normal_interval(mean, variance, size),
        "mean": formulas.mean_interval(mean, variance, flat["min"], flat["max"], size),
    }
    ends = []
    for end in (0, 1):
        branches = [(flat.kind == kind, known[kind][end]) for kind in sorted(kinds & set(known))]
        nothing = ibis.null("float64")
        ends.append(ibis.cases(*branches, else_=nothing) if branches else nothing)
    return ends[0], ends[1]


def _sums(valued: ir.Table, i: int, metric: Metric, *, weighted: bool) -> dict[str, ir.Scalar]:
    """What one scan sums up for a simple metric; ``size``, of weights, is the effective one."""
    value, weight = valued[f"v{i}"], valued.weight if weighted else None
    sums: dict[str, ir.Scalar] = {f"n{i}": _count(valued, value.notnull())}
    if weight is not None:
        there = value.notnull()
        total = weight.sum(where=there).nullif(0.0)
        mean = (weight * value).sum() / total
        size = total * total / (weight * weight).sum(where=there)
        spread = ibis.greatest((weight * value * value).sum() / total - mean * mean, 0.0)
        variance = spread * size / (size - 1.0).nullif(0.0)
        sums[f"size{i}"] = size
    else:
        mean, variance = value.mean(), value.var(how="sample")
    sums[f"mean{i}"] = mean
    if metric.interval in ("mean", "normal"):
        sums[f"var{i}"] = variance
        sums[f"min{i}"], sums[f"max{i}"] = value.min(), value.max()
    return sums
