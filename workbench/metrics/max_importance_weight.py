"""Largest weight of a single decision in the value of another policy.

What it shows
-------------
How much one logged decision can count: 178 means that it stands for 178.

How to read it
--------------
Against ``n``: where it is more than a hundredth of it, one decision more or less moves the value.

What to do
----------
Look at the decisions of small ``propensity``, and at `clipped_ips_value`.

Definition
----------
Maximum of ``target / propensity`` over the same rows as `ips_value`. It describes the log and has
no interval.
"""

from __future__ import annotations

from typing import Any

from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._off_policy import COMMON, TARGET, sums_of


def estimate(state: State, /, **_params: Any) -> Estimate:
    """Largest weight out of the sums of one group."""
    sums = sums_of(state)
    return Estimate(value=sums["largest"], n=int(sums["rows"]))


metric = state_metric(
    estimate=estimate,
    better="lower",
    interval="none",
    params={"target": TARGET},
    **COMMON,
)
