"""Metrics of a build, by any expression, and conditions on them."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.contract import WIDE_COLUMNS
from workbench.engine import identifier
from workbench.errors import ConfigError
from workbench.metrics import (
    MetricCall,
    evaluate,
    expressions,
    metrics,
    parse_call,
    parse_calls,
)
from workbench.query import Build
from workbench.suppression import suppress

RELATION = "enriched_inferences"

_GATE = re.compile(
    r"^\s*(?P<metric>.+?)\s*(?P<sign><=|>=|<|>)\s*(?P<bound>[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)\s*$"
)
_SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def measure(
    build: Build,
    only: Sequence[str] = (),
    by: Sequence[str] = (),
    where: str | None = None,
    least: int = 0,
) -> list[dict[str, Any]]:
    """Values of metrics, for all inferences or by groups.

    Parameters
    ----------
    build
        The build to read.
    only
        Metrics, such as ``accuracy`` or ``ece(bins=20)``; all of them when empty.
    by
        SQL expressions over the columns of ``enriched_inferences`` to group by.
    where
        SQL condition over the same columns.
    least
        Values of fewer rows are hidden, and others that would give them away
        (`workbench.suppression`); 0 shows all.

    Returns
    -------
    list of dict
        ``metric``, ``by``, ``value``, ``low``, ``high``, ``n``, ``n_labelled``, ``reason``.

    Raises
    ------
    ConfigError
        If a metric or a parameter does not exist.
    QueryError
        If an expression does not fit the columns.
    """
    calls = parse_calls(only) if only else [parse_call(name) for name in metrics.names()]
    found: dict[MetricCall, list[dict[str, Any]]] = {}
    # Wide columns cost a join with the lake, which the other metrics need not wait for.
    for part in _narrow_and_wide(calls):
        rows = build.query_table(rows_query(build, part, by, where))
        values = evaluate(rows, part, by, build.arrow)
        groups = len(values) // len(part)
        for i, call in enumerate(part):
            found[call] = values[i * groups : (i + 1) * groups]
    return suppress([row for call in calls for row in found[call]], least)


def _narrow_and_wide(calls: Sequence[MetricCall]) -> list[list[MetricCall]]:
    """The metrics that read narrow columns only, and the others; neither is empty."""
    wide = [not set(WIDE_COLUMNS).isdisjoint(metrics.get(call.name).needs) for call in calls]
    parts = [[c for c, w in zip(calls, wide, strict=True) if w is which] for which in (False, True)]
    return [part for part in parts if part]


def rows_query(
    build: Build,
    calls: Sequence[MetricCall],
    by: Sequence[str],
    where: str | None,
    also: Sequence[str] = (),
) -> str:
    """Query of the columns that metrics need, one per expression of a person, and `also`."""
    typed = [*by, *(text for call in calls for text in expressions(call))]
    groups = {expression: build.expression(expression) for expression in typed}
    condition = build.expression(where) if where and where.strip() else None
    needed = {
        "label",
        "reward",
        *also,
        *(name for call in calls for name in metrics.get(call.name).needs),
    }
    present = build.columns(RELATION)
    columns = [
        identifier(name) for name in sorted(needed) if name in present and name not in groups
    ]
    relation = build.narrowest(
        RELATION, *columns, *groups.values(), *([condition] if condition else [])
    )
    columns += [f"{sql} AS {identifier(expression)}" for expression, sql in groups.items()]
    filtered = f" WHERE {condition}" if condition else ""
    return f"SELECT {', '.join(columns)} FROM {relation}{filtered}"


@dataclass(frozen=True)
class Gate:
    """A condition on a metric, such as ``ece > 0.05``."""

    text: str
    call: MetricCall
    sign: str
    bound: float


def parse_gates(texts: Sequence[str]) -> list[Gate]:
    """Read conditions.

    Raises
    ------
    ConfigError
        If one is not a metric, a comparison and a number.
    """
    gates = []
    for text in texts:
        match = _GATE.match(text)
        if match is None:
            raise ConfigError(
                f"--fail-if {text!r} is not a condition.", "Write it as: 'ece > 0.05'."
            )
        call = parse_call(match["metric"])
        gates.append(Gate(text, call, match["sign"], float(match["bound"])))
    return gates


def failed_gates(build: Build, gates: Sequence[Gate], where: str | None = None) -> list[str]:
    """The conditions among `gates` that hold, or cannot be told, in words."""
    failed = []
    for gate in gates:
        (row,) = measure(build, [str(gate.call)], where=where)
        if row["value"] is None:
            failed.append(f"{gate.text}: {gate.call} is not defined ({row['reason']})")
        elif _SIGNS[gate.sign](row["value"], gate.bound):
            failed.append(f"{gate.text}: {gate.call} = {row['value']:.6g}")
    return failed
