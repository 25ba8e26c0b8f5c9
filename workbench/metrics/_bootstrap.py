"""Interval by resampling a small table of counts instead of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

REPLICATES = 2000
STEPS = 500
SEED = 20_240_229

Array = np.ndarray[Any, Any]

_WITHOUT = ContextVar("without_intervals", default=False)


@contextmanager
def without_intervals() -> Iterator[None]:
    """Leave out the intervals of `cell_bootstrap`, which take most of the time of a small table."""
    token = _WITHOUT.set(True)
    try:
        yield
    finally:
        _WITHOUT.reset(token)


def steps(p: Array, n: Array, sy: Array) -> tuple[Array, Array, Array]:
    """Put neighbouring values together, so that no more than `STEPS` are resampled.

    Parameters
    ----------
    p, n, sy
        Value, rows (or their weights) and sum of outcomes, in rising order of the value.

    Returns
    -------
    tuple
        The same of about equally large steps, each at its mean; as given if there are few.
    """
    if len(p) <= STEPS:
        return p, n, sy
    upto = np.cumsum(n)
    step = np.minimum((upto - n / 2.0) / upto[-1] * STEPS, STEPS - 1).astype(np.int64)
    _, place = np.unique(step, return_inverse=True)
    size = np.bincount(place, weights=n)
    return np.bincount(place, weights=n * p) / size, size, np.bincount(place, weights=sy)


def resample(counts: Array, size: float, seed: int = 0, *, replicates: int = REPLICATES) -> Array:
    """Draw counts anew: as many rows as the sample effectively has, scaled back to its total.

    Drawing the cell counts from a multinomial distribution is the same as drawing rows with
    replacement and counting them, and costs nothing per row. The seed is fixed and each call starts
    afresh, so a group has the same interval whatever other groups there are.

    Parameters
    ----------
    counts
        Number of rows, or sum of their weights, in each cell.
    size
        Effective number of rows; at least 1.
    seed
        Another number gives independent draws.
    replicates
        How often.

    Returns
    -------
    ndarray
        Of shape (`replicates`, cells).
    """
    total, drawn = float(counts.sum()), max(1, round(size))
    rng = np.random.default_rng(SEED + seed)
    return rng.multinomial(drawn, counts / total, size=replicates) * (total / drawn)


def cell_bootstrap(
    counts: Array,
    value: float,
    statistic: Callable[[Array], Array],
    *,
    size: float | None = None,
    floor: float = 0.0,
    ceiling: float = np.inf,
) -> tuple[float | None, float | None]:
    """Resample cell counts for the basic bootstrap interval of a statistic of them.

    The interval is the basic one, (2 value - q97.5, 2 value - q2.5), which turns the bias of the
    replicates the right way round: a statistic that is biased upwards, such as a calibration error,
    is even more so in its replicates, and their plain percentiles would lie above the truth.
    It is widened where necessary to contain `value`, and cut at `floor` and `ceiling`.

    Parameters
    ----------
    counts
        Number of rows, or sum of their weights, in each cell, in an order that does not depend on
        the order of the rows.
    value
        The statistic of `counts`.
    statistic
        From counts of shape (replicates, cells), which add up to the same total as `counts`, to
        values of shape (replicates,). A NaN is a replicate in which it is undefined; it is left
        out.
    size
        Effective number of rows, if weights make it another than the sum of `counts`.
    floor, ceiling
        Range of the statistic.

    Returns
    -------
    tuple
        Lower and upper end; both None where all rows are in one cell, for then no replicate can
        differ from the sample and its width of 0 would say nothing.
    """
    drawn = float(counts.sum()) if size is None else size
    if _WITHOUT.get() or np.count_nonzero(counts) < 2 or round(drawn) < 1:
        return None, None
    found = statistic(resample(counts, drawn))
    found = found[~np.isnan(found)]
    if not len(found):
        return None, None
    lower, upper = np.quantile(found, [0.025, 0.975])
    low, high = 2 * value - float(upper), 2 * value - float(lower)
    return max(floor, min(low, value)), min(ceiling, max(high, value))
