"""Sums of a value over every slice of up to two columns, in one scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from workbench.scratch import Scratch
from workbench.worst._attributes import Attribute
from workbench.worst._statistics import Array, Sums

Key = tuple[tuple[int, Any], ...]

#: Sums of the rows with a value, by the codes of all of their attributes; the same of each of
#: several values.
CODED, EVERY = "coded", "every_coded"
_SUMS = ("n", "s", "ss")


@dataclass(frozen=True)
class Scan:
    """What was summed up.

    Attributes
    ----------
    slices
        Of each slice, its columns (by place among the attributes) and codes: one or two.
    now, before
        Sums of the values of each slice: of the rows looked at, and of those of the reference.
    all_now, all_before
        The same of all rows.
    binary
        Whether all values are 0 or 1.
    """

    slices: tuple[Key, ...]
    now: Sums
    before: Sums
    all_now: Sums
    all_before: Sums
    binary: bool


def code(rows: Scratch, attributes: Sequence[Attribute], values: Sequence[str]) -> None:
    """Sum up several columns of values by the codes of the attributes, for a `scan` of each.

    To find the codes takes most of the time.
    """
    sums = [
        f"{sql} AS {name}_{value}"
        for value in values
        for name, sql in {
            **_sums_of(value), "is_binary": f"bool_and({value} IN (0, 1))"
        }.items()
    ]  # fmt: skip
    names = [_held(i) for i in range(len(attributes))]
    rows.connection.execute(
        f"CREATE TEMP TABLE {EVERY} AS SELECT {', '.join([*names, *sums])} "
        f"FROM (SELECT {', '.join([*values, *_codes(attributes)])} FROM {rows.name}) GROUP BY ALL"
    )


def scan(
    rows: Scratch,
    attributes: Sequence[Attribute],
    least: int,
    *,
    moved: bool,
    value: str | None = None,
) -> Scan:
    """Sum up ``x`` by every value of each attribute and of each two, where there are enough rows.

    Parameters
    ----------
    rows
        Held rows with ``x`` (NULL where there is no value), ``past`` and the attributes.
    attributes
        What the slices are made of.
    least
        Rows with a value that a slice must have.
    moved
        Whether it must have them in the reference as well.
    value
        One of the columns that `code` was given, in place of ``x``.

    Notes
    -----
    Which columns a row of the result is about comes from ``grouping_id``, not from NULL in the
    others.
    """
    places = range(len(attributes))
    sets = [(i,) for i in places] + list(combinations(places, 2))
    names = [_held(i) for i in places]
    if value is not None:
        own = [f"{name}_{value} AS {name}" for name in (*_SUMS, "is_binary")]
        rows.connection.execute(
            f"CREATE OR REPLACE TEMP VIEW {CODED} AS SELECT {', '.join([*names, *own])} "
            f"FROM {EVERY} WHERE n_{value} > 0"
        )
    else:
        # Rows with the same codes are added up once, not once for each of their many slices.
        rows.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {CODED} AS SELECT "
            f"{', '.join([*names, _sum_sql(moved=moved)])}, bool_and(x IN (0, 1)) AS is_binary "
            f"FROM (SELECT {', '.join(['x', 'past', *_codes(attributes)])} FROM {rows.name} "
            "WHERE x IS NOT NULL) GROUP BY ALL"
        )
    sums = _added_sql(moved=moved)
    (whole,) = rows.run(
        f"SELECT {sums}, coalesce(bool_and(is_binary), false) AS is_binary FROM {CODED}"
    ).to_pylist()
    whole = {name: [value] for name, value in whole.items()}
    all_now, all_before = _sums(whole, ""), _sums(whole, "_before")
    binary = bool(whole["is_binary"][0])
    if not names:
        nothing = _sums({"n": []}, "")
        return Scan((), nothing, nothing, all_now, all_before, binary)
    grouped = ", ".join(f"({', '.join(names[i] for i in chosen)})" for chosen in sets)
    enough = f"sum(n) >= {least}" + (f" AND sum(n_before) >= {least}" if moved else "")
    found = rows.run(
        f"SELECT {', '.join(names)}, grouping_id({', '.join(names)}) AS id, {sums} "
        f"FROM {CODED} GROUP BY GROUPING SETS ({grouped}) HAVING {enough} ORDER BY ALL"
    ).to_pydict()
    # In grouping_id the first column is the highest bit, and 1 says that it is not grouped by.
    every = (1 << len(names)) - 1
    chosen_of = {every ^ sum(1 << (len(names) - 1 - i) for i in chosen): chosen for chosen in sets}
    slices = tuple(
        tuple((i, found[names[i]][row]) for i in chosen_of[identity])
        for row, identity in enumerate(found["id"])
    )
    return Scan(slices, _sums(found, ""), _sums(found, "_before"), all_now, all_before, binary)


def _codes(attributes: Sequence[Attribute]) -> list[str]:
    return [f"{a.code} AS {_held(i)}" for i, a in enumerate(attributes)]


def _sums_of(x: str) -> dict[str, str]:
    """SQL of each of `_SUMS` of a column."""
    return {
        "n": f"count({x})",
        "s": f"coalesce(sum({x}), 0)",
        "ss": f"coalesce(sum({x} * {x}), 0)",
    }


def _sum_sql(*, moved: bool) -> str:
    if not moved:
        return ", ".join(f"{sql} AS {name}" for name, sql in _sums_of("x").items())
    parts = []
    for ending, which in (("", "NOT past"), ("_before", "past")):
        parts += [
            f"count(x) FILTER ({which}) AS n{ending}",
            f"coalesce(sum(x) FILTER ({which}), 0) AS s{ending}",
            f"coalesce(sum(x * x) FILTER ({which}), 0) AS ss{ending}",
        ]
    return ", ".join(parts)


def _added_sql(*, moved: bool) -> str:
    """SQL of the sums of `_sum_sql` over several rows of `CODED`."""
    names = [f"{name}{ending}" for ending in ("", "_before")[: 1 + moved] for name in _SUMS]
    return ", ".join(f"coalesce(sum({name}), 0)::DOUBLE AS {name}" for name in names)


def _sums(found: Mapping[str, Sequence[Any]], ending: str) -> Sums:
    """Sums out of columns; zeros where nothing was summed up."""
    nothing = [0] * len(found["n"])
    n, s, ss = (
        np.asarray(found.get(f"{name}{ending}", nothing), np.float64) for name in ("n", "s", "ss")
    )
    return Sums(n, s, ss)


def _held(place: int) -> str:
    """The column of an attribute's codes."""
    return f"code_{place}"


def overlaps(rows: Scratch, slices: Sequence[Key], *, moved: bool) -> tuple[Array, Sums, Sums]:
    """Sums of the rows that `scan` looked at, by which of the slices they are in.

    Returns
    -------
    tuple
        A matrix of booleans (combinations, slices), and the sums of each combination of the rows
        looked at and of the reference.
    """
    inside = (" AND ".join(f"{_held(i)} = {code}" for i, code in key) for key in slices)
    mask = " | ".join(f"(({sql})::BIGINT << {i})" for i, sql in enumerate(inside))
    found = rows.run(
        f"SELECT {mask} AS mask, {_added_sql(moved=moved)} FROM {CODED} GROUP BY mask ORDER BY mask"
    ).to_pydict()
    masks = np.asarray(found["mask"], np.int64)
    met = (masks[:, None] >> np.arange(len(slices))[None, :]) & 1 == 1
    return met, _sums(found, ""), _sums(found, "_before")


def sizes(rows: Scratch, conditions: Sequence[str]) -> list[int]:
    """How many of the rows looked at meet each condition, with a value or not."""
    counted = ", ".join(f"count(*) FILTER (WHERE NOT past AND {sql})" for sql in conditions)
    if not counted:
        return []
    (row,) = rows.run(f"SELECT [{counted}] AS n FROM {rows.name}").to_pylist()
    return list(row["n"])
