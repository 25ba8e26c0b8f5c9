"""Tables for the tests of metrics, and independent definitions to compare with."""

from __future__ import annotations

import itertools
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from workbench import metrics

SCHEMA = pa.schema(
    [
        ("calibration_p", pa.float64()),
        ("calibration_y", pa.float64()),
        ("score", pa.float64()),
        ("correct", pa.bool_()),
        ("reward", pa.float64()),
        ("label", pa.string()),
        ("selected", pa.bool_()),
        ("positive", pa.bool_()),
        ("model_version", pa.string()),
        ("country", pa.string()),
        ("n_events", pa.int64()),
        ("propensity", pa.float64()),
        ("n_choices", pa.int64()),
        ("probabilities", pa.list_(pa.float64())),
        ("label_index", pa.int32()),
        ("agreement", pa.float64()),
        ("n_raters", pa.int64()),
        ("least_confidence", pa.float64()),
        ("margin", pa.float64()),
        ("entropy", pa.float64()),
        ("mutual_information", pa.float64()),
        ("vote_entropy", pa.float64()),
        ("disagreement", pa.float64()),
        ("sum_logprob", pa.float64()),
        ("mean_logprob", pa.float64()),
        ("min_logprob", pa.float64()),
        ("perplexity", pa.float64()),
        ("density", pa.float64()),
    ]
)
BIN_COUNTS = (5, 7, 10, 15, 20, 25, 30, 50, 100)


_backend = ibis.duckdb.connect()
_places = itertools.cycle(range(4))


def table(rows: list[dict[str, Any]]) -> ir.Table:
    """Rows as a table; what a row does not say is NULL. The last four tables can be read."""
    full = [{name: row.get(name) for name in SCHEMA.names} for row in rows]
    return stored(pa.Table.from_pylist(full, schema=SCHEMA))


def stored(rows: pa.Table) -> ir.Table:
    """Arrow rows as a table whose name comes again, so that queries need not be compiled anew."""
    name = f"rows_{next(_places)}"
    _backend.con.register("given", rows)
    _backend.con.execute(f"CREATE OR REPLACE TABLE {name} AS FROM given")
    return _backend.table(name)


def run(sql: str) -> pa.Table:
    """Run SQL over these tables."""
    return _backend.con.execute(sql).to_arrow_table()


def evaluate(
    rows: ir.Table, calls: Any, by: Any = (), execute: Any = run, weight: str | None = None
) -> list[dict[str, Any]]:
    """Evaluate metrics over such a table, or over one in memory."""
    if rows.op().find(ibis.expr.operations.InMemoryTable):
        execute = None
    return metrics.evaluate(rows, calls, by, execute, weight=weight)


def pairs(p: Any, y: Any) -> ir.Table:
    """A table of calibration pairs, all labelled."""
    return table(
        [
            {"calibration_p": float(a), "calibration_y": float(b), "label": "1" if b else "0"}
            for a, b in zip(p, y, strict=True)
        ]
    )


def adversarial(bins: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Probabilities on every edge, beside it by one unit in the last place or by more, rounded,
    and 0 and 1.
    """
    edges = np.linspace(0, 1, bins + 1)
    rng = np.random.default_rng(seed)
    values = [edges, np.nextafter(edges, 0), np.nextafter(edges, 1), rng.random(200)]
    values += [edges + shift / bins for shift in (-2e-6, -5e-7, -1e-12, 1e-12, 5e-7, 2e-6)]
    values += [np.round(rng.random(300), digits) for digits in (1, 2, 3)]
    values += [np.array([0.0, -0.0, 1.0, 5e-324, 1e-16, np.nextafter(1, 0)])]
    both = np.concatenate(values)
    return both[(both >= 0) & (both <= 1)]


def expected_bins(p: np.ndarray[Any, Any], bins: int, rule: str) -> np.ndarray[Any, Any]:
    """Bins by searching the edges; NaN where a value is in none."""
    edges = np.linspace(0, 1, bins + 1)
    if rule == "equal_mass":
        inner = np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1])
        return np.searchsorted(inner, p, side="right").astype(float)
    if rule == "ntile":
        parts = [part for part in np.array_split(np.sort(p), bins) if len(part)]
        middle = {(a[-1] + b[0]) / 2 for a, b in itertools.pairwise(parts)}
        return np.searchsorted(sorted(middle), p, side="left").astype(float)
    if rule in ("numpy", "torchmetrics"):
        found = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, bins - 1).astype(float)
        return np.where(p == 1, bins, found) if rule == "torchmetrics" else found
    if rule == "verified":
        edges = np.arange(bins + 1) / bins
    found = np.clip(np.searchsorted(edges, p, side="left") - 1, 0, bins - 1).astype(float)
    return np.where(p == 0, np.nan, found) if rule == "guo" else found


def expected_ece(p: Any, y: Any, bins: int, rule: str) -> float:
    """Expected calibration error by a loop over the bins."""
    p, y = np.asarray(p, float), np.asarray(y, float)
    where = expected_bins(p, bins, rule)
    gaps = [
        abs(p[where == b].mean() - y[where == b].mean()) * (where == b).sum()
        for b in np.unique(where[~np.isnan(where)])
    ]
    return float(sum(gaps) / len(p))
