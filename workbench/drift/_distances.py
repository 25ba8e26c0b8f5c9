"""Distances of each chunk from the reference.

Those of cells come out of counts; the exact ones of numbers are made in the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np

from workbench import formulas
from workbench.drift._cells import Array, Cells
from workbench.scratch import Scratch

#: What counts as a share of 0 under the policy ``floor``.
FLOOR = 1e-4

Found = dict[int, dict[str, Any]]


def jensen_shannon(cells: Cells) -> Found:
    """Square root of the Jensen-Shannon divergence in bits: 0 for equal shares, 1 for disjoint."""
    from scipy.special import rel_entr

    p, q = _shares(cells)
    middle = (p + q) / 2
    divergence = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=-1) / np.log(2) / 2
    return _found(cells, np.sqrt(np.maximum(divergence, 0.0)))


def psi_floor(cells: Cells) -> Found:
    """Population stability index; a share of 0 counts as 0.0001."""
    p, q = (np.where(share == 0, FLOOR, share) for share in _used(cells, *_shares(cells)))
    return _found(cells, ((q - p) * np.log(q / p)).sum(axis=-1))


def psi_half(cells: Cells) -> Found:
    """Population stability index; every cell that is in use gets half a row more."""
    reference, counts = _used(cells, cells.reference[None, :] + 0.5, cells.counts + 0.5)
    p = reference / reference.sum(axis=-1, keepdims=True)
    q = counts / counts.sum(axis=-1, keepdims=True)
    return _found(cells, ((q - p) * np.log(q / p)).sum(axis=-1))


def chi_square(cells: Cells) -> Found:
    """Pearson's statistic of the table (reference, chunk) x cell, and its p-value.

    With two cells it has Yates' correction, as ``scipy.stats.chi2_contingency``.
    """
    from scipy.stats import chi2_contingency

    found: Found = {}
    for chunk, counts in zip(cells.chunks, cells.counts, strict=True):
        both = np.stack([cells.reference, counts])
        both = both[:, both.sum(axis=0) > 0]
        if both.shape[1] < 2 or (both.sum(axis=1) == 0).any():
            # One value on both sides: the tables cannot differ.
            value = 0.0 if both.shape[1] == 1 and both.all() else None
            found[chunk] = {"value": value, "n": int(counts.sum()), "p": None}
            continue
        result = chi2_contingency(both)
        found[chunk] = {
            "value": float(result.statistic),
            "n": int(counts.sum()),
            "p": float(result.pvalue),
        }
    return found


def _shares(cells: Cells) -> tuple[Array, Array]:
    with np.errstate(invalid="ignore", divide="ignore"):
        p = cells.reference / cells.reference.sum()
        q = cells.counts / cells.counts.sum(axis=-1, keepdims=True)
    return np.broadcast_to(p, q.shape), q


def _used(cells: Cells, p: Array, q: Array) -> tuple[Array, Array]:
    """Without the cells that no row is in: the zero-cell policy would make them count."""
    used = (cells.reference + cells.counts.sum(axis=0)) > 0
    return p[:, used], q[:, used]


def _found(cells: Cells, values: Array) -> Found:
    sizes = cells.counts.sum(axis=-1)
    known = np.isfinite(values)
    return {
        chunk: {"value": float(value) if ok else None, "n": int(n)}
        for chunk, value, ok, n in zip(cells.chunks, values, known, sizes, strict=True)
    }


def _value_counts(table: ir.Table, name: str) -> ir.Table:
    """Rows by chunk and number; NULL, NaN and infinities are left out."""
    named = table.select("chunk", "reference", v=formulas.finite(table[name]))
    named = named.filter(named.v.notnull())
    return named.group_by("chunk", "reference", "v").aggregate(c=named.count())


def ks(rows: Scratch, table: ir.Table, name: str) -> Found:
    """Greatest difference of the distribution functions, exact.

    The difference is greatest at a value of the chunk or just below one, so one window over the
    values of all chunks gives it for each. The p-value is that of the two-sided asymptotic test
    (``scipy.stats.ks_2samp(method="asymp")``).
    """
    from scipy.stats import kstwo

    counts = _value_counts(table, name)
    counts = counts.mutate(r=counts.reference.ifelse(counts.c, 0))
    of_chunk = ibis.window(group_by="chunk")
    counts = counts.mutate(
        # Values that several chunks have are peers: RANGE takes them together.
        upto=counts.r.sum().over(ibis.range_window(order_by="v", preceding=None, following=0)),
        here=counts.r.sum().over(ibis.window(group_by="v")),
        own=counts.c.sum().over(
            ibis.window(group_by="chunk", order_by="v", preceding=None, following=0)
        ),
        n=counts.c.sum().over(of_chunk),
        m=counts.r.sum().over(ibis.window()),
    )
    at = (counts.upto / counts.m - counts.own / counts.n).abs()
    below = ((counts.upto - counts.here) / counts.m - (counts.own - counts.c) / counts.n).abs()
    found = counts.mutate(d=ibis.greatest(at, below)).group_by("chunk").aggregate(
        value=lambda t: t.d.max(), n=lambda t: t.n.max(), m=lambda t: t.m.max()
    )  # fmt: skip
    result: Found = {}
    for row in rows.run(found).to_pylist():
        n, m, value = int(row["n"]), int(row["m"]), row["value"]
        if not m:
            continue
        p = float(np.clip(kstwo.sf(value, max(1, round(n * m / (n + m)))), 0, 1))
        result[row["chunk"]] = {"value": value, "n": n, "p": p}
    return result


def wasserstein(rows: Scratch, table: ir.Table, name: str) -> Found:
    """Area between the distribution functions (earth mover's distance), exact.

    The reference is compared at its own values and at those of the chunk, for each chunk.
    """
    counts = _value_counts(table, name)
    inside = counts.filter(counts.reference).group_by("v").aggregate(r=lambda t: t.c.sum())
    chunks = counts.select("chunk").distinct()
    both = (
        chunks.cross_join(inside)
        .select("chunk", "v", "r", c=ibis.literal(0, "int64"))
        .union(counts.select("chunk", "v", r=ibis.literal(0, "int64"), c=counts.c))
    )
    points = both.group_by("chunk", "v").aggregate(r=both.r.sum(), c=both.c.sum())
    rising = ibis.window(group_by="chunk", order_by="v", preceding=None, following=0)
    points = points.mutate(
        upto=points.r.sum().over(rising),
        own=points.c.sum().over(rising),
        m=points.r.sum().over(ibis.window(group_by="chunk")),
        n=points.c.sum().over(ibis.window(group_by="chunk")),
        step=points.v.lead().over(ibis.window(group_by="chunk", order_by="v")) - points.v,
    )
    area = (points.upto / points.m - points.own / points.n).abs() * points.step
    found = points.mutate(area=area).group_by("chunk").aggregate(
        value=lambda t: t.area.sum(), n=lambda t: t.n.max(), m=lambda t: t.m.max()
    )  # fmt: skip
    return {
        row["chunk"]: {"value": row["value"] or 0.0, "n": int(row["n"])}
        for row in rows.run(found).to_pylist()
        if row["m"]
    }


def mean(rows: Scratch, table: ir.Table, name: str) -> Found:
    """Mean of a number or share of a condition; NULL, NaN and infinities are left out."""
    value = formulas.finite(table[name])
    found = table.mutate(v=value).group_by("chunk").aggregate(
        value=lambda t: t.v.mean(), n=lambda t: t.v.count()
    )  # fmt: skip
    return {row.pop("chunk"): row for row in rows.run(found).to_pylist()}


OF_CELLS: Mapping[str, Callable[[Cells], Found]] = {
    "jensen_shannon": jensen_shannon,
    "psi_decile_floor": psi_floor,
    "psi_decile_half": psi_half,
    "chi_square": chi_square,
}
OF_NUMBERS: Mapping[str, Callable[[Scratch, ir.Table, str], Found]] = {
    "ks": ks,
    "wasserstein": wasserstein,
    "mean": mean,
}
