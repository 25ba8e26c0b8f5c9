"""Importance weights of logged decisions: what another policy would have chosen how often."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import ibis
import ibis.expr.types as ir

from workbench.formulas import Z95, finite, probability
from workbench.metrics._metric import Estimate, Param, State, expression_column

#: The target policy that takes each candidate equally often.
UNIFORM = "uniform"

TARGET = Param(
    default=UNIFORM,
    about="Probability with which the other policy would have taken the logged action: an SQL "
    "expression, or 'uniform' for 1 / n_choices.",
)
#: Parameters of every metric that is a value of the target policy.
VALUE_PARAMS: Mapping[str, Param] = {
    "target": TARGET,
    "min_effective": Param(
        default=100.0, about="Effective sample size below which there is no value.", minimum=0
    ),
}


def importance(
    table: ir.Table, by: tuple[str, ...], /, *, target: str, cap: float = 0.0
) -> ir.Table:
    """Sums over the rows of each group that have a reward and an importance weight.

    The importance weight is the probability of the logged action under the target policy over that
    under the logging policy. It is NULL where either is missing or no probability, or the logged
    one is 0; such a row is left out and not counted.

    Parameters
    ----------
    table
        Rows with ``reward``, ``propensity``, ``weight``, and what `target` needs.
    by
        Grouping columns.
    target
        `UNIFORM`, or the expression whose values are in its `expression_column`.
    cap
        Greatest importance weight, 0 for none.

    Returns
    -------
    ir.Table
        `by`, ``rows``, ``largest`` importance weight, and sums of products of the weight of a row
        (w), its importance weight (i) and reward (r), each named by its factors: ``w``, ``ww``,
        ``wi``, ``wii``, ``wwii``, ``wir``, ``wiir``, ``wiirr``.
    """
    if target == UNIFORM:
        chosen = 1.0 / table.n_choices.cast("float64").nullif(0.0)
    else:
        chosen = table[expression_column(target)]
    ratio = finite(probability(chosen) / probability(table.propensity).nullif(0.0))
    known = table.select(*by, w="weight", i=ratio, r=finite(table.reward))
    known = known.filter(known.i.notnull() & known.r.notnull())
    if cap:
        known = known.mutate(i=ibis.least(known.i, cap))
    w, i, r = known.w, known.i, known.r
    sums = known.aggregate(
        by=list(by),
        rows=known.count(),
        largest=i.max(),
        w=w.sum(),
        ww=(w * w).sum(),
        wi=(w * i).sum(),
        wii=(w * i * i).sum(),
        wwii=(w * w * i * i).sum(),
        wir=(w * i * r).sum(),
        wiir=(w * i * i * r).sum(),
        wiirr=(w * i * i * r * r).sum(),
    )
    # Without groups there is a row of sums even of nothing.
    return sums.filter(sums["rows"] > 0)


#: What the metrics over `importance` have in common.
COMMON: dict[str, Any] = {
    "family": "skew",
    "state": importance,
    "needs": ("reward", "propensity", "n_choices"),
    "expressions": ("target",),
}


def sums_of(state: State) -> dict[str, float]:
    """The sums of one group as numbers."""
    return {name: float(values[0]) for name, values in state.items()}


def value_estimate(
    state: State,
    /,
    *,
    of: Callable[[dict[str, float]], tuple[float, float]],
    min_effective: float,
    **_params: Any,
) -> Estimate:
    """Value of the target policy with its interval, or why there is none.

    Parameters
    ----------
    state
        The result of `importance` for one group.
    of
        From the sums to the value, and to the mean square of its influence function.
    min_effective
        Effective sample size below which there is no value.

    Returns
    -------
    Estimate
        With the interval ``value +- z * sqrt(mean square / (m - 1))``, m being the effective number
        of rows by their weights; it ends at 0, because rewards are not negative, and there is none
        where the influence is 0 everywhere: such a sample does not say how sure it is.
    """
    sums = sums_of(state)
    if not sums["wi"] > 0:
        # The other policy would have taken none of the logged actions.
        return Estimate(reason="not_applicable")
    # Not **: a power that is too large is an error, a product is infinite.
    effective = _ratio(sums["wi"] * sums["wi"], sums["wwii"])
    if not all(map(math.isfinite, sums.values())) or not effective >= min_effective:
        return Estimate(reason="few_effective")
    value, square = of(sums)
    rows = sums["w"] * sums["w"] / sums["ww"]
    low: float | None = None
    high: float | None = None
    if square > 0 and rows > 1:
        half = Z95 * math.sqrt(square / (rows - 1))
        low, high = min(max(0.0, value - half), value), value + half
    return Estimate(value=value, low=low, high=high, n=int(sums["rows"]))


def ips(sums: dict[str, float]) -> tuple[float, float]:
    """Value of inverse propensity scoring, and the mean square of its influence function."""
    value = sums["wir"] / sums["w"]
    return value, sums["wiirr"] / sums["w"] - value * value


def snips(sums: dict[str, float]) -> tuple[float, float]:
    """Value of its self-normalised form, and the mean square of its influence function."""
    value = sums["wir"] / sums["wi"]
    square = sums["wiirr"] - 2 * value * sums["wiir"] + value * value * sums["wii"]
    return value, square * sums["w"] / (sums["wi"] * sums["wi"])


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else 0.0
