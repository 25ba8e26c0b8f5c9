"""Cohen's and Fleiss' kappa, Krippendorff's alpha, and their intervals, from counts of units."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEVELS = ("nominal", "ordinal", "interval", "ratio")
#: Resamples of an interval; fewer where there are very many different units.
RESAMPLES, FEWER_RESAMPLES, MANY_PATTERNS = 1000, 200, 5000
#: Different values up to which `ratio` compares each with each.
MOST_VALUES = 2000
_SEED = 20_260_301
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def number(text: str) -> float:
    """A value as a finite number; NaN where it is none."""
    value = float(text) if _NUMBER.fullmatch(text) else np.nan
    return value if np.isfinite(value) else np.nan


@dataclass(frozen=True)
class Units:
    """Units of one signal, equal ones counted.

    Attributes
    ----------
    values
        The values, in the order of numbers if they are numbers, else of texts.
    n
        Units of each pattern.
    of_pattern, of_value, k
        Raters who gave a value in a pattern, one entry each.
    single
        Units with one rating, which tell nothing and are in no pattern.
    """

    values: tuple[str, ...]
    n: Floats
    of_pattern: Ints
    of_value: Ints
    k: Floats
    single: int

    @property
    def m(self) -> Floats:
        """Ratings of a unit of each pattern."""
        return np.bincount(self.of_pattern, self.k, len(self.n)).astype(np.float64)

    @property
    def numbers(self) -> Floats:
        """The values as numbers; NaN where one is none."""
        return np.array([number(value) for value in self.values])


def units_of(patterns: Sequence[Mapping[str, Any]]) -> Units:
    """Rows of `unit_patterns` of one signal as arrays, in an order of their own."""
    plural, single = [], 0
    for row in patterns:
        said = sorted((entry["value"], entry["k"]) for entry in row["pattern"])
        if sum(k for _, k in said) < 2:
            single += row["n"]
        else:
            plural.append((said, row["n"]))
    plural.sort()
    texts = sorted({value for said, _ in plural for value, _ in said})
    if all(np.isfinite(number(text)) for text in texts):
        texts.sort(key=lambda text: (number(text), text))
    place = {text: i for i, text in enumerate(texts)}
    flat = [(i, place[value], k) for i, (said, _) in enumerate(plural) for value, k in said]
    columns = np.array(flat, dtype=np.int64).reshape(-1, 3)
    return Units(
        values=tuple(texts),
        n=np.array([n for _, n in plural], dtype=np.float64),
        of_pattern=columns[:, 0],
        of_value=columns[:, 1],
        k=columns[:, 2].astype(np.float64),
        single=single,
    )


def fits(units: Units, level: str) -> bool:
    """Whether the values are of a level: numbers; not below zero, nor too many, for a ratio."""
    if level == "nominal":
        return True
    numbers = units.numbers
    if np.isnan(numbers).any():
        return False
    return level != "ratio" or (not (numbers < 0).any() and len(numbers) <= MOST_VALUES)


def alpha(units: Units, level: str) -> Callable[[Floats], float]:
    """Krippendorff's alpha of units as a function of how often each pattern occurs.

    ``1 - (n - 1) sum(o_ck d_ck) / sum(n_c n_k d_ck)`` over the coincidences ``o_ck`` of the values
    within units with two ratings or more, each unit's pairs counted ``1 / (m - 1)`` times
    (Krippendorff 2011, Computing Krippendorff's alpha-reliability). The squared difference ``d`` is
    1 for different values (nominal), that of the mid-ranks (ordinal), of the numbers (interval), or
    of the numbers over their sum (ratio). NaN where only one value occurs, or the values are no
    numbers (below zero, for a ratio).
    """
    if not fits(units, level):
        return lambda n: np.nan
    size, m, numbers = len(units.values), units.m, units.numbers

    def within(v: Floats) -> Floats:
        """Sum of squared differences of the pairs of a unit, in both orders, over m - 1."""
        s = np.bincount(units.of_pattern, units.k * v[units.of_value], len(m))
        q = np.bincount(units.of_pattern, units.k * v[units.of_value] ** 2, len(m))
        return 2.0 * (m * q - s * s) / (m - 1.0)

    same = np.bincount(units.of_pattern, units.k * (units.k - 1.0), len(m)) / (m - 1.0)
    ratios = _ratios(numbers) if level == "ratio" else np.empty((0, 0))
    fixed = _within_ratios(units, ratios) if level == "ratio" else np.empty(0)

    def value(n: Floats) -> float:
        total = np.bincount(units.of_value, n[units.of_pattern] * units.k, size)
        if (total > 0).sum() < 2:
            return np.nan
        whole = total.sum()
        if level == "nominal":
            observed, expected = whole - n @ same, whole**2 - total @ total
        elif level == "ratio":
            observed, expected = n @ fixed, total @ ratios @ total
        else:
            v = np.cumsum(total) - total / 2.0 if level == "ordinal" else numbers
            v = v - total @ v / whole
            observed = n @ within(v)
            expected = 2.0 * (whole * (total @ v**2) - (total @ v) ** 2)
        return float(1.0 - (whole - 1.0) * observed / expected)

    return value


def _ratios(numbers: Floats) -> Floats:
    """``((c - k) / (c + k))^2`` of every two numbers."""
    sums = numbers[:, None] + numbers[None, :]
    differences = numbers[:, None] - numbers[None, :]
    return (differences / np.where(sums == 0.0, 1.0, sums)) ** 2


def _within_ratios(units: Units, ratios: Floats) -> Floats:
    """The sum of `ratios` over the pairs of a unit of each pattern, in both orders, over m - 1."""
    found = np.zeros(len(units.n))
    ends = np.searchsorted(units.of_pattern, np.arange(len(units.n) + 1))
    for i, (first, last) in enumerate(itertools.pairwise(ends)):
        k, v = units.k[first:last], units.of_value[first:last]
        found[i] = k @ ratios[np.ix_(v, v)] @ k
    return found / (units.m - 1.0)


def fleiss(units: Units) -> tuple[Units, Callable[[Floats], float]]:
    """Fleiss' kappa (Fleiss 1971) of the units that equally many raters judged.

    It is not defined for units with different numbers of ratings. Where they differ, the units with
    the most frequent number are taken, of two the larger; `Units` returned are those.
    """
    m = units.m
    if len(m):
        sizes = np.unique(m)
        often = [units.n[m == size].sum() for size in sizes]
        chosen = m == sizes[::-1][int(np.argmax(often[::-1]))]
        units = _only(units, chosen)
        m = units.m
    size = len(units.values)
    agreed = np.bincount(units.of_pattern, units.k * (units.k - 1.0), len(m)) / (m * (m - 1.0))

    def value(n: Floats) -> float:
        shares = np.bincount(units.of_value, n[units.of_pattern] * units.k, size)
        if (shares > 0).sum() < 2:
            return np.nan
        shares = shares / shares.sum()
        return float(_kappa(n @ agreed / n.sum(), shares @ shares))

    return units, value


def _only(units: Units, chosen: npt.NDArray[np.bool_]) -> Units:
    kept = chosen[units.of_pattern]
    place = np.cumsum(chosen, dtype=np.int64) - 1
    return Units(
        values=units.values,
        n=units.n[chosen],
        of_pattern=place[units.of_pattern[kept]],
        of_value=units.of_value[kept],
        k=units.k[kept],
        single=units.single,
    )


def cohen(cells: Sequence[Mapping[str, Any]]) -> tuple[Floats, Callable[[Floats], Any]]:
    """Cohen's kappa (Cohen 1960) of two raters, from rows of `pair_counts` about them.

    Returns
    -------
    tuple
        The units of each pair of values, and kappa as a function of those, or of many rows of
        those.
    """
    ordered = sorted(cells, key=lambda row: (row["value_a"], row["value_b"]))
    texts = sorted({row[name] for row in ordered for name in ("value_a", "value_b")})
    first, second = (
        np.array([[row[name] == text for text in texts] for row in ordered], dtype=np.float64)
        for name in ("value_a", "value_b")
    )
    same = (first * second).sum(axis=1)

    def value(n: Floats) -> Any:
        whole = n.sum(axis=-1)
        expected = ((n @ first) * (n @ second)).sum(axis=-1) / whole**2
        # Chance agrees always only where both gave one value, and the same.
        return _kappa(n @ same / whole, np.where(expected > 1.0 - 1e-12, np.nan, expected))

    return np.array([row["n"] for row in ordered], dtype=np.float64), value


def _kappa(observed: Any, expected: Any) -> Any:
    return (observed - expected) / (1.0 - expected)


def interval(
    n: Floats, value: Callable[[Floats], Any], *, at_once: bool = False
) -> tuple[float | None, float | None]:
    """95 % percentile interval by drawing as many units again, with replacement.

    There is none where all draws give the same, such as those of raters who always agreed: it would
    have no width, however few units there are.

    Parameters
    ----------
    n
        How often each pattern occurs.
    value
        The figure as a function of that.
    at_once
        Whether `value` takes many draws, a row each.
    """
    whole = int(n.sum())
    if whole < 2:
        return None, None
    resamples = RESAMPLES if len(n) <= MANY_PATTERNS else FEWER_RESAMPLES
    rng = np.random.default_rng(_SEED)
    shares = n / n.sum()
    if at_once:
        drawn = value(rng.multinomial(whole, shares, resamples).astype(np.float64))
    else:
        drawn = np.array(
            [value(rng.multinomial(whole, shares).astype(np.float64)) for _ in range(resamples)]
        )
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < resamples / 2 or np.ptp(drawn) < 1e-12:
        return None, None
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)
