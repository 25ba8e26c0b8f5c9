"""The calibration pairs (p, y) of each group, and their sums by bin."""

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np

from workbench.formulas import BIN_RULES, bin_index, probability
from workbench.metrics._metric import Param, State

#: Rules of `cells`.
RULES = (*BIN_RULES, "equal_mass")

#: The parameters of every metric over `cells`.
BIN_PARAMS = {
    "bins": Param(default=10, about="Number of bins.", minimum=1, maximum=1000),
    "bin_rule": Param(
        default="numpy",
        about="Where a value on the edge of a bin belongs.",
        choices=RULES,
    ),
}


def pairs(table: ir.Table, by: tuple[str, ...]) -> ir.Table:
    """The columns `by`, ``p``, ``y`` and ``weight`` of the rows that have a calibration pair."""
    named = table.select(
        *by, "weight", p=probability(table.calibration_p), y=probability(table.calibration_y)
    )
    return named.filter(named.p.notnull() & named.y.notnull())


def cells(table: ir.Table, by: tuple[str, ...], /, *, bins: int, bin_rule: str) -> ir.Table:
    """Sums over the pairs in each (bin, outcome) of each group.

    Returns
    -------
    ir.Table
        `by`, ``bin`` (NULL for a row that the rule leaves out), ``y``, ``rows``, ``n`` (sum of
        weights), ``ww`` (sum of their squares), ``sp`` and ``spp`` (sums of p and of its square).
    """
    rows = pairs(table, by)
    if bin_rule == "equal_mass":
        binned = _equal_mass(rows, by, bins)
    else:
        binned = rows.mutate(bin=bin_index(rows.p, bins, bin_rule))
    w = binned.weight
    found = binned.aggregate(
        by=[*by, "bin", "y"],
        rows=binned.count(),
        n=w.sum(),
        ww=(w * w).sum(),
        sp=(w * binned.p).sum(),
        spp=(w * binned.p * binned.p).sum(),
    )
    # Cells in a fixed order, because the resampling goes by their position.
    return found.order_by([*by, "bin", "y"])


def _equal_mass(rows: ir.Table, by: tuple[str, ...], bins: int) -> ir.Table:
    """Bin by the quantiles of each group: the bin is the number of inner quantiles up to the value.

    The quantiles are interpolated here, by the operations of `numpy.quantile` in their order:
    QUANTILE_CONT may differ in the last place, which moves all values that are equal to the edge.
    """
    rising = ibis.window(group_by=list(by), order_by="p")
    ranked = rows.select(
        *by,
        place=ibis.row_number().over(rising),
        low=rows.p,
        high=ibis.coalesce(rows.p.lead().over(rising), rows.p),
    )
    wanted = rows.aggregate(by=list(by), last=rows.count() - 1).mutate(
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

    edges = found.select(*by, p=edge, y=ibis.null("float64"), weight=ibis.null("float64"),
                         edge=ibis.literal(1, "int64"))  # fmt: skip
    both = rows.select(*by, "p", "y", "weight", edge=ibis.literal(0, "int64")).union(edges)
    upto = ibis.window(
        group_by=list(by), order_by=["p", both.edge.desc()], preceding=None, following=0
    )
    counted = both.mutate(bin=both.edge.sum().over(upto).cast("int64"))
    return counted.filter(counted.edge == 0)


def effective_size(state: State) -> float:
    """Effective number of rows of a state with ``n`` and ``ww``; their number if unweighted."""
    squares = float(state["ww"].sum())
    return float(state["n"].sum()) ** 2 / squares if squares else 0.0


def by_bin(state: State) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Which cells of a state have a bin, and which bin each cell belongs to.

    Returns
    -------
    tuple
        A mask over the cells, and an indicator of shape (cells, bins) with one 1 in each row of a
        cell that has a bin: ``counts @ indicator`` adds up over the cells of each bin.
    """
    numbers = state["bin"].astype(np.float64)
    binned = ~np.isnan(numbers)
    _, place = np.unique(numbers[binned], return_inverse=True)
    indicator = np.zeros((len(numbers), place.max() + 1 if len(place) else 0))
    # Rows without a bin (rule guo) keep a row of zeros: no gap, but part of the total.
    indicator[np.flatnonzero(binned), place] = 1.0
    return binned, indicator
