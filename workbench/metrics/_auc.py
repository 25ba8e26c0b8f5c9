"""Area under the ROC curve, and its interval, out of sums by score."""

from __future__ import annotations

import numpy as np

from workbench.metrics._bootstrap import Array
from workbench.metrics._intervals import wilson_of
from workbench.metrics._metric import Estimate, State


def _placements(other: Array) -> Array:
    """Of each score, the share of the other class below it, ties counting half."""
    return np.asarray((np.cumsum(other) - other / 2.0) / other.sum())


def auc(state: State) -> Estimate:
    """Value and interval.

    Parameters
    ----------
    state
        Per score, in rising order: ``rows``, ``n`` and ``ww`` (sums of weights and of their
        squares), ``sy`` and ``wwy`` (the same over the rows of the positive class).
    """
    positive = state["sy"].astype(np.float64)
    negative = state["n"].astype(np.float64) - positive
    p, q = float(positive.sum()), float(negative.sum())
    if p <= 0.0 or q <= 0.0:
        return Estimate(reason="single_class")
    above = _placements(negative)
    below = 1.0 - _placements(positive)
    value = min(1.0, float((positive * above).sum()) / p)
    squares = float(state["wwy"].sum())
    m = p * p / squares
    k = q * q / (float(state["ww"].sum()) - squares)
    rows = int(state["rows"].sum())
    if m < 2.0 or k < 2.0:
        return Estimate(value=value, n=rows)
    spread = float((positive * (above - value) ** 2).sum()) / p / (m - 1.0)
    spread += float((negative * (below - value) ** 2).sum()) / q / (k - 1.0)
    size = min(m, k)
    if spread > 0.0:
        size = min(value * (1.0 - value) / spread, m + k)
    low, high = wilson_of(value, size)
    return Estimate(value=value, low=low, high=high, n=rows)
