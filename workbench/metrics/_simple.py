"""What one scan sums up for all simple metrics, and their values and intervals from those sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

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
    """Sums of every simple metric in every group.

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

    Returns
    -------
    ir.Table
        One row for each group and metric: `keys`, ``n_rows``, ``n_labelled``, ``metric`` (its
        number; `SIZE` in one more row of each group), ``n``, ``base`` where it is about a part of
        the rows, and of its values ``mean``, ``size`` (the effective number), ``var``, ``min`` and
        ``max``.
    """
    needed = sorted({name for metric in simple.values() for name in metric.needs})
    read = [rows[name] for name in needed] + [m.expr(rows) for m in simple.values() if m.expr]
    if not weighted and needed and all(value.type().is_boolean() for value in read):
        return _counted(rows, keys, needed, simple)
    return long_sums(_scanned(rows, keys, simple, weighted=weighted), keys, simple)


#: Number of the row of `simple_sums` that is about the group alone.
SIZE = -1

_MOMENTS = ("mean", "size", "var", "min", "max")


def _counted(
    rows: ir.Table, keys: tuple[str, ...], needed: Sequence[str], simple: Mapping[int, Metric]
) -> ir.Table:
    """`simple_sums` of metrics that are true or false and read nothing else.

    Rows that are alike are counted first. Eight rates of a decision are then computed of a dozen
    rows of each group, and by one sum: to plan a sum for each takes longer than the scan.
    """
    spots = rows.aggregate(by=[*keys, "labelled", *needed], times=rows.count())
    nothing = ibis.null("boolean")
    entries = [ibis.struct({"metric": _number(SIZE), "value": nothing, "about": nothing})]
    for i, metric in simple.items():
        value = metric.expr(spots) if metric.expr else nothing
        about = metric.base(spots) if metric.base else nothing
        entries.append(ibis.struct({"metric": _number(i), "value": value, "about": about}))
    # As doubles, because DuckDB's sum of BIGINT is a HUGEINT.
    long = spots.select(
        *keys, "labelled", times=spots.times.cast("float64"), entry=ibis.array(entries).unnest()
    )
    flat = long.select(
        *keys,
        "labelled",
        "times",
        **{name: long.entry[name] for name in ("metric", "value", "about")},
    )
    found = flat.aggregate(
        by=[*keys, "metric"],
        n_rows=_whole(flat.times.sum()),
        n_labelled=_whole(flat.times.sum(where=flat.labelled)),
        n=_whole(flat.times.sum(where=flat.value.notnull())),
        k=_whole(flat.times.sum(where=flat.value)),
        base=_whole(flat.times.sum(where=flat.about)),
    )
    moments = _share(found.n, found.k, spread=_needs_spread(simple.values()))
    none = dict.fromkeys(_MOMENTS, ibis.null("float64")) | {"size": found.n.cast("float64")}
    return found.mutate(**none | moments).drop("k")


def _number(i: int) -> ir.IntegerScalar:
    return ibis.literal(i, "int64")


def _whole(count: ir.NumericValue) -> ir.IntegerValue:
    return count.fill_null(0.0).cast("int64")


def _needs_spread(simple: Iterable[Metric]) -> bool:
    return any(metric.interval in ("mean", "normal") for metric in simple)


def _share(n: ir.IntegerValue, k: ir.IntegerValue, *, spread: bool) -> dict[str, ir.Value]:
    """The moments of `n` values that are 0 or, `k` of them, 1."""
    mean = k.cast("float64") / n.nullif(0)
    if not spread:
        return {"mean": mean}
    some = ibis.ifelse(n > 0, 1.0, ibis.null("float64"))
    return {
        "mean": mean,
        "var": mean * (1.0 - mean) * n / (n - 1).nullif(0),
        "min": some * (k == n).cast("float64"),
        "max": some * (k > 0).cast("float64"),
    }


def _scanned(
    rows: ir.Table, keys: tuple[str, ...], simple: Mapping[int, Metric], *, weighted: bool
) -> ir.Table:
    """One row for each group, with ``n<i>``, ``mean<i>``, ... of the metric number i."""
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
    bases = _bases(simple)
    for i in set(bases.values()):
        base = simple[i].base
        if base:
            columns[f"b{i}"] = base(rows)
    valued = rows.mutate(**columns)
    aggregates: dict[str, ir.Scalar] = {
        "n_rows": valued.count(),
        "n_labelled": valued.count(where=valued.labelled),
    }
    for i in set(bases.values()):
        aggregates[f"base{i}"] = valued.count(where=valued[f"b{i}"])
    shares: dict[int, Metric] = {}
    for i, metric in simple.items():
        value = valued[f"v{i}"]
        aggregates[f"n{i}"] = value.count()
        if not weighted and value.type().is_boolean():
            shares[i] = metric
            # A third faster than to count with a condition.
            aggregates[f"k{i}"] = value.cast("int32").sum()
        else:
            aggregates |= _sums(valued, i, metric, weighted=weighted)
    summed = valued.aggregate(by=list(keys), **aggregates)
    moments: dict[str, ir.Value] = {}
    for i, metric in shares.items():
        n, k = summed[f"n{i}"], summed[f"k{i}"]
        found = _share(n, k, spread=_needs_spread([metric]))
        moments |= {f"{name}{i}": value for name, value in found.items()}
    for i, metric in simple.items():
        if metric.base and bases[i] != i:
            moments[f"base{i}"] = summed[f"base{bases[i]}"]
    return summed.mutate(**moments)


def _bases(simple: Mapping[int, Metric]) -> dict[int, int]:
    """The metric that stands for each that is about a part of the rows: the first of equal ones."""
    first: dict[object, int] = {}
    return {i: first.setdefault(m.base, i) for i, m in simple.items() if m.base}


def long_sums(wide: ir.Table, keys: tuple[str, ...], simple: Mapping[int, Metric]) -> ir.Table:
    """`simple_sums` out of one row for each group, with ``n<i>``, ``mean<i>``, ... of metric i."""
    nothing = dict.fromkeys(_MOMENTS, ibis.null("float64"))
    if not simple:
        none = {"n": _number(0), "base": ibis.null("int64"), **nothing}
        return wide.select(*keys, "n_rows", "n_labelled", metric=_number(SIZE), **none)
    entries = [_entry({"metric": SIZE, "n": 0, "base": None, **nothing})]
    for i, metric in simple.items():
        n = wide[f"n{i}"]
        moments = {name: wide[f"{name}{i}"] for name in _MOMENTS if f"{name}{i}" in wide.columns}
        base = wide[f"base{i}"] if metric.base else None
        # Of rows that are not weighted, the effective number is the number.
        entries.append(_entry({"metric": i, "n": n, "base": base, **nothing, "size": n, **moments}))
    long = wide.select(*keys, "n_rows", "n_labelled", entry=ibis.array(entries).unnest())
    names = ("metric", "n", "base", *_MOMENTS)
    return long.select(*keys, "n_rows", "n_labelled", **{name: long.entry[name] for name in names})


def _entry(fields: Mapping[str, object]) -> ir.StructValue:
    found = {}
    for name, value in fields.items():
        kind = "int64" if name in ("metric", "n", "base") else "float64"
        known = value if isinstance(value, ir.Value) else ibis.literal(value, kind)
        found[name] = known.cast(kind)
    return ibis.struct(found)


def simple_values(sums: ir.Table, keys: tuple[str, ...], simple: Mapping[int, Metric]) -> ir.Table:
    """Value and interval of every simple metric in every group of `simple_sums`.

    The formula of an interval stands in the query once, not once for each metric: planning it
    would cost more than the scan.

    Returns
    -------
    ir.Table
        One row for each of `simple_sums`: `keys`, ``n_rows``, ``n_labelled``, ``metric``, ``n``,
        ``base``, ``value``, ``low`` and ``high`` (NULL where it has no interval).
    """
    low, high = _interval(sums, simple)
    return sums.select(
        *keys, "n_rows", "n_labelled", "metric", "n", "base", value=sums["mean"], low=low, high=high
    )


def _interval(
    sums: ir.Table, simple: Mapping[int, Metric]
) -> tuple[ir.FloatingValue, ir.FloatingValue]:
    if not simple:
        return ibis.null("float64"), ibis.null("float64")
    mean, size, variance = sums["mean"], sums["size"], sums["var"]
    known = {
        "wilson": formulas.score_interval(mean, size),
        "normal": formulas.normal_interval(mean, variance, size),
        "mean": formulas.mean_interval(mean, variance, sums["min"], sums["max"], size),
    }
    of_kind = {
        kind: [i for i, metric in simple.items() if metric.interval == kind] for kind in known
    }
    for kind, own in of_kind.items():
        if len(own) == len(simple):
            return known[kind]
    ends = []
    for end in (0, 1):
        branches = [
            (sums.metric.isin(own), known[kind][end]) for kind, own in of_kind.items() if own
        ]
        nothing = ibis.null("float64")
        ends.append(ibis.cases(*branches, else_=nothing) if branches else nothing)
    return ends[0], ends[1]


def _sums(valued: ir.Table, i: int, metric: Metric, *, weighted: bool) -> dict[str, ir.Scalar]:
    """What one scan sums up for a simple metric; ``size``, of weights, is the effective one."""
    value, weight = valued[f"v{i}"], valued.weight if weighted else None
    sums: dict[str, ir.Scalar] = {}
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
