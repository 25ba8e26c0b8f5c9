"""The slices where a metric is worst, or moved most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.engine import sql_of
from workbench.errors import ConfigError, suggest
from workbench.query import Build
from workbench.scratch import Scratch, scratch
from workbench.worst._attributes import MOST_VALUES, Attribute, attributes, candidates
from workbench.worst._scan import Key, Scan, code, overlaps, scan, sizes
from workbench.worst._statistics import (
    Array,
    Difference,
    Sums,
    benjamini_hochberg,
    difference,
    p_value,
)
from workbench.worst._values import values_of

#: The share of false slices among those that are named.
ALPHA = 0.05
LEAST_ROWS = 50
#: Slices that are held against each other for being the same trouble.
_COMPARED = 60
ORDERS = ("effect", "impact")


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
    table, (direction,), narrow = values_of(build, {"x": metric}, offered, where, reference)
    with scratch(build, sql_of(table), kind="VIEW" if narrow else "TABLE") as rows:
        held = {f"a{i}": name for i, name in enumerate(offered)}
        made_of = attributes(rows, held) if columns or where else _usual(build, rows, held)
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


def find_several(build: Build, metrics: Sequence[str], *, limit: int = 10) -> list[Search]:
    """`find_worst` of each of several metrics over all rows, which are read once for all of them.

    Parameters
    ----------
    build, metrics, limit
        As in `find_worst`.
    """
    offered = candidates(build)
    values = {f"x_{i}": metric for i, metric in enumerate(metrics)}
    table, directions, narrow = values_of(build, values, offered, None, None)
    with scratch(build, sql_of(table), kind="VIEW" if narrow else "TABLE") as rows:
        made_of = _usual(build, rows, {f"a{i}": name for i, name in enumerate(offered)})
        code(rows, made_of, [*values])
        return [
            search(rows, made_of, metric, direction, limit=limit, value=value)
            for (value, metric), direction in zip(values.items(), directions, strict=True)
        ]


def _usual(build: Build, rows: Scratch, held: Mapping[str, str]) -> list[Attribute]:
    """What slices of all rows are made of."""
    found: list[Attribute] = build.once("attributes", lambda: attributes(rows, held))
    return found


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
    value: str | None = None,
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
    value
        As in `workbench.worst._scan.scan`.
    """
    if order not in ORDERS:
        raise ConfigError(f"Slices cannot be ordered by {order!r}.", suggest(order, ORDERS))
    seen = scan(rows, made_of, max(least_rows, 2), moved=moved, value=value)
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
