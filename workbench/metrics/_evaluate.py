"""Evaluates metrics for the groups of a table: one scan for all simple ones, one for each other."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from workbench import formulas
from workbench.errors import ConfigError, suggest
from workbench.metrics._calls import MetricCall, check_params, expressions, parse_call
from workbench.metrics._metric import Estimate, Metric, State, expression_column, metrics
from workbench.metrics._simple import labelled, simple_sums, simple_values

Execute = Callable[[ir.Table], pa.Table]
Key = tuple[Any, ...]


def evaluate(
    table: ir.Table,
    calls: Sequence[MetricCall | str],
    by: Sequence[str] = (),
    execute: Execute | None = None,
    weight: str | None = None,
) -> list[dict[str, Any]]:
    """Values of metrics, for the whole table or for each group of it.

    A row is labelled when its label or its reward is known. Rows whose value is NULL or NaN are
    left out and not counted; where rows are weighted, those whose weight is not a positive number
    as well.

    Parameters
    ----------
    table
        Rows with columns of `enriched_inferences`; the grouping columns are columns of it, and so
        are, under their text, the expressions among the parameters.
    calls
        Metrics, as `MetricCall` or in their written form.
    by
        Grouping columns. A NULL value is a group of its own.
    execute
        Runs an expression; by default on the table's own backend.
    weight
        Column of weights. A row of weight 2 counts as two rows for the value; the interval is that
        of the effective sample size, (sum of w)^2 / sum of w^2 (Kish 1965).

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
    for column, use in [
        *((name, "group") for name in by),
        *([(weight, "weight")] if weight else []),
    ]:
        if column not in table.columns:
            raise ConfigError(
                f"There is no column {column!r} to {use} by.", suggest(column, table.columns)
            )
    run = execute or _run
    given = [expressions(call) for call in parsed]
    present = [
        {*metric.needs, *texts} <= set(table.columns)
        for metric, texts in zip(wanted, given, strict=True)
    ]
    needed = {n for m, ok in zip(wanted, present, strict=True) if ok for n in m.needs}
    texts = {text for texts, ok in zip(given, present, strict=True) if ok for text in texts}
    rows, keys = _prepare(table, needed, texts, by, weight)

    simple = [i for i, m in enumerate(wanted) if present[i] and m.expr is not None]
    groups = _scan(rows, keys, {i: wanted[i] for i in simple}, run, weighted=weight is not None)
    states = _States(rows.filter(rows.weight.notnull()) if weight else rows, keys, run)
    for i, metric in enumerate(wanted):
        if present[i] and metric.state is not None:
            for key, estimate in states.estimates(metric, params[i]).items():
                groups[key].estimates[i] = estimate

    return [
        row_of(call, metric, by, groups[key], groups[key].estimates.get(i), missing=not present[i])
        for i, (call, metric) in enumerate(zip(parsed, wanted, strict=True))
        for key in groups
    ]


@dataclass
class Group:
    """One group: its values, its size, and the estimates found so far by position of the call."""

    values: Key
    n_rows: int
    n_labelled: int
    estimates: dict[int, Estimate] = field(default_factory=dict)


def _run(expr: ir.Table) -> pa.Table:
    return expr.to_pyarrow()


def _prepare(
    table: ir.Table,
    needed: set[str],
    texts: set[str],
    by: tuple[str, ...],
    weight: str | None,
) -> tuple[ir.Table, tuple[str, ...]]:
    """Only the columns that are needed, with the grouping columns under names that cannot clash."""
    keys = tuple(f"group_{i}" for i in range(len(by)))
    columns = {key: table[name] for key, name in zip(keys, by, strict=True)}
    columns |= {name: table[name] for name in sorted(needed)}
    columns |= {expression_column(text): table[text] for text in sorted(texts)}
    columns["labelled"] = labelled(table)
    columns["weight"] = ibis.literal(1.0)
    if weight:
        given = formulas.finite(table[weight])
        columns["weight"] = (given > 0.0).ifelse(given, ibis.null("float64"))
    return table.select(**columns), keys


def _scan(
    rows: ir.Table,
    keys: tuple[str, ...],
    simple: dict[int, Metric],
    run: Execute,
    *,
    weighted: bool,
) -> dict[Key, Group]:
    """Size of every group and the value of every simple metric, in one pass over the rows."""
    sums = simple_sums(rows, keys, simple, weighted=weighted)
    table = simple_values(sums, keys, simple)
    if keys:
        table = table.order_by([table[key].asc(nulls_first=False) for key in keys])
    return groups_of(run(table), keys, simple)


def groups_of(
    values: pa.Table, keys: tuple[str, ...], simple: Mapping[int, Metric]
) -> dict[Key, Group]:
    """The groups of a table of `simple_values`, each with the estimates of its simple metrics."""
    groups: dict[Key, Group] = {}
    for record in values.to_pylist():
        own = tuple(record[key] for key in keys)
        group = groups.setdefault(key_of(own), Group(own, record["n_rows"], record["n_labelled"]))
        i = record["metric"]
        if record["n"]:
            group.estimates[i] = Estimate(
                value=record["value"], low=record["low"], high=record["high"], n=record["n"]
            )
        elif record["base"]:
            group.estimates[i] = Estimate(reason=simple[i].undefined)
    return groups


class _States:
    """The states of one evaluation, each scanned once."""

    def __init__(self, rows: ir.Table, keys: tuple[str, ...], run: Execute) -> None:
        self._rows, self._keys, self._run = rows, keys, run
        self._found: dict[Any, dict[Key, State]] = {}

    def estimates(self, metric: Metric, params: dict[str, Any]) -> dict[Key, Estimate]:
        """Evaluate a metric with a state, for each group that has one."""
        if metric.state is None or metric.estimate is None:
            return {}
        names = inspect.signature(metric.state).parameters
        own = {name: value for name, value in params.items() if name in names}
        called = (metric.state, tuple(own.items()))
        if called not in self._found:
            table = self._run(metric.state(self._rows, self._keys, **own))
            self._found[called] = dict(_split(table, self._keys))
        return {key: metric.estimate(state, **params) for key, state in self._found[called].items()}


def _split(table: pa.Table, keys: tuple[str, ...]) -> Iterator[tuple[Key, State]]:
    """Yield the state of each group out of one table; a group's rows keep their order."""
    places: dict[Key, list[int]] = {}
    columns = [table[key].to_pylist() for key in keys]
    if keys:
        for place in range(table.num_rows):
            places.setdefault(key_of(tuple(c[place] for c in columns)), []).append(place)
    elif table.num_rows:
        places[()] = []
    for key, chosen in places.items():
        part = table.take(pa.array(chosen, pa.int64())) if keys else table
        yield (
            key,
            {
                name: part[name].to_numpy(zero_copy_only=False)
                for name in part.column_names
                if name not in keys
            },
        )


def key_of(values: Key) -> Key:
    """Make a key that equals itself: NaN does not, and a struct or a list cannot be hashed."""
    return tuple(
        repr(value)
        if isinstance(value, dict | list) or (isinstance(value, float) and math.isnan(value))
        else value
        for value in values
    )


def row_of(
    call: MetricCall,
    metric: Metric,
    by: tuple[str, ...],
    group: Group,
    estimate: Estimate | None,
    *,
    missing: bool = False,
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
