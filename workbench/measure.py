"""Metrics of a build, by any expression; and the same in a few words."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
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

# A difference between groups is worth a line only where its intervals do not overlap.
_MOST_LINES = 6


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
        values = evaluate(rows, part, by, build.execute)
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


def in_words(build: Build, status: Mapping[str, Any]) -> list[str]:
    """At most six lines: what is wrong, for whom, and how sure that is."""
    overall = {row["metric"]: row for row in measure(build)}
    lines = [_feedback_line(status), _coverage_line(overall["label_coverage"], status)]
    quality = "accuracy" if overall["accuracy"]["value"] is not None else "reward_mean"
    lines.append(_value_line(overall[quality]))
    lines.append(_value_line(overall["ece"]))
    versions = measure(build, [quality, "ece"], by=["model_version"])
    for name in (quality, "ece"):
        worst = _worst([row for row in versions if row["metric"] == name], name)
        if worst is not None:
            lines.append(worst)
    return [line for line in lines if line][:_MOST_LINES]


def _feedback_line(status: Mapping[str, Any]) -> str:
    received = status["received"]
    if not received:
        return "No feedback has been received."
    lost = received - status["attributed"]
    if not lost:
        return f"All {received:,} feedback events found their inference."
    parts = [
        f"{status[name]:,} {name}"
        for name in ("invalid", "duplicate", "spam", "orphan", "ambiguous")
        if status[name]
    ]
    return (
        f"{status['attributed']:,} of {received:,} feedback events found their inference; "
        f"not used: {', '.join(parts)}."
    )


def _coverage_line(row: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return "There are no inferences."
    missing = status["inferences"]["unlabelled"]
    return (
        f"{missing:,} of {row['n']:,} inferences ({1 - row['value']:.1%}) have no label; "
        "what follows is about the others."
    )


def _value_line(row: Mapping[str, Any]) -> str:
    name = row["metric"]
    if row["value"] is None:
        return f"{name} is not defined: {row['reason']}."
    if row["low"] is None:
        return f"{name} is {row['value']:.4f} (n = {row['n']:,})."
    return (
        f"{name} is {row['value']:.4f}, with 95 % confidence between {row['low']:.4f} and "
        f"{row['high']:.4f} (n = {row['n']:,})."
    )


def _worst(rows: Sequence[Mapping[str, Any]], name: str) -> str | None:
    """The version whose interval lies wholly on the bad side of another's, if there is one."""
    known = [row for row in rows if row["value"] is not None and row["low"] is not None]
    if len(known) < 2:
        return None
    lower_is_better = metrics.get(name).better == "lower"
    known.sort(key=lambda row: row["value"], reverse=lower_is_better)
    worst, best = known[0], known[-1]
    apart = worst["low"] > best["high"] if lower_is_better else worst["high"] < best["low"]
    if not apart:
        return None
    return (
        f"{name} is worst for model_version {worst['by']['model_version']}: {worst['value']:.4f} "
        f"[{worst['low']:.4f}, {worst['high']:.4f}], n = {worst['n']:,}; best for "
        f"{best['by']['model_version']}: {best['value']:.4f} [{best['low']:.4f}, "
        f"{best['high']:.4f}]."
    )
