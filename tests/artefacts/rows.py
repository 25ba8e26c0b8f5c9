"""Rows to fit on, out of arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from workbench.artefacts import ArtefactKind, Rows
from workbench.project import Project, Source

SOURCE = Source(table="inferences", patterns=())


def table(**columns: Any) -> ir.Table:
    """A DuckDB table of the given columns."""
    arrow = pa.table({name: pa.array(values) for name, values in columns.items()})
    return ibis.duckdb.connect().create_table("rows", arrow)


def rows(classes: tuple[str, ...] = (), **columns: Any) -> Rows:
    """The given columns as the rows that an artefact is fitted on."""
    made = table(**columns)
    project = Project(
        root=Path("."), name="test", inferences=SOURCE, feedback=SOURCE, classes=classes
    )
    return Rows(table=made, execute=lambda e: e.to_pyarrow(), project=project)


def applied(kind: ArtefactKind, state: Any, **columns: Any) -> np.ndarray:
    """The one column of a kind for rows of the given columns, in their order."""
    n = len(next(iter(columns.values())))
    made = table(place=np.arange(n), **columns)
    (value,) = kind.values(made, state).values()
    found = made.select("place", value=value).order_by("place").to_pyarrow()
    return found["value"].to_numpy(zero_copy_only=False)


def scores(n: int, seed: int, digits: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Overconfident scores, some of them 0 or 1, with their outcomes."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0.3, 1.5, n)
    y = (rng.random(n) < 1 / (1 + np.exp(-(0.6 * z - 0.4)))).astype(np.float64)
    p = 1 / (1 + np.exp(-z))
    if digits is not None:
        p = np.round(p, digits)
    return p, y
