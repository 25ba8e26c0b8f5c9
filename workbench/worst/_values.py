"""The rows that slices are made of, with what is measured of each."""

from __future__ import annotations

from collections.abc import Mapping

import ibis.expr.types as ir

from workbench import formulas
from workbench.engine import identifier
from workbench.errors import ConfigError, suggest
from workbench.metrics import metrics
from workbench.query import Build
from workbench.worst._attributes import RELATION

GAP = "calibration_gap"
"""Probability minus outcome: the one number here that is worse the further it is from 0."""


def values_of(
    build: Build,
    values: Mapping[str, str],
    offered: dict[str, str],
    where: str | None,
    reference: str | None,
) -> tuple[ir.Table, list[int], bool]:
    """The rows that slices are made of.

    Parameters
    ----------
    build
        The build to read.
    values
        Metrics by the column that is to hold them.
    offered
        SQL of the columns ``a0`` and on.
    where, reference
        As in `workbench.worst.find_worst`.

    Returns
    -------
    tuple
        The rows, with ``past``; in which direction each value is bad, 0 for away from 0; whether
        all of it is narrow.

    Raises
    ------
    ConfigError
        If a metric does not exist or is no mean over rows.
    """
    needs = {name for metric in values.values() for name in _needs(metric)}
    present = build.columns(RELATION)
    condition = build.expression(where) if where and where.strip() else None
    past = build.expression(reference) if reference and reference.strip() else "false"
    wanted = sorted({*needs, "label", "reward"})
    read = [identifier(name) for name in wanted if name in present]
    source = build.narrowest(RELATION, *read, *offered.values(), past, *filter(None, [condition]))
    listed = [
        identifier(name) if name in present else f"NULL::DOUBLE AS {identifier(name)}"
        for name in wanted
    ]
    listed += [f"{sql} AS a{i}" for i, sql in enumerate(offered.values())]
    listed.append(f"coalesce({past}, false) AS past")
    filtered = f" WHERE {condition}" if condition else ""
    table = build.query_table(f"SELECT {', '.join(listed)} FROM {source}{filtered}")
    table = table.mutate(labelled=table.label.notnull() | table.reward.notnull())
    made = {name: _value(table, metric) for name, metric in values.items()}
    kept = [f"a{i}" for i in range(len(offered))]
    numbers = {name: _number(table[name]) for name in kept}
    rows = table.select(
        "past", **{name: x.cast("float64") for name, (x, _) in made.items()}, **numbers
    )
    return rows, [direction for _, direction in made.values()], source.startswith("narrow.")


def _needs(metric: str) -> tuple[str, ...]:
    """The columns that a metric reads.

    Raises
    ------
    ConfigError
        If it does not exist or is no mean over rows.
    """
    names = [*metrics.names(), GAP]
    if metric == GAP:
        return ("calibration_p", "calibration_y")
    if metric not in names:
        raise ConfigError(f"There is no metric called {metric!r}.", suggest(metric, names))
    known = metrics.get(metric)
    if known.expr is None:
        raise ConfigError(
            f"{metric} is no mean over rows, so slices cannot be searched for it.",
            f"Use accuracy, reward_mean, label_coverage or {GAP}.",
        )
    return tuple(known.needs)


def _value(table: ir.Table, metric: str) -> tuple[ir.Value, int]:
    """A metric of a row, and in which direction it is bad."""
    if metric == GAP:
        p, y = (formulas.probability(table[f"calibration_{side}"]) for side in "py")
        return p - y, 0
    known = metrics.get(metric)
    assert known.expr is not None
    return formulas.finite(known.expr(table)), {"higher": -1, "lower": 1, "none": 0}[known.better]


def _number(value: ir.Value) -> ir.Value:
    # Ranges are cut by short decimals, and a DECIMAL has no NaN to ask for.
    return value.cast("float64") if value.type().is_decimal() else value
