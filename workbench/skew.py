"""Who gives feedback, and what the metrics would be if all were heard alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa

from workbench import response
from workbench.configuration import load
from workbench.engine import identifier
from workbench.errors import DataError, suggest
from workbench.measure import RELATION, rows_query
from workbench.metrics import evaluate, metrics, parse_call, parse_calls
from workbench.query import Build
from workbench.scratch import held_table, scratch

#: What is compared where nothing is named.
HEADLINE = ("accuracy", "reward_mean", "brier_score", "ece")
WEIGHT = "sample_weight"
#: Fewer effective rows than these carry no value.
LEAST_EFFECTIVE = 100.0
#: Values of a column that are told apart, and columns that are crossed with one another.
_LEVELS, _CROSSED = 20, 5
#: How often chance alone would show a pair of columns, over all pairs.
_CHANCE = 1e-3
#: Inferences are counted by all columns at once where that makes at most about so many cells.
_MOST_CELLS = 100_000


def rates(
    build: Build, columns: Sequence[str] = (), where: str | None = None
) -> list[dict[str, Any]]:
    """Response rate by each candidate column, those first that tell most of who answers.

    Parameters
    ----------
    build
        The build to read.
    columns
        Columns such as ``device``, ``user.tier``, ``hour(ts)`` or ``device x user.tier``. By
        default all that have few values, and pairs of the strongest that tell more together than
        their columns tell apart.
    where
        SQL condition over the columns of ``enriched_inferences``.

    Returns
    -------
    list of dict
        ``column_name``, ``value``, ``n``, ``n_labelled``, ``response_rate``, ``low``, ``high`` and
        ``spread``: the standard deviation of the rates of the column's values over the inferences,
        without what chance alone would give; 0 where that is enough.

    Raises
    ------
    DataError
        If there is no such column.
    """
    present = build.columns(RELATION)
    later: list[str] = []
    if columns:
        parts = [part for name in columns for part in name.split(response.CROSS)]
        wanted = [response.root_of(part) for part in parts]
        for name in wanted:
            if name not in present:
                raise DataError(f"There is no column {name!r}.", suggest(name, present))
    else:
        project = load(build.project_dir)
        later = [context.name for context in project.contexts if context.join == "within"]
        wanted = [*response.USUAL, *(context.name for context in project.contexts)]
        if project.inferences.features:
            wanted.append("features")
    needed = dict.fromkeys(["n_events", "label", "reward", *wanted])
    listed = ", ".join(identifier(name) for name in needed if name in present)
    condition = build.expression(where) if where and where.strip() else "true"
    relation = build.narrowest(RELATION, listed, condition)
    table = build.query_table(f"SELECT {listed} FROM {relation} WHERE {condition}")
    if columns:
        found = _by_column(build.execute(response.rates(table, list(columns))).to_pylist())
    else:
        found = _of_all(build, table, later)
    spreads = {name: math.sqrt(_variance(rows)) for name, rows in found.items()}
    return [
        {**row, "spread": spreads[name]}
        for name in sorted(found, key=lambda name: (-spreads[name], name))
        for row in sorted(found[name], key=_by_rate)
    ]


def _of_all(build: Build, table: ir.Table, later: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Rates by each candidate, and by the pairs of the strongest that say something new."""
    some = response.likely(table, build.execute, _LEVELS, later=later)
    if not some:
        return {}
    if math.prod(n or 1 for n in some.values()) > _MOST_CELLS:
        names = response.candidates(table, build.execute, _LEVELS, later=later)
        return _with_pairs(names, lambda of: build.execute(response.rates(table, of)))
    cells = response.cells_of(table, list(some))
    with scratch(build, build.sql_of(cells.table)) as held:
        cells = response.Cells(held_table(held), cells.names)
        names = response.few_of(cells.names, cells.n_values(held.run), _LEVELS)
        return _with_pairs(names, lambda of: held.run(response.rates_of(cells, of)))


def _with_pairs(
    names: Sequence[str], rates: Callable[[Sequence[str]], pa.Table]
) -> dict[str, list[dict[str, Any]]]:
    if not names:
        return {}
    found = _by_column(rates(names).to_pylist())
    strongest = sorted(found, key=lambda name: -_variance(found[name]))[:_CROSSED]
    pairs = list(combinations([name for name in names if name in strongest], 2))
    if pairs:
        named = {response.CROSS.join(pair): pair for pair in pairs}
        for name, rows in _by_column(rates(list(named)).to_pylist()).items():
            apart = [found[column] for column in named[name]]
            if _interact(rows, apart) < _CHANCE / len(pairs):
                found[name] = rows
    return found


def _by_column(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["column_name"], []).append(row)
    return found


def _by_rate(row: dict[str, Any]) -> tuple[float, int, str]:
    return row["response_rate"], -row["n"], row["value"] or ""


def _between(rows: Sequence[dict[str, Any]]) -> tuple[int, float, float]:
    """Number of inferences, variance of one answer, variance of the rates of the values."""
    n = sum(row["n"] for row in rows)
    overall = sum(row["n"] * row["response_rate"] for row in rows) / n
    between = sum(row["n"] * (row["response_rate"] - overall) ** 2 for row in rows) / n
    return n, overall * (1.0 - overall), between


def _variance(rows: Sequence[dict[str, Any]]) -> float:
    """Variance of the rates between the values of a column, less what chance would give."""
    n, of_one, between = _between(rows)
    return float(max(0.0, between - (len(rows) - 1) * of_one / n))


def _interact(
    crossed: Sequence[dict[str, Any]], apart: Sequence[Sequence[dict[str, Any]]]
) -> float:
    """How often chance alone would make two columns tell so much more together than apart.

    What they tell together and not apart is a sum of squares that is chi-square distributed for
    columns that do not depend on one another; for those that do it is smaller, so a pair that is
    shown says something new.
    """
    from scipy.stats import chi2

    n, of_one, together = _between(crossed)
    more = together - sum(_between(rows)[2] for rows in apart)
    degrees = (len(apart[0]) - 1) * (len(apart[1]) - 1)
    if not of_one or not degrees:
        return 1.0
    return float(chi2.sf(n * more / of_one, degrees))


def weighted(
    build: Build,
    only: Sequence[str] = (),
    by: Sequence[str] = (),
    where: str | None = None,
) -> list[dict[str, Any]]:
    """Metrics as observed, and reweighted so that labelled inferences stand for all.

    Parameters
    ----------
    build
        A build with ``sample_weight``: an artefact of kind ``propensity`` is pinned in it.
    only
        Metrics; those of `HEADLINE` when empty.
    by
        SQL expressions to group by.
    where
        SQL condition.

    Returns
    -------
    list of dict
        ``metric``, ``by``, ``observed`` (``value``, ``low``, ``high``, ``n``, ``reason``); the
        reweighted ``value``, ``low``, ``high``, ``n``, ``n_labelled`` and ``reason``;
        ``n_effective`` and ``largest_weight`` of the rows in it. Where the effective size is below
        100 there is no value and the reason is ``few_effective``. A metric over all inferences,
        labelled or not, needs no weight and has the same value twice, without the two.

    Raises
    ------
    DataError
        If the build has no weights.
    """
    calls = parse_calls(only) if only else [parse_call(name) for name in HEADLINE]
    if WEIGHT not in build.columns(RELATION) or not build.count(
        f"SELECT 1 FROM narrow.{RELATION} WHERE {WEIGHT} IS NOT NULL LIMIT 1"
    ):
        raise DataError(
            "No inference has a sample_weight.",
            "Fit it and build anew: workbench fit propensity; workbench build",
        )
    table = build.query_table(rows_query(build, calls, by, where, also=(WEIGHT,)))
    observed = evaluate(table, calls, by, build.arrow)
    reweighted = evaluate(table, calls, by, build.arrow, weight=WEIGHT)
    sizes = _sizes(build, table, by)
    found = []
    for before, after in zip(observed, reweighted, strict=True):
        kept = {name: before[name] for name in ("value", "low", "high", "n", "reason")}
        if metrics.get(before["metric"].partition("(")[0]).over == "all":
            found.append({**before, "observed": kept, "n_effective": None, "largest_weight": None})
            continue
        size = sizes.get(repr(before["by"]))
        # Of a metric that leaves labelled rows out, their share of the effective size.
        effective = size["n_effective"] * after["n"] / size["n"] if size and size["n"] else None
        if after["value"] is not None and not (effective or 0.0) >= LEAST_EFFECTIVE:
            refused = {"value": None, "low": None, "high": None, "n": 0, "reason": "few_effective"}
            after = {**after, **refused}
        largest = size["largest"] if size else None
        found.append(
            {**after, "observed": kept, "n_effective": effective, "largest_weight": largest}
        )
    return found


def _sizes(build: Build, table: ir.Table, by: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Effective size, number and largest weight of the weighted rows, by the groups of `by`."""
    names = list(dict.fromkeys(by))
    groups = {f"group_{i}": table[name] for i, name in enumerate(names)}
    rows = table.select(w=table[WEIGHT], **groups)
    rows = rows.filter(rows.w > 0)
    sums = rows.aggregate(
        by=list(groups),
        n=rows.count(),
        n_effective=rows.w.sum() * rows.w.sum() / (rows.w * rows.w).sum(),
        largest=rows.w.max(),
    )
    return {
        repr({name: row[group] for name, group in zip(names, groups, strict=True)}): row
        for row in build.execute(sums).to_pylist()
    }
