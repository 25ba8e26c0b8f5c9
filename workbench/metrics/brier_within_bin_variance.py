"""Part of the Brier score that comes from different probabilities within one bin.

What it shows
-------------
How much the probabilities vary inside the bins, which the other parts of the Brier score do not
see.

How to read it
--------------
Small beside ``brier_reliability`` it can be ignored. Where it is not, the bins are too wide for
these probabilities, and reliability and resolution describe them badly.

What to do
----------
Raise the number of bins until it no longer matters, or use ``corp_miscalibration``, which has none.

Definition
----------
``sum over bins of n / N * population variance of p`` (Stephenson, Coelho and Jolliffe 2008); see
`brier_reliability` for the whole sum. The interval is normal, from the fourth moment within the
bins.
"""

from __future__ import annotations

from typing import Any

import ibis.expr.types as ir
import numpy as np

from workbench.metrics._bins import membership
from workbench.metrics._intervals import normal_of
from workbench.metrics._metric import Estimate, State, state_metric
from workbench.metrics._pairs import BIN_PARAMS, cells, effective_size


def with_powers(table: ir.Table, by: tuple[str, ...], /, *, bins: int, bin_rule: str) -> ir.Table:
    """Cells with the sums of the third and fourth power of p."""
    return cells(table, by, bins=bins, bin_rule=bin_rule, powers=4)


def estimate(state: State, /, **_params: Any) -> Estimate:
    """Variance and its interval out of the cells of one group."""
    inside = membership(state, everything=True)
    names = ("n", "sp", "spp", "sppp", "spppp")
    n, s1, s2, s3, s4 = (state[name].astype(np.float64) @ inside for name in names)
    m, total = s1 / n, float(n.sum())
    value = float(np.maximum(s2 - m * s1, 0.0).sum()) / total
    fourth = float((s4 - 4 * m * s3 + 6 * m**2 * s2 - 3 * m**3 * s1).sum()) / total
    low, high = normal_of(value, fourth - value * value, effective_size(state), floor=0.0)
    return Estimate(value=value, low=low, high=high, n=int(state["rows"].sum()))


metric = state_metric(
    family="calibration",
    state=with_powers,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="none",
    interval="normal",
    params=BIN_PARAMS,
)
