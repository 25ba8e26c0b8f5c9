"""The calibration pairs (p, y) of each group, and their sums by bin."""

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np

from workbench.formulas import BIN_RULES, open_bin, settled_bin
from workbench.metrics._metric import Param, State

#: Rules whose edges follow the values.
MASS_RULES = ("equal_mass", "ntile")

#: Rules of `cells`.
RULES = (*BIN_RULES, *MASS_RULES)

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
        *by,
        "weight",
        p=table.calibration_p.cast("float64"),
        y=table.calibration_y.cast("float64"),
    )
    # NaN is greater than any number, for DuckDB as for Spark, so it is left out too.
    return named.filter(named.p >= 0.0, named.p <= 1.0, named.y >= 0.0, named.y <= 1.0)


def is_weighted(table: ir.Table) -> bool:
    """Whether rows may weigh something else than 1; if not, a count does for three sums."""
    values = getattr(table.op(), "values", {})
    return not isinstance(values.get("weight"), ibis.expr.operations.Literal)


def sizes(table: ir.Table, rows: ir.Table) -> dict[str, ir.Scalar]:
    """``rows``, ``n`` (sum of weights) and ``ww`` (sum of their squares) of rows of a table."""
    count = rows.count()
    if not is_weighted(table):
        return {"rows": count, "n": count.cast("float64"), "ww": count.cast("float64")}
    return {"rows": count, "n": rows.weight.sum(), "ww": (rows.weight * rows.weight).sum()}


def cells(
    table: ir.Table, by: tuple[str, ...], /, *, bins: int, bin_rule: str, powers: int = 1
) -> ir.Table:
    """Sums over the pairs in each (bin, outcome) of each group.

    Returns
    -------
    ir.Table
        `by`, ``bin`` (NULL for a row that the rule leaves out), ``y``, ``rows``, ``n`` (sum of
        weights), ``ww`` (sum of their squares), ``sp`` (sum of p), and up to the power `powers`
        ``spp`` (of its square) and so on.
    """
    rows = pairs(table, by)
    if bin_rule in MASS_RULES:
        found = _by_mass(rows, by, bins, bin_rule)
        sums = {"rows": found["rows"].sum(), "n": found.n.sum(), "ww": found.ww.sum()}
        cell, power = ["bin", "y"], found.n * found.p
    else:
        # One number for both, because to group by two takes longer.
        found = rows.mutate(cell=open_bin(rows.p, bins, bin_rule) * 2.0 + rows.y)
        sums = sizes(table, found)
        cell, power = ["cell"], found.weight * found.p if is_weighted(table) else found.p
    for k in range(1, powers + 1):
        sums[f"s{'p' * k}"] = power.sum()
        power = power * found.p
    found = found.aggregate(by=[*by, *cell], **sums)
    if "cell" in cell:
        found = _settled(found, by, bins, bin_rule)
    # Cells in a fixed order, because the resampling goes by their position.
    return found.order_by([*by, "bin", "y"])


def squared_cells(table: ir.Table, by: tuple[str, ...], /, *, bins: int, bin_rule: str) -> ir.Table:
    """`cells` with ``spp``, as the state of a build keeps them."""
    return cells(table, by, bins=bins, bin_rule=bin_rule, powers=2)


def _settled(found: ir.Table, by: tuple[str, ...], bins: int, rule: str) -> ir.Table:
    """Cells by bin and outcome; what a rule puts together at 0 or 1 was apart."""
    whole = (found.cell / 2.0).floor().cast("float64")
    apart = found.mutate(bin=settled_bin(whole, bins, rule), y=found.cell - whole * 2.0)
    names = [name for name in found.columns if name not in (*by, "cell")]
    sums = {name: apart[name].sum() for name in names}
    sums["rows"] = sums["rows"].cast("int64")
    return apart.aggregate(by=[*by, "bin", "y"], **sums)


def scores(table: ir.Table, by: tuple[str, ...], /) -> ir.Table:
    """Sums over the pairs of each different probability of each group, in rising order.

    Returns
    -------
    ir.Table
        `by`, ``p``, ``rows``, ``n`` (sum of weights), ``ww`` (sum of their squares), ``sy`` and
        ``wwy`` (the same two over the rows with outcome 1).
    """
    rows = pairs(table, by)
    w = rows.weight
    found = rows.aggregate(
        by=[*by, "p"],
        **sizes(table, rows),
        sy=(w * rows.y).sum(),
        wwy=(w * w * rows.y).sum(),
    )
    return found.order_by([*by, "p"])


def sums(table: ir.Table, by: tuple[str, ...], /) -> ir.Table:
    """Sums over all pairs of each group.

    Returns
    -------
    ir.Table
        `by`, ``rows``, ``n`` (sum of weights), ``ww`` (sum of their squares), ``sy``, and of
        Spiegelhalter's test the sums of each row's term ``z``, of its square ``zz`` and of the
        variance ``v`` that it has where the model is perfectly calibrated.
    """
    rows = pairs(table, by)
    w, p = rows.weight, rows.p
    term = (rows.y - p) * (1.0 - 2.0 * p)
    return rows.aggregate(
        by=list(by),
        **sizes(table, rows),
        sy=(w * rows.y).sum(),
        z=(w * term).sum(),
        zz=(w * term * term).sum(),
        v=(w * (1.0 - 2.0 * p) * (1.0 - 2.0 * p) * p * (1.0 - p)).sum(),
    ).filter(lambda found: found["rows"] > 0)


def _by_mass(rows: ir.Table, by: tuple[str, ...], bins: int, rule: str) -> ir.Table:
    """Sums of each different pair, binned by edges with equal numbers of rows between them.

    A weight counts as so many rows. Each edge lies between the row at a certain place, counted
    from 0 in rising order, and the next one: interpolated (``equal_mass``) by the operations of
    `numpy.quantile` in their order, for QUANTILE_CONT may differ in the last place, which moves all
    values that are equal to the edge; or half-way (``ntile``).
    """
    w = rows.weight
    spots = rows.aggregate(by=[*by, "p", "y"], rows=rows.count(), n=w.sum(), ww=(w * w).sum())
    rising = ibis.window(group_by=list(by), order_by=["p", "y"])
    upto = ibis.window(group_by=list(by), order_by=["p", "y"], preceding=None, following=0)
    # Weights add up with an error that depends on the order of the rows; places must not.
    ranked = spots.mutate(end=spots.n.sum().over(upto).round(9))
    ranked = ranked.select(
        *by,
        "end",
        start=ibis.coalesce(ranked.end.lag().over(rising), 0.0),
        here=ranked.p,
        after=ibis.coalesce(ranked.p.lead().over(rising), ranked.p),
    )
    wanted = ranked.aggregate(by=list(by), size=ranked.end.max())
    wanted = wanted.mutate(j=ibis.range(1, bins).unnest())
    if rule == "ntile":
        size = wanted["size"].floor().cast("int64")
        # The first bins get the rows that remain, one each; as NTILE and numpy.array_split.
        upper = wanted.j * (size // bins) + ibis.least(wanted.j, size % bins)
        wanted = wanted.select(*by, place=upper - 1, fraction=0.5, inner=upper < size)
        wanted = wanted.filter(wanted.inner & (wanted.place >= 0)).drop("inner")
    else:
        # Not a literal j / bins: DuckDB reads it as a DECIMAL and so as another double.
        share = wanted.j * (ibis.literal(1) / ibis.literal(bins))
        position = ibis.greatest(wanted["size"] - 1.0, 0.0) * share
        place = position.floor().cast("int64")
        wanted = wanted.select(*by, place=place, fraction=position - place)
    same = [wanted[key].identical_to(ranked[key]) for key in by]
    inside = [ranked.start <= wanted.place, wanted.place < ranked.end]
    found = wanted.join(ranked, [*same, *inside], rname="{name}_ranked")
    low = found.here
    high = (found.place + 1 < found.end).ifelse(low, found.after)
    if rule == "ntile":
        edge = (low + high) / 2.0
    else:
        part = found.fraction
        rise = high - low
        edge = (part >= 0.5).ifelse(high - rise * (1.0 - part), low + rise * part)

    nothing = {name: ibis.null(spots[name].type()) for name in ("y", "rows", "n", "ww")}
    edges = found.select(*by, p=edge, **nothing, edge=ibis.literal(1, "int64"))
    both = spots.mutate(edge=ibis.literal(0, "int64")).union(edges)
    # A value on an edge is above it, but below it where bins are closed on the right.
    first = both.edge.asc() if rule == "ntile" else both.edge.desc()
    counting = ibis.window(group_by=list(by), order_by=["p", first], preceding=None, following=0)
    counted = both.mutate(bin=both.edge.sum().over(counting).cast("int64"))
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
