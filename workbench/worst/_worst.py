"""The slices where a metric is worst, or moved most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ibis.expr.types as ir
import numpy as np

from workbench import formulas
from workbench.engine import identifier, sql_of
from workbench.errors import ConfigError, suggest
from workbench.metrics import metrics
from workbench.query import Build
from workbench.scratch import Scratch, scratch
from workbench.worst._attributes import MOST_VALUES, RELATION, Attribute, attributes, candidates
from workbench.worst._scan import Key, Scan, overlaps, scan, sizes
from workbench.worst._statistics import (
    Array,
    Difference,
    Sums,
    benjamini_hochberg,
    difference,
    p_value,
)

#: The share of false slices among those that are named.
ALPHA = 0.05
LEAST_ROWS = 50
#: Slices that are held against each other for being the same trouble.
_COMPARED = 60
ORDERS = ("effect", "impact")

GAP = "calibration_gap"
"""Probability minus outcome: the one number here that is worse the further it is from 0."""


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes
    ----------
    rows
        The slices, as `worst_slices` describes them.
    n_slices
        How many were looked at.
    """

    rows: list[dict[str, Any]]
    n_slices: int


def worst_slices(build: Build, metric: str = "accuracy", **options: Any) -> list[dict[str, Any]]:
    """The slices of `find_worst`."""
    return find_worst(build, metric, **options).rows


def find_worst(
    build: Build,
    metric: str = "accuracy",
    *,
    columns: Sequence[str] = (),
    where: str | None = None,
    reference: str | None = None,
    least_rows: int = LEAST_ROWS,
    limit: int = 10,
    order: str = "effect",
) -> Search:
    """Find the slices of up to two columns where a metric is significantly worse than elsewhere.

    Parameters
    ----------
    build
        The build to read.
    metric
        A metric that is a mean over rows, such as ``accuracy``, ``reward_mean`` or
        ``label_coverage``; or ``calibration_gap``, probability minus outcome.
    columns
        SQL expressions to make slices of. By default the columns of few values and the numbers
        (in ranges) of the log, the features and the contexts that do not look forward.
    where
        SQL condition of the rows to look at.
    reference
        SQL condition of the rows of an earlier period. A slice is then compared with itself
        before, in place of with the rest: what moved most.
    least_rows
        Rows with a value that a slice must have.
    limit
        Slices to return at most.
    order
        ``effect``: the worst first, by the end of its interval that is nearer to no effect.
        ``impact``: that, times its share of all rows, so that large slices come first.

    Returns
    -------
    Search
        Its rows have ``metric``, ``slice`` (value or range by column), ``where`` (SQL of its
        rows), ``n`` (rows with a value), ``n_rows`` (all of its rows), ``value``, ``against``
        (rest or reference), ``other`` and ``n_other`` (value and rows of that), ``effect`` (value -
        other), ``low`` and ``high`` (95 %), ``impact`` (effect times the slice's share of the rows
        with a value: what it does to the overall number), ``p``, ``q`` (adjusted for ``n_slices``,
        the slices that were looked at).

    Raises
    ------
    ConfigError
        If the metric does not exist or is no mean over rows.
    QueryError
        If an expression does not fit the columns.

    Notes
    -----
    Named are slices with q of up to 0.05 (Benjamini and Hochberg) in the bad direction. A slice of
    two columns must also be worse than the rest of either of its columns' slices (the greater of
    the two p-values, adjusted in the same way). One that is explained by a slice that is named
    before it is left out: without the rows of the latter it would not be worse than the rest.
    """
    offered = candidates(build, columns)
    table, direction, narrow = _values(build, metric, offered, where, reference)
    with scratch(build, sql_of(table), kind="VIEW" if narrow else "TABLE") as rows:
        held = {f"a{i}": name for i, name in enumerate(offered)}
        if columns or where:
            made_of = attributes(rows, held)
        else:
            made_of = build.once("attributes", lambda: attributes(rows, held))
        unused = [name for name in offered if name not in {a.name for a in made_of}]
        if columns and unused:
            raise ConfigError(
                f"No slices can be made of {', '.join(unused)}.",
                f"Use columns of up to {MOST_VALUES} values, or numbers.",
            )
        return search(
            rows, made_of, metric, direction,
            moved=bool(reference), least_rows=least_rows, limit=limit, order=order,
        )  # fmt: skip


def _values(
    build: Build, metric: str, offered: dict[str, str], where: str | None, reference: str | None
) -> tuple[ir.Table, int, bool]:
    """The rows, in which direction the value is bad (0 for away from 0), whether all is narrow."""
    names = [*metrics.names(), GAP]
    if metric not in names:
        raise ConfigError(f"There is no metric called {metric!r}.", suggest(metric, names))
    known = metrics.get(metric) if metric in metrics.names() else None
    row = known.expr if known is not None else None
    if metric != GAP and row is None:
        raise ConfigError(
            f"{metric} is no mean over rows, so slices cannot be searched for it.",
            f"Use accuracy, reward_mean, label_coverage or {GAP}.",
        )
    needs = known.needs if known is not None else ("calibration_p", "calibration_y")
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
    if known is not None and row is not None:
        x: ir.Value = formulas.finite(row(table))
        direction = {"higher": -1, "lower": 1, "none": 0}[known.better]
    else:
        p, y = (formulas.probability(table[f"calibration_{side}"]) for side in "py")
        x, direction = p - y, 0
    kept = [f"a{i}" for i in range(len(offered))]
    numbers = {name: _number(table[name]) for name in kept}
    rows = table.select("past", x=x.cast("float64"), **numbers)
    return rows, direction, source.startswith("narrow.")


def _number(value: ir.Value) -> ir.Value:
    # Ranges are cut by short decimals, and a DECIMAL has no NaN to ask for.
    return value.cast("float64") if value.type().is_decimal() else value


def search(
    rows: Scratch,
    made_of: Sequence[Attribute],
    metric: str,
    direction: int,
    *,
    moved: bool = False,
    least_rows: int = LEAST_ROWS,
    limit: int = 10,
    order: str = "effect",
) -> Search:
    """Search held rows with ``x``, ``past`` and attributes; see `find_worst`.

    Parameters
    ----------
    rows
        The held rows.
    made_of
        What slices are made of.
    metric
        What ``x`` is called.
    direction
        1 where a greater mean is worse, -1 where a smaller one is, 0 where one further from 0 is.
    moved, least_rows, limit, order
        As in `find_worst`.
    """
    if order not in ORDERS:
        raise ConfigError(f"Slices cannot be ordered by {order!r}.", suggest(order, ORDERS))
    seen = scan(rows, made_of, max(least_rows, 2), moved=moved)
    if not seen.slices:
        return Search([], 0)
    if moved:
        other = seen.before
        usable = np.ones(len(seen.slices), bool)
    else:
        other = _rest(seen.all_now, seen.now)
        usable = other.n >= 2
    found = difference(seen.now, other, binary=seen.binary)
    q = np.ones(len(usable))
    q[usable] = benjamini_hochberg(found.p[usable])
    bad = _is_worse(found.effect, seen.now.mean, other.mean, direction)
    named = usable & (q <= ALPHA) & bad
    named &= _beats_both_parents(seen, named, direction, moved=moved)
    nearest = np.minimum(np.abs(found.low), np.abs(found.high))
    nearest = np.where(found.low * found.high > 0, nearest, 0.0)
    rank = nearest * seen.now.n if order == "impact" else nearest
    ranked = [int(i) for i in np.lexsort((_sizes(seen), -rank)) if named[i]]
    looked_at = int(usable.sum())
    kept = _distinct(rows, seen, ranked, direction, looked_at, moved=moved)[:limit]
    n_rows = sizes(rows, [_condition(made_of, seen.slices[i], held=True) for i in kept])
    return Search(
        [
            _row(metric, made_of, seen, other, found, q, i, looked_at, n, moved=moved)
            for i, n in zip(kept, n_rows, strict=True)
        ],
        looked_at,
    )


def _rest(everything: Sums, part: Sums) -> Sums:
    return Sums(everything.n - part.n, everything.s - part.s, everything.ss - part.ss)


def _sizes(seen: Scan) -> Array:
    return np.asarray([len(key) for key in seen.slices])


def _is_worse(effect: Array, here: Array, there: Array, direction: int) -> Array:
    if direction:
        return np.asarray(effect * direction > 0)
    return np.asarray(np.abs(here) > np.abs(there))


def _beats_both_parents(seen: Scan, named: Array, direction: int, *, moved: bool) -> Array:
    """Whether a slice of two columns is worse than the rest of either parent; others pass."""
    place = {key: i for i, key in enumerate(seen.slices)}
    pairs = np.asarray([i for i, key in enumerate(seen.slices) if named[i] and len(key) == 2], int)
    passed = np.ones(len(named), bool)
    if not len(pairs):
        return passed
    p = np.zeros(len(pairs))
    for side in (0, 1):
        parents = np.asarray([place[(seen.slices[i][side],)] for i in pairs], int)
        against = _against(seen, pairs, parents, moved=moved)
        rest = seen.now[parents] - seen.now[pairs]
        worse = _is_worse(against.effect, seen.now[pairs].mean, rest.mean, direction)
        enough = rest.n >= 2
        p = np.maximum(p, np.where(worse & enough, against.p, 1.0))
    passed[pairs] = benjamini_hochberg(p) <= ALPHA
    return passed


def _against(seen: Scan, pairs: Array, parents: Array, *, moved: bool) -> Difference:
    """Each slice against the rest of its parent: their means, or how far they moved."""
    rest = seen.now[parents] - seen.now[pairs]
    if not moved:
        return difference(seen.now[pairs], rest, binary=seen.binary)
    before, rest_before = seen.before[pairs], seen.before[parents] - seen.before[pairs]
    one, other = seen.now[pairs].mean - before.mean, rest.mean - rest_before.mean
    error = np.sqrt(
        seen.now[pairs].variance + before.variance + rest.variance + rest_before.variance
    )
    return Difference(one - other, one - other, one - other, p_value(one - other, error))


def _distinct(
    rows: Scratch,
    seen: Scan,
    order: Sequence[int],
    direction: int,
    looked_at: int,
    *,
    moved: bool,
) -> list[int]:
    """Of slices, worst first, those that are still worse without the rows of the ones before.

    One fault shows in hundreds of slices that overlap it, and each of them makes the threshold of
    Benjamini and Hochberg more lenient for slices that have nothing to do with it. So a slice is
    tested again without what is explained, with the number of distinct slices so far as the rank.
    """
    order = list(order[:_COMPARED])
    if not order:
        return []
    met, now, before = overlaps(rows, [seen.slices[i] for i in order], moved=moved)
    open_rows = np.ones(len(met), bool)
    kept: list[int] = []
    for place, i in enumerate(order):
        inside, outside = met[:, place] & open_rows, ~met[:, place] & open_rows
        one = _total(now, inside)
        other = _total(before, inside) if moved else _total(now, outside)
        left = difference(one, other, binary=seen.binary)
        worse = _is_worse(left.effect, one.mean, other.mean, direction)[0]
        # What is left of a slice of which little is left says nothing about it.
        much = one.n[0] >= max(10.0, seen.now.n[i] / 4)
        if worse and much and left.p[0] <= ALPHA * (len(kept) + 1) / looked_at:
            kept.append(i)
            open_rows &= ~met[:, place]
    return kept


def _total(sums: Sums, which: Array) -> Sums:
    return Sums(*(np.asarray([part[which].sum()]) for part in (sums.n, sums.s, sums.ss)))


def _condition(made_of: Sequence[Attribute], key: Key, *, held: bool = False) -> str:
    parts = [made_of[i].condition(code, made_of[i].held if held else None) for i, code in key]
    return " AND ".join(parts) if not held else "(" + " AND ".join(parts) + ")"


def _row(
    metric: str,
    made_of: Sequence[Attribute],
    seen: Scan,
    other: Sums,
    found: Difference,
    q: Array,
    i: int,
    looked_at: int,
    n_rows: int,
    *,
    moved: bool,
) -> dict[str, Any]:
    key = seen.slices[i]
    return {
        "metric": metric,
        "slice": {made_of[place].name: made_of[place].label(code) for place, code in key},
        "where": _condition(made_of, key),
        "n": int(seen.now.n[i]),
        "n_rows": n_rows,
        "value": float(seen.now.mean[i]),
        "against": "reference" if moved else "rest",
        "other": float(other.mean[i]),
        "n_other": int(other.n[i]),
        "effect": float(found.effect[i]),
        "low": float(found.low[i]),
        "high": float(found.high[i]),
        "impact": float(found.effect[i] * seen.now.n[i] / seen.all_now.n[0]),
        "p": float(found.p[i]),
        "q": float(q[i]),
        "n_slices": looked_at,
    }
