"""Metrics out of sums that the build keeps, for any window of days and any groups, without a scan.

``narrow.metric_state`` has the cells of the calibration pairs and ``narrow.metric_sums`` the sums
of every simple metric, by day (UTC), model version and cohort. The sums of any of these add up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from workbench import contract
from workbench.compiled import Parts, Scope
from workbench.engine import identifier, literal, sql_of
from workbench.errors import ConfigError
from workbench.measure import measure
from workbench.metrics import (
    CELL_SUMS,
    SIZES,
    VALUE_SUMS,
    MetricCall,
    evaluate_kept,
    kept_cells,
    kept_sums,
    merged_values,
    metrics,
    parse_call,
    parse_calls,
    split_kept,
    sums_for,
    without_intervals,
)
from workbench.query import Build
from workbench.suppression import suppress

#: What the kept sums can be grouped and filtered by.
KEYS = ("day", "model_version", "cohort")


def states(enriched: ir.Table) -> dict[str, ir.Table]:
    """The tables that a build keeps, by name.

    Parameters
    ----------
    enriched
        ``narrow.enriched_inferences``, or any part of its rows.
    """
    rows = enriched.mutate(day=enriched["ts"].cast("timestamp('UTC')").date())
    return {"metric_state": kept_cells(rows, KEYS), "metric_sums": kept_sums(rows, KEYS)}


def create(compiled: Parts) -> None:
    """Create the kept sums of a build, which has ``narrow.enriched_inferences``."""
    compiled.run(_create, ["narrow.enriched_inferences"], metrics.foreign())


def _create(scope: Scope) -> None:
    for name, kept in states(scope.tables["narrow.enriched_inferences"]).items():
        columns = contract.table(name).columns.values()
        cast = ", ".join(f"CAST({identifier(c.name)} AS {c.type}) AS {c.name}" for c in columns)
        # In this order a window, or a few metrics, are read without the rest.
        order = "day, bin, y" if name == "metric_state" else "metric, day"
        scope.make(f"narrow.{name}", kept, f"SELECT {cast} FROM ({{}}) ORDER BY {order}")


def combined(plus: Sequence[ir.Table], minus: Sequence[ir.Table] = ()) -> ir.Table:
    """The state of several sets of rows, out of the state of each.

    With late feedback, rows change: their old state is taken away and their new one added.

    Parameters
    ----------
    plus, minus
        States of one kind: of rows that are there, and of rows that are not any more.
    """
    names = [name for name in (*CELL_SUMS, *VALUE_SUMS) if name in plus[0].columns]
    keys = [name for name in plus[0].columns if name not in names]
    taken = [t.mutate(**{name: 0 - t[name] for name in names}) for t in minus]
    every = ibis.union(*plus, *taken) if len(plus) + len(taken) > 1 else plus[0]
    added = every.aggregate(by=keys, **{name: every[name].sum() for name in names})
    return added.filter(added["rows" if "rows" in names else "n_rows"] != 0)


def measure_state(
    build: Build,
    only: Sequence[str] = (),
    by: Sequence[str] = (),
    where: str | None = None,
    *,
    intervals: bool = True,
) -> list[dict[str, Any]]:
    """Values of metrics out of the kept sums; equal to those of all rows.

    Parameters
    ----------
    build
        The build to read.
    only
        Metrics: any mean over rows, and any over the default bins; ``accuracy``,
        ``label_coverage``, ``brier_score`` and ``ece`` when empty.
    by
        SQL expressions over ``day``, ``model_version`` and ``cohort`` to group by.
    where
        SQL condition over the same.
    intervals
        Whether metrics over bins get their interval, which is resampled and takes most of the time.

    Returns
    -------
    list of dict
        As of `workbench.measure.measure`.

    Raises
    ------
    ConfigError
        If a metric does not exist or needs the rows.
    QueryError
        If an expression does not fit the columns.
    """
    calls = parse_calls(only) if only else [parse_call(name) for name in DEFAULT]
    groups = [build.expression(expression) for expression in by]
    condition = build.expression(where) if where and where.strip() else "true"
    with nullcontext() if intervals else without_intervals():
        return answer(build.arrow, calls, dict(zip(by, groups, strict=True)), condition)


DEFAULT = ("accuracy", "label_coverage", "brier_score", "ece")


def measure_quick(
    build: Build,
    only: Sequence[str] = (),
    by: Sequence[str] = (),
    where: str | None = None,
    least: int = 0,
) -> list[dict[str, Any]]:
    """As `workbench.measure.measure`: out of the kept sums what they tell, the rest of the rows.

    Groups are those of `KEYS` but the day, or of their texts; a condition takes the rows.
    """
    only = [str(call) for call in parse_calls(only)] if only else metrics.names()
    quick = not (where and where.strip()) and all(_key_of(text) in KEYS[1:] for text in by)
    values: dict[str, list[dict[str, Any]]] = {}
    for kept in (True, False):
        part = [name for name in only if (quick and _is_kept(name)) is kept]
        if not part:
            continue
        found = measure_state(build, part, by) if kept else measure(build, part, by, where)
        groups = len(found) // len(part)
        values |= {name: found[i * groups : (i + 1) * groups] for i, name in enumerate(part)}
    return suppress([row for name in only for row in values[name]], least)


def _key_of(expression: str) -> str:
    """The column that an expression is, cast to a text or not."""
    return re.sub(r"(?i)::\s*VARCHAR\s*$", "", expression.strip()).strip("() \n")


def _is_kept(name: str) -> bool:
    call = parse_call(name)
    try:
        split_kept([call])
    except ConfigError:
        return False
    # The sums are made of narrow columns.
    return set(metrics.get(call.name).needs).isdisjoint(contract.WIDE_COLUMNS)


def answer(
    ask: Callable[[str], pa.Table],
    calls: Sequence[MetricCall],
    by: Mapping[str, str],
    condition: str = "true",
) -> list[dict[str, Any]]:
    """Add up kept sums and make metrics of them.

    Parameters
    ----------
    ask
        Runs SQL where ``narrow.metric_state`` and ``narrow.metric_sums`` are.
    calls
        Metrics, as in `measure_state`.
    by
        SQL by the name of each group.
    condition
        SQL condition.
    """
    simple, binned = split_kept(calls)
    keys = tuple(f"group_{i}" for i in range(len(by)))
    grouped = [f"{sql} AS {key}" for key, sql in zip(keys, by.values(), strict=True)]
    kept = f"FROM {{}} WHERE {condition}"
    named = tuple((i, metric.name) for i, metric in simple.items())
    wanted = ", ".join(literal(name) for name in {SIZES, *(name for _, name in named)})
    values = ask(
        f"WITH kept AS (SELECT {', '.join([*grouped, 'metric', *VALUE_SUMS])} "
        f"{kept.format('narrow.metric_sums')} AND metric IN ({wanted})) {_values_sql(keys, named)}"
    )
    types = contract.table("metric_state").columns
    # A sum of BIGINT is a HUGEINT, which Arrow has no integer for.
    sums = [f"CAST(sum({n}) AS {types[n].type}) AS {n}" for n in sums_for(binned.values())]
    cells = f"{kept.format('narrow.metric_state')}{'' if binned else ' AND false'}"
    found = ask(
        f"SELECT {', '.join([*grouped, 'bin', 'y', *sums])} {cells} GROUP BY ALL "
        f"ORDER BY {', '.join([*keys, 'bin', 'y'])}"
    )
    return evaluate_kept(calls, tuple(by), values, found)


@lru_cache(maxsize=256)
def _values_sql(keys: tuple[str, ...], named: tuple[tuple[int, str], ...]) -> str:
    """The query of values over the relation ``kept``; to compile it takes longer than to run it."""
    types = {"metric": "string", "total": "float64", "squares": "float64"}
    columns = dict.fromkeys(keys, "string") | {
        name: types.get(name, "int64") for name in ("metric", *VALUE_SUMS)
    }
    simple = {i: metrics.get(name) for i, name in named}
    values = merged_values(ibis.table(columns, name="kept"), keys, simple)
    if keys:
        values = values.order_by([values[key].asc(nulls_first=False) for key in keys])
    return sql_of(values)
