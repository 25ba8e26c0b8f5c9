"""Maximum likelihood by Newton's method: each step is one aggregation in the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from workbench import formulas
from workbench.artefacts._lookup import exact
from workbench.errors import DataError

#: Below this mean loss, or beyond this coefficient, the outcomes are separated: there is no end.
_NO_LOSS = 1e-9
_LARGEST = 1e6
_STEPS = 100


def minimise(
    table: ir.Table,
    execute: Callable[[ir.Table], pa.Table],
    start: Sequence[float],
    loss: Callable[
        [ir.Table, Sequence[ir.FloatingValue]],
        tuple[ir.FloatingValue, list[ir.FloatingValue], list[list[ir.FloatingValue]]],
    ],
) -> list[float]:
    """The coefficients at which the mean of a convex loss is least.

    Parameters
    ----------
    table
        The rows.
    execute
        Runs an expression.
    start
        Where to begin.
    loss
        From the rows and the coefficients to the loss of a row, its gradient, and the upper
        triangle of its second derivatives, row by row.

    Returns
    -------
    list of float
        The coefficients.

    Raises
    ------
    DataError
        If there is no least value because the outcomes are separated.
    """
    size = len(start)

    def sums(at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        value, slope, curve = loss(table, [exact(number) for number in at])
        found = table.aggregate(
            value=value.mean(),
            **{f"g{i}": slope[i].mean() for i in range(size)},
            **{f"h{i}_{j}": curve[i][j - i].mean() for i in range(size) for j in range(i, size)},
        )
        row = execute(found).to_pylist()[0]
        hessian = np.array(
            [[row[f"h{min(i, j)}_{max(i, j)}"] for j in range(size)] for i in range(size)]
        )
        return float(row["value"]), np.array([row[f"g{i}"] for i in range(size)]), hessian

    at = np.array(start, dtype=np.float64)
    value, slope, curve = sums(at)
    for _ in range(_STEPS):
        # Of features that say the same, the shortest of the many steps.
        step = np.linalg.lstsq(curve, slope, rcond=1e-14)[0]
        if np.max(np.abs(step)) <= 1e-10 * (1.0 + np.max(np.abs(at))):
            return [float(number) for number in at - step]
        for _ in range(50):
            tried = sums(at - step)
            # A step within rounding of the least value is no longer a step down.
            if tried[0] <= value + 1e-12 * abs(value):
                break
            step = step / 2.0
        at, (value, slope, curve) = at - step, tried
        if value < _NO_LOSS or np.max(np.abs(at)) > _LARGEST:
            break
    raise DataError(
        "The scores separate the outcomes, so the fit has no end.",
        "Fit on more rows, or use --method platt or isotonic.",
    )


def logistic(
    table: ir.Table,
    execute: Callable[[ir.Table], pa.Table],
    features: Sequence[str],
    target: str,
    start: Sequence[float],
) -> list[float]:
    """Logistic regression without penalty.

    Parameters
    ----------
    table, execute
        The rows, and what runs an expression over them.
    features
        Columns; a constant one is the intercept.
    target
        Column in [0, 1].
    start
        Coefficients to begin with.
    """

    def loss(
        rows: ir.Table, at: Sequence[ir.FloatingValue]
    ) -> tuple[ir.FloatingValue, list[ir.FloatingValue], list[list[ir.FloatingValue]]]:
        x = [rows[name] for name in features]
        z = sum((b * v for b, v in zip(at[1:], x[1:], strict=True)), at[0] * x[0])
        p = formulas.sigmoid(z)
        spread = formulas.sigmoid(0.0 - z) * p
        return (
            formulas.softplus(z) - rows[target] * z,
            [(p - rows[target]) * v for v in x],
            [[spread * v * w for w in x[i:]] for i, v in enumerate(x)],
        )

    return minimise(table, execute, start, loss)
