"""Evaluates metrics for the groups of a table: one scan for all simple ones, one for each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa

from workbench.errors import ConfigError, suggest
from workbench.metrics._calls import MetricCall, check_params, expressions, parse_call
from workbench.metrics._metric import Estimate, Metric, State, metrics
from workbench.metrics._queries import (
    Wanted,
    keys_of,
    queries,
    sql_of_queries,
    state_of,
    states,
)

Execute = Callable[[str], pa.Table]
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
        Runs SQL where the table is, in DuckDB; by default its own backend runs expressions.
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
    by = tuple(dict.fromkeys(by))
    wanted = _wanted(table, parsed, by, weight)
    present = _present(table, wanted)
    if execute is None:
        tables = [query.to_pyarrow() for query in queries(table, present, by, weight)]
    else:
        tables = [execute(sql) for sql in sql_of_queries(table, present, by, weight)]

    keys = keys_of(by)
    groups = groups_of(tables[0], keys, {i: metric for i, (metric, *_) in enumerate(present)})
    found = [dict(_split(part, keys)) for part in tables[1:]]
    of_state = dict(zip(states(present), found, strict=True))
    for i, (metric, params, _) in enumerate(present):
        state = state_of(present[i])
        if state is not None and metric.estimate is not None:
            for key, sums in of_state[state].items():
                groups[key].estimates[i] = metric.estimate(sums, **dict(params))

    rows: list[dict[str, Any]] = []
    for call, each in zip(parsed, wanted, strict=True):
        name, place = str(call), present.index(each) if each in present else None
        rows += [
            row_of(name, each[0], by, group, group.estimates.get(place), missing=place is None)
            for group in groups.values()
        ]
    return rows


def queries_of(
    table: ir.Table, calls: Sequence[MetricCall], by: Sequence[str] = ()
) -> list[ir.Table]:
    """What `evaluate` asks, for reading; nothing is run."""
    by = tuple(dict.fromkeys(by))
    return queries(table, _present(table, _wanted(table, calls, by)), by)


def _wanted(
    table: ir.Table, calls: Sequence[MetricCall], by: tuple[str, ...], weight: str | None = None
) -> list[Wanted]:
    for column, use in [(name, "group") for name in by] + [(weight, "weight")] * bool(weight):
        if column not in table.columns:
            raise ConfigError(
                f"There is no column {column!r} to {use} by.", suggest(str(column), table.columns)
            )
    return [
        (metrics.get(call.name), tuple(check_params(call).items()), tuple(expressions(call)))
        for call in calls
    ]


def _present(table: ir.Table, wanted: Sequence[Wanted]) -> tuple[Wanted, ...]:
    """The metrics that the table has the columns of, each once."""
    columns = set(table.columns)
    return tuple(dict.fromkeys(each for each in wanted if {*each[0].needs, *each[2]} <= columns))


@dataclass
class Group:
    """One group: its values, its size, and the estimates found so far by position of the call."""

    values: Key
    n_rows: int
    n_labelled: int
    estimates: dict[int | None, Estimate] = field(default_factory=dict)


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
    # Even no row is one group, where nothing else was asked for.
    return groups if keys or groups else {(): Group((), 0, 0)}


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
    name: str,
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
        "metric": name,
        "by": dict(zip(by, group.values, strict=True)),
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
        "n_labelled": group.n_labelled,
        "reason": estimate.reason,
    }
