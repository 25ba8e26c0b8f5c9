"""Number of decisions that carry the value of another policy.

What it shows
-------------
How many decisions of the other policy's own the log is worth.

How to read it
--------------
Of ten thousand logged decisions only a few hundred may count, when the other policy would have
chosen otherwise. Below 100, `ips_value` and `snips_value` are refused.

What to do
----------
Where it is small, log more decisions, explore more, or ask about a policy that is nearer to the
logged one.

Definition
----------
``(sum of i)^2 / sum of i^2``, with ``i = target / propensity`` (Kish 1965), over the same rows as
`ips_value`. It describes the log and has no interval.
"""

from __future__ import annotations

import math
from typing import Any

from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._off_policy import COMMON, TARGET, sums_of


def estimate(state: State, /, **_params: Any) -> Estimate:
    """Effective sample size out of the sums of one group."""
    sums = sums_of(state)
    if not sums["wii"] > 0 or not math.isfinite(sums["wii"]):
        return Estimate(reason="not_applicable")
    size = (sums["wi"] / math.sqrt(sums["wii"])) ** 2
    return Estimate(value=size, n=int(sums["rows"]))


metric = state_metric(
    estimate=estimate,
    better="higher",
    interval="none",
    params={"target": TARGET},
    **COMMON,
)
