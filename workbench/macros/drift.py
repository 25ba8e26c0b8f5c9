"""How far each column has moved in each week from the first third of the weeks.

What it shows
-------------
The Jensen-Shannon distance of a week's values from those of the reference, for the narrow columns:
where and to whom the model answered, what it said and how sure it was, and what people said of it.

How to read it
--------------
A distance of 0 is no difference, 1 is nothing in common. A short or quiet week is further away by
chance alone, so compare with `threshold`, which is what the reference weeks show among themselves.

What to do
----------
Where several columns move together, look at what happened then. Choose the reference yourself and
look at the features, with other distances, by ``workbench metrics --drift``.

Definition
----------
Chunks are the days, weeks or months of UTC that `every` names. The reference is the first third of
the chunks of the group, one at least. Cells are the values; of probabilities and rewards, ten bins
of equal width; NULL is a cell of its own. The distance is the root of the divergence in bits, as
``scipy.spatial.distance.jensenshannon(base=2)``. `threshold` is the mean of the reference chunks +
3 standard deviations of the population, NULL with one such chunk. Rows without a time are left out,
and columns without a value.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from workbench.formulas import bin_index
from workbench.macros._arguments import KEEP, PER, in_utc, kept
from workbench.macros._macro import Argument, Given, declare

VALUES = ("model_version", "device", "channel", "cohort", "prediction", "label")
SHARES = ("score", "confidence", "least_confidence", "margin", "reward")
LN2 = 0.6931471805599453

EVERY = Argument(type="string", default="'week'", about="Unit of the chunks: day, week or month.")

UTC = "timestamp('UTC')"


@ibis.udf.scalar.builtin(name="timezone", signature=(("string", "timestamp"), UTC))  # type: ignore[untyped-decorator]
def _of_zone(zone: str, ts: object) -> object: ...


@ibis.udf.scalar.builtin(name="date_trunc", signature=(("string", "timestamp"), "timestamp"))  # type: ignore[untyped-decorator]
def _truncate(unit: str, ts: object) -> object: ...


def expr(inferences: ir.Table, given: Given) -> ir.Table:
    """One row for each group, column and chunk."""
    rows = kept(inferences, given)
    begin = _of_zone("UTC", _truncate(given.constant("every"), in_utc(rows.ts)))
    rows = rows.mutate(per=given.of("per", rows), chunk=begin).filter(rows.ts.notnull())
    texts = {name: rows[name].cast("string") for name in VALUES}
    bins = {name: bin_index(rows[name], 10).cast("string") for name in SHARES}
    entries = ibis.array(
        [
            ibis.struct({"column": ibis.literal(name), "cell": cell})
            for name, cell in {**texts, **bins}.items()
        ]
    )
    entry = rows.select("per", "chunk", entry=entries.unnest())
    entry = entry.select("per", "chunk", column=entry.entry["column"], cell=entry.entry["cell"])
    counts = entry.group_by("per", "column", "chunk", "cell").aggregate(n=entry.count())
    distances = _distances(_with_reference(counts))
    of_column = ibis.window(
        group_by=["per", "column"], order_by="chunk", preceding=None, following=None
    )
    inside = distances.reference.ifelse(distances.jensen_shannon, ibis.null("float64"))
    many = inside.count().over(of_column) > 1
    threshold = inside.mean().over(of_column) + 3.0 * inside.std(how="pop").over(of_column)
    found = distances.mutate(threshold=many.ifelse(threshold, ibis.null("float64")))
    return found.select(
        "per",
        "column",
        "chunk",
        "reference",
        "n",
        "jensen_shannon",
        "threshold",
        alert=found.jensen_shannon > found.threshold,
    ).order_by(["per", "column", "chunk"])


def _with_reference(counts: ir.Table) -> ir.Table:
    """Of each cell of each chunk, its rows and those of the reference."""
    column = ["per", "column"]
    counts = counts.mutate(
        place=ibis.dense_rank().over(ibis.window(group_by=column, order_by="chunk")),
        known=counts.cell.count().over(ibis.window(group_by=column)),
    )
    chunks = counts.place.max().over(ibis.window(group_by=column)) + 1
    third = ibis.greatest((chunks / 3.0).floor().cast("int64"), 1)
    counts = counts.mutate(reference=counts.place < third)
    counts = counts.mutate(r=counts.reference.ifelse(counts.n, 0))
    counts = counts.mutate(
        of_cell=counts.r.sum().over(ibis.window(group_by=[*column, "cell"])),
        of_reference=counts.r.sum().over(ibis.window(group_by=column)),
        of_chunk=counts.n.sum().over(ibis.window(group_by=[*column, "chunk"])),
    )
    return counts.filter(counts.known > 0)


def _distances(counts: ir.Table) -> ir.Table:
    """Distance of each chunk; cells that it does not have add ln 2 for each of their shares."""
    p = counts.of_cell / counts.of_reference
    q = counts.n / counts.of_chunk
    middle = (p + q) / 2.0
    # ln(0) is an error in DuckDB, even where its result would not be used.
    terms = p * ((p > 0.0).ifelse(p, middle) / middle).ln() + q * (q / middle).ln()
    found = counts.mutate(terms=terms).group_by("per", "column", "chunk", "reference").aggregate(
        # Ibis takes a sum for a BIGINT already and would leave a plain cast to it out.
        n=lambda t: t.n.sum().cast("float64").cast("int64"),
        # In one order, so that the last digit does not depend on what else is asked for.
        terms=lambda t: t.terms.collect(order_by="cell").sums(),
        here=lambda t: t.of_cell.sum(),
        of_reference=lambda t: t.of_reference.max(),
    )  # fmt: skip
    elsewhere = (found.of_reference - found.here) / found.of_reference
    divergence = (found.terms + elsewhere * LN2) / (2.0 * LN2)
    return found.mutate(jensen_shannon=ibis.greatest(divergence, 0.0).sqrt())


macro = declare(expr=expr, arguments={"per": PER, "keep": KEEP, "every": EVERY})
