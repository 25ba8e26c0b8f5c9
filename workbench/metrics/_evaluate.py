"""Evaluates metrics for the groups of a table: one scan for all simple ones, one for each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from workbench import formulas
from workbench.errors import ConfigError, suggest
from workbench.metrics._calls import MetricCall, check_params, parse_call
from workbench.metrics._metric import Estimate, Metric, metrics

Execute = Callable[[ir.Table], pa.Table]
Key = tuple[Any, ...]


def evaluate(
    table: ir.Table,
    calls: Sequence[MetricCall | str],
    by: Sequence[str] = (),
    execute: Execute | None = None,
) -> list[dict[str, Any]]:
    """Values of metrics, for the whole table or for each group of it.

    A row is labelled when its label or its reward is known. Rows whose value is NULL or NaN are
    left out and not counted.

    Parameters
    ----------
    table
        Rows with columns of `enriched_inferences`; the grouping columns are columns of it.
    calls
        Metrics, as `MetricCall` or in their written form.
    by
        Grouping columns. A NULL value is a group of its own.
    execute
        Runs an expression; by default on the table's own backend.

    Returns
    -------
    list of dict
        For each call, one row for each group: ``metric`` (as written, with its given parameters),
        ``by`` (value by column), ``value``, ``low``, ``high``, ``n`` (rows in the value),
        ``n_labelled`` (labelled rows of the group), ``reason``. Without `by` there is always one
        group, even of an empty table.

    Raises
    ------
    ConfigError
        If a metric, a parameter or a grouping column does not exist.
    """
    parsed = [parse_call(call) if isinstance(call, str) else call for call in calls]
    params = [check_params(call) for call in parsed]
    wanted = [metrics.get(call.name) for call in parsed]
    by = tuple(dict.fromkeys(by))
    for column in by:
        if column not in table.columns:
            raise ConfigError(
                f"There is no column {column!r} to group by.", suggest(column, table.columns)
            )
    run = execute or _run
    present = [set(metric.needs) <= set(table.columns) for metric in wanted]
    rows, keys = _prepare(table, [m for m, ok in zip(wanted, present, strict=True) if ok], by)

    simple = [i for i, m in enumerate(wanted) if present[i] and m.expr is not None]
    groups = _scan(rows, keys, {i: wanted[i] for i in simple}, run)
    for i, metric in enumerate(wanted):
        if present[i] and metric.state is not None:
            for key, estimate in _estimates(metric, rows, keys, params[i], run).items():
                groups[key].estimates[i] = estimate

    return [
        _row(call, metric, by, groups[key], groups[key].estimates.get(i), missing=not present[i])
        for i, (call, metric) in enumerate(zip(parsed, wanted, strict=True))
        for key in groups
    ]


@dataclass
class _Group:
    """One group: its values, its size, and the estimates found so far by position of the call."""

    values: Key
    n_rows: int
    n_labelled: int
    estimates: dict[int, Estimate] = field(default_factory=dict)


def _run(expr: ir.Table) -> pa.Table:
    return expr.to_pyarrow()


def _prepare(
    table: ir.Table, wanted: Sequence[Metric], by: tuple[str, ...]
) -> tuple[ir.Table, tuple[str, ...]]:
    """Only the columns that are needed, with the grouping columns under names that cannot clash."""
    keys = tuple(f"group_{i}" for i in range(len(by)))
    columns = {key: table[name] for key, name in zip(keys, by, strict=True)}
    for name in sorted({name for metric in wanted for name in metric.needs}):
        columns[name] = table[name]
    known = [table[name].notnull() for name in ("label", "reward") if name in table.columns]
    columns["labelled"] = known[0] if known else ibis.literal(False)
    for other in known[1:]:
        columns["labelled"] = columns["labelled"] | other
    return table.select(**columns), keys


def _scan(
    rows: ir.Table, keys: tuple[str, ...], simple: dict[int, Metric], run: Execute
) -> dict[Key, _Group]:
    """Size of every group and the value of every simple metric, in one pass over the rows."""
    valued = rows.mutate(
        **{f"v{i}": formulas.finite(m.expr(rows)) for i, m in simple.items() if m.expr}
    )
    aggregates: dict[str, ir.Scalar] = {
        "n_rows": valued.count(),
        "n_labelled": valued.count(where=valued.labelled),
    }
    for i in simple:
        value = valued[f"v{i}"]
        aggregates[f"n{i}"] = value.count()
        aggregates[f"mean{i}"] = value.mean()
        if simple[i].interval == "wilson":
            aggregates[f"sum{i}"] = value.sum()
        elif simple[i].interval == "mean":
            aggregates[f"var{i}"] = value.var(how="sample")
            aggregates[f"min{i}"] = value.min()
            aggregates[f"max{i}"] = value.max()
    sums = valued.aggregate(by=list(keys), **aggregates)
    columns: dict[str, ir.Value] = {name: sums[name] for name in (*keys, "n_rows", "n_labelled")}
    for i, metric in simple.items():
        columns[f"n{i}"], columns[f"mean{i}"] = sums[f"n{i}"], sums[f"mean{i}"]
        if metric.interval != "none":
            columns[f"low{i}"], columns[f"high{i}"] = _interval(sums, i, metric)
    found = sums.select(**columns)
    if keys:
        found = found.order_by([found[key].asc(nulls_first=False) for key in keys])

    groups: dict[Key, _Group] = {}
    for record in run(found).to_pylist():
        values = tuple(record[key] for key in keys)
        group = _Group(values, record["n_rows"], record["n_labelled"])
        groups[_key(values)] = group
        for i in simple:
            if record[f"n{i}"]:
                group.estimates[i] = Estimate(
                    value=record[f"mean{i}"],
                    low=record.get(f"low{i}"),
                    high=record.get(f"high{i}"),
                    n=record[f"n{i}"],
                )
    return groups


def _interval(sums: ir.Table, i: int, metric: Metric) -> tuple[ir.FloatingValue, ir.FloatingValue]:
    if metric.interval == "wilson":
        return formulas.wilson(sums[f"sum{i}"], sums[f"n{i}"])
    return formulas.mean_interval(
        sums[f"mean{i}"], sums[f"var{i}"], sums[f"min{i}"], sums[f"max{i}"], sums[f"n{i}"]
    )


def _estimates(
    metric: Metric, rows: ir.Table, keys: tuple[str, ...], params: dict[str, Any], run: Execute
) -> dict[Key, Estimate]:
    """Evaluate a metric with a state, for each group that has one."""
    if metric.state is None or metric.estimate is None:
        return {}
    state = run(metric.state(rows, keys, **params))
    return {
        key: metric.estimate(
            {
                name: part[name].to_numpy(zero_copy_only=False)
                for name in part.column_names
                if name not in keys
            },
            **params,
        )
        for key, part in _split(state, keys)
    }


def _split(state: pa.Table, keys: tuple[str, ...]) -> Iterator[tuple[Key, pa.Table]]:
    """Yield the rows of each group of a small table."""
    places: dict[Key, list[int]] = {}
    columns = [state[key].to_pylist() for key in keys]
    for place in range(state.num_rows):
        places.setdefault(_key(tuple(column[place] for column in columns)), []).append(place)
    for key, chosen in places.items():
        yield key, state.take(pa.array(chosen, pa.int64()))


def _key(values: Key) -> Key:
    """Make a key that equals itself: NaN does not, and a struct or a list cannot be hashed."""
    return tuple(
        repr(value)
        if isinstance(value, dict | list) or (isinstance(value, float) and math.isnan(value))
        else value
        for value in values
    )


def _row(
    call: MetricCall,
    metric: Metric,
    by: tuple[str, ...],
    group: _Group,
    estimate: Estimate | None,
    *,
    missing: bool,
) -> dict[str, Any]:
    if missing:
        estimate = Estimate(reason="missing_column")
    elif estimate is None:
        about = group.n_labelled if metric.over == "labelled" else group.n_rows
        estimate = Estimate(reason="not_applicable" if about else "empty")
    return {
        "metric": str(call),
        "by": dict(zip(by, group.values, strict=True)),
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
        "n_labelled": group.n_labelled,
        "reason": estimate.reason,
    }
