"""How far groups are apart: difference and ratio of any metric, with what chance allows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

from workbench.errors import ConfigError, suggest
from workbench.formulas import Z95
from workbench.metrics import metrics, parse_call, split_calls, wilson_of
from workbench.query import Build
from workbench.state import measure_quick

Row = Mapping[str, Any]
Ends = tuple[float | None, float | None]

NAMED: Mapping[str, tuple[str, ...]] = {
    "demographic_parity": ("selection_rate",),
    "equal_opportunity": ("true_positive_rate",),
    "equalized_odds": ("true_positive_rate", "false_positive_rate"),
    "predictive_parity": ("positive_predictive_value",),
}
"""The disparities that have a name of their own: the worst of these metrics."""

DEFAULT = (*NAMED, "accuracy", "reward_mean", "ece")
"""What is compared where nothing is said."""

LEAST = 20
"""Fewest rows in a value that enters a comparison."""

FOUR_FIFTHS = 0.8

_NONE: Ends = (None, None)


def disparities(
    build: Build,
    only: Sequence[str] = (),
    by: Sequence[str] = (),
    where: str | None = None,
    least: int = LEAST,
) -> list[dict[str, Any]]:
    """How far the groups of a build are apart.

    Parameters
    ----------
    build
        The build to read.
    only
        Names of `NAMED` and metrics, such as ``equalized_odds`` or ``ece(bins=20)``; those of
        `DEFAULT` when empty.
    by
        SQL expressions over the columns of ``enriched_inferences``; several are crossed.
    where
        SQL condition over the same columns.
    least
        Groups with fewer rows in their value are hidden and do not enter the comparison.

    Returns
    -------
    list of dict
        As `compare` makes them.

    Raises
    ------
    ConfigError
        If there is nothing to group by, or a metric or a parameter does not exist.
    QueryError
        If an expression does not fit the columns.
    """
    if not by:
        raise ConfigError("There are no groups to compare.", "Say by what: --by country.")
    asked = wanted(only)
    calls = list(dict.fromkeys(call for _, parts in asked for call in parts))
    return compare(measure_quick(build, calls, by, where, least), asked)


def wanted(only: Sequence[str] = ()) -> list[tuple[str, tuple[str, ...]]]:
    """Each disparity that is asked for, with the metrics that it is the worst of."""
    texts = [text for entry in only for text in split_calls(entry)] or DEFAULT
    names = [*NAMED, *metrics.names()]
    for text in texts:
        if text.isidentifier() and text not in names:
            raise ConfigError(f"There is no disparity or metric {text!r}.", suggest(text, names))
    # A metric is written as `evaluate` writes it, so that its rows are found.
    return [(text, NAMED.get(text) or (str(parse_call(text)),)) for text in texts]


def compare(
    rows: Sequence[Row], asked: Sequence[tuple[str, Sequence[str]]]
) -> list[dict[str, Any]]:
    """Compare the groups of metrics that were evaluated.

    The two groups that are compared are those with the lowest and the highest value. A group
    whose value is undefined or hidden does not enter; it is among ``groups`` with its reason.

    The interval of the difference is that of MOVER (Zou and Donner 2008), which combines the
    intervals of the two values; for rates, with their Wilson intervals, it is Newcombe's score
    interval (1998, method 10). That of the ratio is MOVER-R (Donner and Zou 2012).

    The pair is picked after looking at all: of many equal groups, some two are always apart. The
    adjusted intervals hold for all pairs at once (Bonferroni): the intervals of the values are
    those of level 1 - 0.05 / ``comparisons``. Score intervals (of rates and of means in [0, 1]) are
    recomputed at that level; others are widened in proportion to the normal quantile.

    Parameters
    ----------
    rows
        As `workbench.metrics.evaluate` returns them, with small groups hidden by
        `workbench.suppression.suppress`.
    asked
        Names, each with the metrics that it is the worst of, as `wanted` returns them.

    Returns
    -------
    list of dict
        For each name: ``disparity`` (the name), ``metric`` (that the difference is of),
        ``difference`` (largest - smallest), ``low``, ``high`` (95 % interval of this pair),
        ``adjusted_low``, ``adjusted_high`` (of all pairs at once), ``ratio`` (smallest / largest;
        NULL where the largest is 0), ``ratio_metric``, ``ratio_low``, ``ratio_high`` (NULL where
        there is no upper end), ``ratio_adjusted_low``, ``ratio_adjusted_high``,
        ``below_four_fifths`` (ratio below 0.8), ``four_fifths_certain`` (its adjusted interval does
        not contain 0.8), ``lowest``, ``highest`` (value by expression), ``compared`` (groups),
        ``comparisons`` (pairs that could have been picked), ``reason`` (why ``difference`` is
        NULL), ``groups`` (``by``, ``value``, ``low``, ``high``, ``n``, ``n_labelled``, ``reason``).
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["metric"], []).append(row)
    found = []
    for name, parts in asked:
        sides = [groups.get(part, []) for part in parts]
        pairs = sum(math.comb(len(_known(side)), 2) for side in sides)
        gaps = [_gap(part, side, pairs) for part, side in zip(parts, sides, strict=True)]
        found.append({"disparity": name, **_worst(gaps)})
    return found


def _known(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["value"] is not None]


def _worst(gaps: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Largest difference, and smallest ratio, of several metrics."""
    # The worst of two is not known while one of them is not.
    for gap in gaps:
        if gap["difference"] is None:
            return gap
    apart = max(gaps, key=lambda gap: gap["difference"])
    known = [gap for gap in gaps if gap["ratio"] is not None]
    unequal = min(known, key=lambda gap: gap["ratio"]) if known else apart
    return apart | {name: unequal[name] for name in unequal if "ratio" in name or "four" in name}


def _gap(metric: str, rows: Sequence[Row], pairs: int) -> dict[str, Any]:
    known = _known(rows)
    difference, ratio, reason = None, None, None
    lowest: Row = {"by": None}
    highest: Row = {"by": None}
    plain = adjusted = ratio_plain = ratio_adjusted = _NONE
    if len(known) > 1:
        interval = metrics.get(parse_call(metric).name).interval
        lowest = min(known, key=lambda row: row["value"])
        # The last of equals: two groups with one value are a pair, not one group twice.
        highest = max(reversed(known), key=lambda row: row["value"])
        small, large = lowest["value"], highest["value"]
        difference = large - small
        ratio = small / large if large > 0 and small >= 0 else None
        z = NormalDist().inv_cdf(1 - 0.05 / (2 * pairs)) if pairs > 1 else Z95
        ends = [(row["low"], row["high"]) for row in (lowest, highest)]
        wider = [at_level(row, interval, z) for row in (lowest, highest)]
        plain = mover_difference(large, ends[1], small, ends[0])
        adjusted = mover_difference(large, wider[1], small, wider[0])
        if ratio is not None:
            ratio_plain = mover_ratio(small, ends[0], large, ends[1])
            ratio_adjusted = mover_ratio(small, wider[0], large, wider[1])
    else:
        reasons = {row["reason"] for row in rows if row["value"] is None}
        reason = next(
            (r for r in ("missing_column", "suppressed") if r in reasons),
            "not_applicable" if reasons - {"empty"} or known else "empty",
        )
    low, high = ratio_adjusted
    return {
        "metric": metric,
        "difference": difference,
        "low": plain[0],
        "high": plain[1],
        "adjusted_low": adjusted[0],
        "adjusted_high": adjusted[1],
        "ratio": ratio,
        "ratio_metric": metric,
        "ratio_low": ratio_plain[0],
        "ratio_high": ratio_plain[1],
        "ratio_adjusted_low": low,
        "ratio_adjusted_high": high,
        "below_four_fifths": None if ratio is None else ratio < FOUR_FIFTHS,
        "four_fifths_certain": None
        if low is None
        else low >= FOUR_FIFTHS or (high is not None and high < FOUR_FIFTHS),
        "lowest": lowest["by"],
        "highest": highest["by"],
        "compared": len(known),
        "comparisons": pairs,
        "reason": reason,
        "groups": [{key: row[key] for key in row if key != "metric"} for row in rows],
    }


def at_level(row: Row, interval: str, z: float) -> Ends:
    """The interval of a value at another level than 95 %.

    Both ends t of a score interval of size n solve ``(value - t)^2 = z^2 t (1 - t) / n``, so the
    size, also an effective one, follows from one end.

    Parameters
    ----------
    row
        With ``value``, ``low`` and ``high``, the 95 % interval.
    interval
        Which kind it is: see `workbench.metrics.simple_metric`.
    z
        Normal quantile of the level.
    """
    value, low, high = row["value"], row["low"], row["high"]
    if low is None or high is None or z == Z95:
        return low, high
    far = low if value - low > high - value else high
    if interval not in ("wilson", "mean") or not 0 < far < 1 or far == value:
        return value - (value - low) * z / Z95, value + (high - value) * z / Z95
    size = Z95**2 * far * (1 - far) / (value - far) ** 2
    return wilson_of(value, size, z)


def mover_difference(one: float, of_one: Ends, other: float, of_other: Ends) -> Ends:
    """Interval of ``one - other`` from the intervals of both."""
    (low, high), (below, above) = of_one, of_other
    if low is None or high is None or below is None or above is None:
        return _NONE
    return (
        one - other - math.hypot(one - low, above - other),
        one - other + math.hypot(high - one, other - below),
    )


def mover_ratio(one: float, of_one: Ends, other: float, of_other: Ends) -> Ends:
    """Interval of ``one / other`` from the intervals of both, for values from 0 on.

    The ends r are where the interval of ``one - r * other`` ends at 0: a quadratic equation. Its
    upper end is NULL where the interval of `other` reaches 0.
    """
    (low, high), (below, above) = of_one, of_other
    if low is None or high is None or below is None or above is None:
        return _NONE
    middle = one * other
    below_one, above_one = low * (2 * one - low), high * (2 * one - high)
    below_other, above_other = below * (2 * other - below), above * (2 * other - above)
    root = middle + math.sqrt(max(middle**2 - below_one * above_other, 0.0))
    least = below_one / root if root > 0 else 0.0
    if below_other <= 0:
        return least, None
    most = (middle + math.sqrt(max(middle**2 - above_one * below_other, 0.0))) / below_other
    return least, most
