"""Mean distance of predicted probability from observed rate (expected calibration error).

``sum over bins of abs(sum of p - sum of y) / n`` over the calibration pairs. Published versions
differ in the bin that a value on an edge belongs to, so the rule is a parameter: the equal-width
rules of `formulas.bin_index`, and ``equal_mass``, whose inner edges are the quantiles
``numpy.quantile(p, j / bins)`` of each group, with the numpy rule at the edges (as netcal). Equal
values are never split, so rounded probabilities give fewer bins.

The interval is a bootstrap over the cells (bin, outcome), each row standing for the mean
probability of its cell (`cell_bootstrap`): it covers the error of the observed rates and of the bin
sizes, but not the scatter of probabilities within a bin. It starts at 0 where a perfectly
calibrated model would often show as much on as few rows (`calibrated_noise`); the bootstrap alone
would call such a model miscalibrated every other time. It is NULL where all rows are in one cell.
"""

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np

from workbench.formulas import BIN_RULES, bin_index, probability
from workbench.metrics._bootstrap import calibrated_noise, cell_bootstrap
from workbench.metrics._metric import Estimate, Param, State, state_metric


def cells(table: ir.Table, by: tuple[str, ...], /, *, bins: int, bin_rule: str) -> ir.Table:
    """Count the pairs and average the probability in each (bin, outcome) of each group."""
    named = table.select(
        *by, p=probability(table.calibration_p), y=probability(table.calibration_y)
    )
    pairs = named.filter(named.p.notnull() & named.y.notnull())
    if bin_rule == "equal_mass":
        binned = _equal_mass(pairs, by, bins)
    else:
        binned = pairs.mutate(bin=bin_index(pairs.p, bins, bin_rule))
    found = binned.aggregate(by=[*by, "bin", "y"], n=binned.count(), p=binned.p.mean())
    # Cells in a fixed order, because the resampling goes by their position.
    return found.order_by([*by, "bin", "y"])


def _equal_mass(pairs: ir.Table, by: tuple[str, ...], bins: int) -> ir.Table:
    """Bin by the quantiles of each group: the bin is the number of inner quantiles up to the value.

    The quantiles are interpolated here, by the operations of `numpy.quantile` in their order:
    QUANTILE_CONT may differ in the last place, which moves all values that are equal to the edge.
    """
    rising = ibis.window(group_by=list(by), order_by="p")
    ranked = pairs.select(
        *by,
        place=ibis.row_number().over(rising),
        low=pairs.p,
        high=ibis.coalesce(pairs.p.lead().over(rising), pairs.p),
    )
    wanted = pairs.aggregate(by=list(by), last=pairs.count() - 1).mutate(
        j=ibis.range(1, bins).unnest()
    )
    # Not a literal j / bins: DuckDB reads it as a DECIMAL and so as another double.
    position = wanted["last"].cast("float64") * (wanted.j * (ibis.literal(1) / ibis.literal(bins)))
    wanted = wanted.select(*by, position=position, before=position.floor().cast("int64"))
    same = [wanted[key].identical_to(ranked[key]) for key in by]
    found = wanted.join(ranked, [*same, wanted.before == ranked.place], rname="{name}_ranked")
    fraction = found.position - found.before
    rise = found.high - found.low
    edge = (fraction >= 0.5).ifelse(
        found.high - rise * (1.0 - fraction), found.low + rise * fraction
    )

    edges = found.select(*by, p=edge, y=ibis.null("float64"), edge=ibis.literal(1, "int64"))
    both = pairs.select(*by, "p", "y", edge=ibis.literal(0, "int64")).union(edges)
    upto = ibis.window(
        group_by=list(by), order_by=["p", both.edge.desc()], preceding=None, following=0
    )
    counted = both.mutate(bin=both.edge.sum().over(upto).cast("int64"))
    return counted.filter(counted.edge == 0)


def estimate(state: State, /, **_params: Any) -> Estimate:
    """ECE and its interval out of the cells of one group."""
    n, p, y = (state[name].astype(np.float64) for name in ("n", "p", "y"))
    total = n.sum()
    binned = ~np.isnan(state["bin"].astype(np.float64))
    if not binned.any():
        return Estimate(reason="not_applicable")
    _, place = np.unique(state["bin"][binned], return_inverse=True)
    indicator = np.zeros((len(n), place.max() + 1))
    # Rows without a bin (rule guo) keep a row of zeros: no gap, but part of the total.
    indicator[np.flatnonzero(binned), place] = 1.0

    def ece(counts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        gaps: np.ndarray[Any, Any] = np.abs((counts * (p - y)) @ indicator)
        return np.asarray(gaps.sum(axis=-1) / total)

    value = float(ece(n))
    low, high = cell_bootstrap(n, value, ece)
    size = n @ indicator
    if low is not None and value <= calibrated_noise(size, (n * p) @ indicator / size, total):
        low = 0.0
    return Estimate(value=value, low=low, high=high, n=int(total))


metric = state_metric(
    state=cells,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="lower",
    params={
        "bins": Param(default=10, about="Number of bins.", minimum=1, maximum=1000),
        "bin_rule": Param(
            default="numpy",
            about="Where a value on the edge of a bin belongs.",
            choices=(*BIN_RULES, "equal_mass"),
        ),
    },
)
