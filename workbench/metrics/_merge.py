"""Sums of rows that are kept, so that metrics of any window and group add them up instead.

Every column but the keys is a sum or a count: the state of two sets of rows is the sum of their
states, and a row that changed is taken out with a minus sign.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from workbench import formulas
from workbench.errors import ConfigError
from workbench.metrics._calls import MetricCall, check_params
from workbench.metrics._evaluate import Key, groups_of, key_of, row_of
from workbench.metrics._metric import Metric, State, metrics
from workbench.metrics._pairs import BIN_PARAMS, cells, squared_cells
from workbench.metrics._simple import labelled, long_sums, simple_values

#: The bins of the kept cells: the defaults of every metric over `cells`.
KEPT_BINS = {name: param.default for name, param in BIN_PARAMS.items()}

#: The metric whose kept sums have the sizes of the groups; all inferences are in it.
SIZES = "label_coverage"

#: Columns of the kept cells, and of the kept sums, that add up.
CELL_SUMS = ("rows", "n", "ww", "sp", "spp")
VALUE_SUMS = ("n_rows", "n_labelled", "n", "base", "outside", "total", "squares")

# A variance that is so small against the mean square is what rounding leaves of equal values.
_ROUNDING = 1e-11


def kept_cells(table: ir.Table, keys: tuple[str, ...]) -> ir.Table:
    """The cells of the calibration pairs for each combination of `keys`, by the default bins."""
    return squared_cells(table.mutate(weight=ibis.literal(1.0)), keys, **KEPT_BINS)


def kept_sums(table: ir.Table, keys: tuple[str, ...]) -> ir.Table:
    """Sums of every simple metric that `table` has the columns of, one row per `keys` and metric.

    Returns
    -------
    ir.Table
        `keys`, ``metric``, and the columns of `VALUE_SUMS`: rows, labelled rows, rows in the value,
        rows that it could be about, values outside of [0, 1], and the sums of value and square.
    """
    simple = [m for m in metrics if m.expr is not None and set(m.needs) <= set(table.columns)]
    rows = table.mutate(labelled=labelled(table))
    values = {f"v{i}": formulas.finite(m.expr(rows)) for i, m in enumerate(simple) if m.expr}
    bases = {f"b{i}": m.base(rows) for i, m in enumerate(simple) if m.base}
    valued = rows.select(*keys, "labelled", **values, **bases)
    sums: dict[str, ir.Scalar] = {
        "n_rows": valued.count(),
        "n_labelled": valued.count(where=valued.labelled),
    }
    for i, metric in enumerate(simple):
        value = valued[f"v{i}"]
        sums |= {
            f"n{i}": value.count(),
            f"base{i}": valued.count(where=valued[f"b{i}"])
            if metric.base
            else ibis.literal(0, "int64"),
            f"outside{i}": valued.count(where=(value < 0.0) | (value > 1.0)),
            f"total{i}": value.sum().fill_null(0.0),
            f"squares{i}": (value * value).sum().fill_null(0.0),
        }
    summed = valued.aggregate(by=list(keys), **sums)
    entries = ibis.array(
        [
            ibis.struct(
                {"metric": ibis.literal(m.name)}
                | {name: summed[f"{name}{i}"] for name in VALUE_SUMS[2:]}
            )
            for i, m in enumerate(simple)
        ]
    )
    long = summed.select(*keys, "n_rows", "n_labelled", entry=entries.unnest())
    return long.select(
        *keys,
        metric=long.entry["metric"],
        n_rows=long.n_rows,
        n_labelled=long.n_labelled,
        **{name: long.entry[name] for name in VALUE_SUMS[2:]},
    )


def merged_values(sums: ir.Table, keys: tuple[str, ...], simple: Mapping[int, Metric]) -> ir.Table:
    """Values and intervals out of kept sums, as `simple_values` gives them of the rows."""
    anything = sums.metric == SIZES
    found: dict[str, ir.Scalar] = {
        name: _whole(sums[name].sum(where=anything)) for name in ("n_rows", "n_labelled")
    }
    for i, metric in simple.items():
        own = sums.metric == metric.name
        found |= {f"{name}{i}": sums[name].sum(where=own) for name in VALUE_SUMS[2:]}
    added = sums.aggregate(by=list(keys), **found)
    columns: dict[str, ir.Value] = {name: added[name] for name in (*keys, "n_rows", "n_labelled")}
    for i in simple:
        n, total, squares = (added[f"{name}{i}"].cast("float64") for name in _MOMENTS)
        mean = total / n.nullif(0.0)
        spread = ibis.greatest(squares - total * mean, 0.0)
        alike = spread <= _ROUNDING * squares
        outside = added[f"outside{i}"] > 0
        columns |= {
            f"n{i}": _whole(added[f"n{i}"]),
            f"base{i}": _whole(added[f"base{i}"]),
            f"mean{i}": mean,
            f"size{i}": n,
            f"var{i}": alike.ifelse(0.0, spread / (n - 1.0).nullif(0.0)),
            # All that the interval asks of the extremes: whether they differ, and are in [0, 1].
            f"min{i}": ibis.cases((outside, -1.0), (alike, mean), else_=0.0),
            f"max{i}": ibis.cases((outside, 2.0), (alike, mean), else_=1.0),
        }
    return simple_values(long_sums(added.select(**columns), keys, simple), keys, simple)


_MOMENTS = ("n", "total", "squares")


def _whole(count: ir.NumericValue) -> ir.IntegerValue:
    # DuckDB's sum of BIGINT is a HUGEINT, and Ibis leaves out a cast from what it takes for BIGINT.
    return count.fill_null(0).cast("float64").cast("int64")


def split_kept(calls: Sequence[MetricCall]) -> tuple[dict[int, Metric], dict[int, Metric]]:
    """The simple metrics among `calls`, and those over the kept cells, by their position.

    Raises
    ------
    ConfigError
        If one needs the rows themselves.
    """
    simple: dict[int, Metric] = {}
    binned: dict[int, Metric] = {}
    for i, call in enumerate(calls):
        metric, params = metrics.get(call.name), check_params(call)
        if metric.expr is not None:
            simple[i] = metric
        elif metric.state in (cells, squared_cells) and KEPT_BINS.items() <= params.items():
            binned[i] = metric
        else:
            raise ConfigError(
                f"{call} cannot be told from the kept sums.",
                "They answer every mean over rows, and metrics over bins at their default bins.",
            )
    return simple, binned


def sums_for(binned: Iterable[Metric]) -> tuple[str, ...]:
    """Those of `CELL_SUMS` that metrics over the kept cells need."""
    squared = any(metric.state is squared_cells for metric in binned)
    return tuple(name for name in CELL_SUMS if squared or name != "spp")


def evaluate_kept(
    calls: Sequence[MetricCall], by: Sequence[str], values: pa.Table, found: pa.Table
) -> list[dict[str, Any]]:
    """Rows as of `evaluate`, out of merged sums.

    Parameters
    ----------
    calls
        Metrics that `split_kept` takes.
    by
        What the first columns of both tables are called in the result.
    values
        Of `merged_values`, ordered by its keys; the simple metrics by their position in `calls`.
    found
        The keys, ``bin``, ``y`` and what `sums_for` names, ordered by the keys, ``bin`` and ``y``.
    """
    simple, binned = split_kept(calls)
    keys = tuple(values.column_names[: len(by)])
    groups = groups_of(values, keys, simple)
    params = {i: check_params(calls[i]) for i in binned}
    for key, state in _states(found, keys):
        for i, metric in binned.items():
            if metric.estimate is not None:
                groups[key].estimates[i] = metric.estimate(state, **params[i])
    return [
        row_of(str(call), metrics.get(call.name), tuple(by), group, group.estimates.get(i))
        for i, call in enumerate(calls)
        for group in groups.values()
    ]


def _states(table: pa.Table, keys: tuple[str, ...]) -> Iterator[tuple[Key, State]]:
    """The cells of each group; those of one group are next to each other."""
    if not table.num_rows:
        return
    columns = [table[key].to_pylist() for key in keys]
    values = list(zip(*columns, strict=True)) if keys else [()]
    names = [name for name in table.column_names if name not in keys]
    arrays = {name: table[name].to_numpy() for name in names}
    starts: dict[Key, int] = {}
    for i, own in enumerate(values):
        # To make a key takes longer than to see that it is that of the row before.
        if i == 0 or own != values[i - 1]:
            starts.setdefault(key_of(own), i)
    ends = [*list(starts.values())[1:], table.num_rows]
    for (key, start), end in zip(starts.items(), ends, strict=True):
        yield key, {name: a[start:end] for name, a in arrays.items()}
