"""Expected calibration error that a perfectly calibrated model would show on as many rows.

What it shows
-------------
How much of the ECE is nothing but chance: what the same probabilities would show if every one of
them were exactly right.

How to read it
--------------
Beside ``ece`` with the same bins. Its range holds the ECE of a perfectly calibrated model 95 times
in 100: an ECE inside says nothing against the model, one above is a finding.

What to do
----------
Where the floor is as large as the difference that matters to you, collect more labels or use fewer
bins; no other number will tell either.

Definition
----------
Mean of the ECE over outcomes that are binomial at the mean probability of each bin, in closed form
(the mean absolute deviation of de Moivre), interpolated where weights add up to no whole number.
Low and high are the 0.025 and 0.975 quantiles of that ECE, simulated: a range of outcomes, not the
uncertainty of the mean. Probabilities that differ within a bin make the true floor a little lower.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from workbench.metrics._bins import binned, mean_probability, simulate
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._pairs import BIN_PARAMS, cells, effective_size
from workbench.metrics.ece import ece


def mean_deviation(n: int, p: float) -> float:
    """Mean absolute distance of a binomial number from its mean."""
    if not 0.0 < p < 1.0 or n < 1:
        return 0.0
    k = math.floor(n * p) + 1
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    likelihood = ways + k * math.log(p) + (n - k + 1) * math.log1p(-p)
    return 2.0 * k * math.exp(likelihood)


def estimate(state: State, /, **_params: Any) -> Estimate:
    """Floor and the range around it out of the cells of one group."""
    counts, bins = binned(state)
    found = bins(counts)
    if not found.n.size:
        return Estimate(reason="not_applicable")
    value = 0.0
    for n, p in zip(found.n, mean_probability(found), strict=True):
        whole, part = math.floor(n), n - math.floor(n)
        value += (1.0 - part) * mean_deviation(whole, p) + part * mean_deviation(whole + 1, p)
    value /= found.total
    simulated = simulate(found, ece, mean_probability, effective_size(state))
    low, high = (float(end) for end in np.quantile(simulated, [0.025, 0.975]))
    rows = int(state["rows"].sum())
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=rows)


metric = state_metric(
    family="calibration",
    state=cells,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="none",
    params=BIN_PARAMS,
)
