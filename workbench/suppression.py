"""Hides small groups, and as many others as it takes that no total reveals them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from workbench.errors import ConfigError

Key = tuple[Any, ...]
Array = np.ndarray[Any, Any]

#: So many hidden groups of a crossed table can be checked in good time.
MOST_HIDDEN = 500

_TOLERANCE = 1e-7


@dataclass(frozen=True)
class Size:
    """How large a group is.

    Parameters
    ----------
    n
        Rows in the value.
    rows
        Rows that the value could have been about: of a group without positives, its labelled rows.
    """

    n: int
    rows: int

    def __add__(self, other: Size) -> Size:
        return Size(self.n + other.n, self.rows + other.rows)

    def below(self, least: int) -> bool:
        """Whether the group is to be hidden for its size; one without any row hides nothing."""
        return 0 < self.n < least or (self.n == 0 and 0 < self.rows < least)


def suppress(rows: Sequence[Mapping[str, Any]], least: int) -> list[dict[str, Any]]:
    """The rows of `evaluate`, with the values of small groups hidden.

    A hidden row has no value, no interval, ``n`` 0 and the reason ``suppressed``. That a small
    group has no positives says what all of its labels are, so its reason is hidden as well.

    Parameters
    ----------
    rows
        As `workbench.metrics.evaluate` returns them.
    least
        Fewest rows in a value that is shown; 0 shows all.
    """
    if least <= 0:
        return [dict(row) for row in rows]
    tables: dict[str, dict[Key, Size]] = {}
    for row in rows:
        about = 0 if row["reason"] in ("empty", "missing_column") else row["n_labelled"]
        tables.setdefault(row["metric"], {})[_key(row)] = Size(row["n"], max(about, row["n"]))
    hidden = {metric: hidden_groups(sizes, least) for metric, sizes in tables.items()}
    nothing = {"value": None, "low": None, "high": None, "n": 0, "reason": "suppressed"}
    return [{**row, **nothing} if _key(row) in hidden[row["metric"]] else dict(row) for row in rows]


def _key(row: Mapping[str, Any]) -> Key:
    # NaN does not equal itself, and a struct or a list cannot be hashed.
    return tuple(
        repr(value)
        if isinstance(value, dict | list) or (isinstance(value, float) and math.isnan(value))
        else value
        for value in row["by"].values()
    )


def hidden_groups(sizes: Mapping[Key, Size], least: int) -> set[Key]:
    """Groups to hide: those with fewer than `least` rows, and others that would give them away.

    Whoever knows the value of a total and of all its groups but one knows that one. So where
    exactly one group of a total is hidden, the next smallest is hidden too. In a crossed table each
    group is part of several totals (the margins), which can be combined: it goes on until no hidden
    small group, and no small margin, follows from what is shown in the table and in the tables of
    its margins, each of which is suppressed in the same way.

    The tables of the margins do not know of this one. Where groups are missing from a crossed table
    a margin can be one group alone, and of three or more expressions the margins can tell of each
    other: what the margins alone give away stays so, whatever is hidden here.

    Two hidden groups are not told apart by their total, but their sum is known, and with it bounds
    of each. Other metrics of the same group, and other tables that share an expression with this
    one, are not looked at.

    Parameters
    ----------
    sizes
        Size of each group; keys of one length, one entry for each grouping expression.
    least
        Fewest rows of a group that is shown.

    Raises
    ------
    ConfigError
        If a crossed table has more hidden groups than can be checked.
    """
    if not sizes:
        return set()
    depth = len(next(iter(sizes)))
    margins: list[_Margin] = []
    for level in range(depth + 1):
        # Margins of one level do not see each other, so that each is what it would be alone.
        margins += [
            _suppressed(places, _totals(sizes, places), least, margins)
            for places in combinations(range(depth), level)
        ]
    return margins[-1].hidden


@dataclass(frozen=True)
class _Margin:
    """One table of totals: over which grouping columns, of which size, and which are hidden."""

    places: tuple[int, ...]
    sizes: Mapping[Key, Size]
    hidden: set[Key]


def _totals(sizes: Mapping[Key, Size], places: tuple[int, ...]) -> dict[Key, Size]:
    found: dict[Key, Size] = {}
    for key, size in sizes.items():
        part = _part(key, places)
        found[part] = found[part] + size if part in found else size
    return found


def _part(key: Key, places: Iterable[int]) -> Key:
    return tuple(key[place] for place in places)


def _suppressed(
    places: tuple[int, ...], sizes: Mapping[Key, Size], least: int, margins: Sequence[_Margin]
) -> _Margin:
    """Suppress one table, given the tables of its margins."""
    small = {key for key, size in sizes.items() if size.below(least)}
    hidden = set(small)
    # Cells by size, so that the next smallest is the first that is shown; position breaks ties.
    order = sorted((size.n, at, key) for at, (key, size) in enumerate(sizes.items()) if size.n)
    if len(places) == 1:
        if len(hidden) == 1 and not margins[0].hidden:
            hidden.update([key for _, _, key in order if key not in small][:1])
    elif places:
        _complement(places, [key for _, _, key in order], small, hidden, least, margins)
    return _Margin(places, sizes, hidden)


def _complement(
    places: tuple[int, ...],
    order: Sequence[Key],
    small: set[Key],
    hidden: set[Key],
    least: int,
    margins: Sequence[_Margin],
) -> None:
    """Hide more groups until nothing small follows from the shown ones and the shown totals."""
    within = [
        ([places.index(place) for place in margin.places], margin)
        for margin in margins
        if set(margin.places) < set(places)
    ]
    lost: list[set[Key]] | None = None
    while hidden:
        if len(hidden) > MOST_HIDDEN:
            raise ConfigError(
                f"More than {MOST_HIDDEN:,} groups have too few rows to be shown.",
                "Group by fewer or coarser expressions.",
            )
        totals, revealed = _revealed(hidden, small, least, within)
        if revealed and lost is None:
            # What the margins alone give away cannot be taken back by hiding groups here.
            _, lost = _revealed(hidden | set(order), small, least, within)
        more: set[Key] = set()
        for secret in revealed:
            lines = [(at, part) for at, part, keys in totals if keys & secret]
            if secret in (lost or []) or any(
                _part(k, at) == part for k in more for at, part in lines
            ):
                continue
            shown = [key for key in order if key not in hidden and key not in more]
            beside = [k for k in shown if any(_part(k, at) == part for at, part in lines)]
            more.update((beside or shown)[:1])
        if not more:
            return
        hidden |= more


def _revealed(
    hidden: set[Key],
    small: set[Key],
    least: int,
    within: Sequence[tuple[list[int], _Margin]],
) -> tuple[list[tuple[list[int], Key, set[Key]]], list[set[Key]]]:
    """The shown totals with hidden groups in them, and what is small but follows from them."""
    cells = sorted(hidden, key=repr)
    column = {key: at for at, key in enumerate(cells)}
    secrets = [{key} for key in cells if key in small]
    totals = []
    for at, margin in within:
        parts: dict[Key, set[Key]] = {}
        for key in cells:
            parts.setdefault(_part(key, at), set()).add(key)
        for part, keys in parts.items():
            if part not in margin.hidden:
                totals.append((at, part, keys))
            elif margin.sizes[part].below(least):
                secrets.append(keys)
    return totals, _follow([keys for _, _, keys in totals], secrets, column)


def _follow(
    totals: Sequence[set[Key]], secrets: Sequence[set[Key]], column: Mapping[Key, int]
) -> list[set[Key]]:
    """Which sums of hidden groups are combinations of the totals' hidden parts."""
    if not totals or not secrets:
        return []
    _, weights, directions = np.linalg.svd(_indicator(totals, column), full_matrices=False)
    basis = directions[weights > _TOLERANCE]
    wanted = _indicator(secrets, column)
    rest = wanted - (wanted @ basis.T) @ basis
    follows = np.abs(rest).max(axis=1) < _TOLERANCE
    return [secret for secret, yes in zip(secrets, follows, strict=True) if yes]


def _indicator(sets: Sequence[set[Key]], column: Mapping[Key, int]) -> Array:
    found = np.zeros((len(sets), len(column)))
    for at, keys in enumerate(sets):
        found[at, [column[key] for key in keys]] = 1.0
    return found
