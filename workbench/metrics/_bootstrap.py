"""Interval by resampling a small table of counts instead of the rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

REPLICATES = 2000
SEED = 20_240_229

Array = np.ndarray[Any, Any]


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

    Drawing the cell counts from a multinomial distribution is the same as drawing rows with
    replacement and counting them, and costs nothing per row. The seed is fixed and each call starts
    afresh, so a group has the same interval whatever other groups there are.

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
    total = float(counts.sum())
    drawn = round(total if size is None else size)
    if np.count_nonzero(counts) < 2 or drawn < 1:
        return None, None
    draws = np.random.default_rng(SEED).multinomial(drawn, counts / total, size=REPLICATES)
    found = statistic(draws * (total / drawn))
    found = found[~np.isnan(found)]
    if not len(found):
        return None, None
    lower, upper = np.quantile(found, [0.025, 0.975])
    low, high = 2 * value - float(upper), 2 * value - float(lower)
    return max(floor, min(low, value)), min(ceiling, max(high, value))


def calibrated_noise(n: Array, p: Array, total: float) -> float:
    """Simulate the calibration error that a perfectly calibrated model seldom exceeds by chance.

    Such a model has outcomes that are binomial at the mean probability of each bin; its error on a
    finite sample is not 0, and on a small one it is large.

    Parameters
    ----------
    n
        Number of rows in each bin.
    p
        Mean probability of each bin.
    total
        Number of all rows, with those that are in no bin.

    Returns
    -------
    float
        The 0.975 quantile of its expected calibration error over these bins.
    """
    rng = np.random.default_rng(SEED)
    outcomes = rng.binomial(n.astype(np.int64), np.clip(p, 0.0, 1.0), size=(REPLICATES, len(n)))
    errors = np.abs(outcomes - n * p).sum(axis=-1) / total
    return float(np.quantile(errors, 0.975))
