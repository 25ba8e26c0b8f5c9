"""How far raters agree beyond chance: Cohen's and Fleiss' kappa, Krippendorff's alpha.

A unit is an inference, judged under one signal. What the engine does is to take each rater's latest
value and to count equal units; the figures and their bootstrap are made from those counts.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt

from workbench.formulas import canonical

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEVELS = ("nominal", "ordinal", "interval", "ratio")
#: Resamples of an interval; fewer where there are very many different units.
RESAMPLES, FEWER_RESAMPLES, MANY_PATTERNS = 1000, 200, 5000
#: Pairs of raters that are compared: of a thousand raters there are half a million.
MOST_PAIRS = 2000
#: Different values up to which `ratio` compares each with each.
MOST_VALUES = 2000
_SEED = 20_260_301
#: Signals of these kinds have no value that two raters could have in common.
_WITHOUT_VALUE = ("comment", "preference", "correction")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def events(feedback: ir.Table) -> ir.Table:
    """The events of ``enriched_feedback`` that are a value by a rater, and were not withdrawn."""
    return feedback.filter(
        ~feedback.retracted.fill_null(False),
        feedback.rater_id.notnull(),
        feedback.value.notnull(),
        # An event that takes another one back has no kind.
        ~feedback.kind.isin(_WITHOUT_VALUE).fill_null(True),
    )


def ratings(feedback: ir.Table, per: Sequence[str] = ()) -> ir.Table:
    """Each rater's latest value of each signal about each inference.

    Parameters
    ----------
    feedback
        Rows of ``enriched_feedback``. Events that were withdrawn, that have no rater, no value or
        no kind, and comments, preferences and corrections are left out.
    per
        Columns within which it is the latest.

    Returns
    -------
    ir.Table
        `per`, ``name``, ``request_id``, ``rater_id`` and ``value``, as values are compared
        everywhere: unquoted, whole numbers without ``.0``, booleans as 1 and 0.
    """
    rows = events(feedback)
    place = ibis.row_number().over(
        ibis.window(
            group_by=[*per, "request_id", "name", "rater_id"],
            order_by=[rows.feedback_ts.desc(nulls_first=False), rows.feedback_id.desc()],
        )
    )
    found = rows.select(
        *per, "name", "request_id", "rater_id", value=canonical(rows.value), __place=place
    )
    return found.filter(found["__place"] == 0).drop("__place")


def shared(feedback: ir.Table) -> ir.Table:
    """The `events` of inferences that have several under one signal: the others compare nothing.

    To find each rater's latest value is to sort, and as a rule most inferences have one event.
    """
    return several(events(feedback))


def alone(feedback: ir.Table) -> ir.Table:
    """``n``: inferences with one of the `events` under a signal, which are not among `shared`."""
    said = events(feedback)
    units = _units(_in_company(said))
    units = units.filter(units.n == 1).select("name")
    if "n_events" in said.columns:
        units = units.union(said.filter(said.n_events == 1).select("name"))
    return units.group_by("name").agg(n=units.count())


def _in_company(said: ir.Table) -> ir.Table:
    """Some events without those whose inference is known to have no other."""
    if "n_events" not in said.columns:
        return said
    return said.filter((said.n_events != 1).fill_null(True))


def several(said: ir.Table) -> ir.Table:
    """Those of some events or `ratings` that are of an inference with several under one signal."""
    said = _in_company(said)
    units = _units(said)
    return said.semi_join(units.filter(units.n > 1), ["name", "request_id"])


def _units(said: ir.Table) -> ir.Table:
    return said.group_by("name", "request_id").agg(n=said.count())


def unit_patterns(rated: ir.Table) -> ir.Table:
    """Units by what was said of them, without saying by whom.

    Returns
    -------
    ir.Table
        ``name``; ``pattern``, each value with the number of raters who gave it; ``n`` units.
    """
    counts = rated.group_by("name", "request_id", "value").agg(k=rated.count())
    said = ibis.struct({"value": counts.value, "k": counts.k})
    units = counts.group_by("name", "request_id").agg(pattern=said.collect().sort())
    return units.group_by("name", "pattern").agg(n=units.count())


def pair_counts(rated: ir.Table, least: int, most: int = MOST_PAIRS) -> ir.Table:
    """How often two raters gave which two values to the same unit.

    Parameters
    ----------
    rated
        As `ratings` gives it.
    least, most
        Only pairs with so many units in common at least, and of those the so many that have most.

    Returns
    -------
    ir.Table
        ``name``, ``rater_a``, ``rater_b``, ``value_a``, ``value_b``, ``n``.
    """
    other = rated.view()
    both = rated.join(
        other,
        [
            rated.request_id == other.request_id,
            rated.name == other.name,
            rated.rater_id < other.rater_id,
        ],
        rname="other_{name}",
    ).select(
        name=rated["name"],
        rater_a=rated.rater_id,
        rater_b=other.rater_id,
        value_a=rated.value,
        value_b=other.value,
    )
    pair = ["name", "rater_a", "rater_b"]
    cells = both.group_by(*pair, "value_a", "value_b").agg(n=both.count())
    pairs = cells.group_by(*pair).agg(__common=cells.n.sum())
    pairs = pairs.filter(pairs["__common"] >= least)
    busiest = pairs.order_by([pairs["__common"].desc(), *pair]).limit(most)
    return cells.semi_join(busiest, pair)


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
