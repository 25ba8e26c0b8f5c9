"""Reliability diagrams: the bins behind the calibration errors, and where their rows are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir

from workbench import formulas
from workbench.measure import rows_query
from workbench.metrics import metrics, pairs, parse_call
from workbench.query import Build

#: The probability that is looked at where nothing is said.
PROBABILITY = "calibration_p"


@dataclass(frozen=True)
class Reliability:
    """The bins of a reliability diagram.

    Attributes
    ----------
    rows
        One dict for each group and bin: ``group`` (text of the grouping expression, or None),
        ``bin`` (None for rows that the rule leaves out), ``n``, ``predicted`` (mean probability),
        ``observed`` (share of outcome 1), ``low``, ``high`` (95 %, Wilson), ``first`` and ``last``
        (smallest and largest probability in it), ``where`` (SQL of its rows within the group).
    sql
        The query that they come from.
    """

    rows: list[dict[str, Any]]
    sql: str


def reliability(
    build: Build,
    bins: int = 10,
    bin_rule: str = "numpy",
    by: str | None = None,
    where: str | None = None,
    probability: str = PROBABILITY,
) -> Reliability:
    """Compare mean probability and observed rate in bins of the probability.

    The bins are those of the metric ``ece``: their gaps, weighted by ``n``, add up to it.

    Parameters
    ----------
    build
        The build to read.
    bins, bin_rule
        As those of ``ece``.
    by
        SQL expression to group by.
    where
        SQL condition of the rows to look at.
    probability
        Column of the probability, such as ``calibrated_p``.

    Raises
    ------
    ConfigError
        If there is no such rule or number of bins.
    QueryError
        If an expression does not fit the columns.
    """
    call = parse_call(f"ece(bins={bins}, bin_rule={bin_rule!r})")
    state = metrics.get("ece").state
    assert state is not None
    query = rows_query(build, [call], [by] if by else [], where, also=(probability,))
    table = build.query_table(query)
    table = table.select(
        group=table[by].cast("string") if by else ibis.null("string"),
        weight=ibis.literal(1.0),
        calibration_p=table[probability],
        calibration_y=table.calibration_y,
    )
    expression = _bins(table, state(table, ("group",), bins=bins, bin_rule=bin_rule))
    rows = build.execute(expression).to_pylist()
    for row in rows:
        # A sum of whole numbers is a HUGEINT, which comes back as a decimal.
        row["n"] = int(row["n"])
        row["where"] = (
            f"{probability} BETWEEN {_double(row['first'])} AND {_double(row['last'])} "
            "AND calibration_y BETWEEN 0 AND 1"
        )
    return Reliability(rows, build.sql_of(expression))


def _bins(table: ir.Table, cells: ir.Table) -> ir.Table:
    """Numbers of each bin, and the range of probability that its rows are in.

    Bins part the rows in the order of the probability, and never rows that are equal in it. So the
    rows of a bin are those between two places in that order, whatever the rule.
    """
    n, hits = cells["rows"].sum(), cells.y * cells["rows"]
    sums = cells.aggregate(
        by=["group", "bin"],
        n=n,
        predicted=cells.sp.sum() / n,
        observed=hits.sum() / n,
        hits=hits.sum(),
    )
    low, high = formulas.wilson(sums.hits, sums.n)
    upto = ibis.window(
        group_by="group", order_by=sums.bin.asc(nulls_first=True), preceding=None, following=0
    )
    sums = sums.mutate(low=low, high=high, end=sums.n.sum().over(upto))
    sums = sums.mutate(start=sums.end - sums.n)
    paired = pairs(table, ("group",))
    spots = paired.aggregate(by=["group", "p"], k=paired.count())
    rising = ibis.window(group_by="group", order_by="p", preceding=None, following=0)
    spots = spots.mutate(place=spots.k.sum().over(rising) - spots.k)
    placed = spots.select(of="group", p="p", place="place")
    inside = [
        sums.group.identical_to(placed.of),
        sums.start <= placed.place,
        placed.place < sums.end,
    ]
    found = sums.join(placed, inside)
    kept = ("group", "bin", "n", "predicted", "observed", "low", "high")
    return found.aggregate(by=list(kept), first=found.p.min(), last=found.p.max()).order_by(
        [found.group.asc(nulls_first=False), ibis._.first]
    )


def _double(value: float) -> str:
    # Written bare it would be a DECIMAL, which is another number.
    return f"'{value!r}'::DOUBLE"
