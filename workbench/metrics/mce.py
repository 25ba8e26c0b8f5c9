"""Largest distance of predicted probability from observed rate in any bin.

What it shows
-------------
The worst bin: how far off the model is where it is furthest off.

How to read it
--------------
Small bins dominate it: one row at 0.9 that came out 0 is a distance of 0.9. Set ``least`` to leave
bins with fewer rows out; 30 is a common choice. Beside ``ece``: a small ECE with a large MCE is one
bad region, not a model that is off everywhere.

What to do
----------
Find the bin in the reliability diagram and open its rows. If it is thin, ask for more labels there
before changing anything.

Definition
----------
``max over bins of abs(sum of p - sum of y) / n``, over the bins with at least ``least`` rows
(Naeini et al. 2015; netcal, where every bin counts). Where weights are given, ``least`` is compared
with their sum. Not applicable where no bin has enough rows. Bins and interval are as those of
``ece``; near its upper end the interval is rough, as a maximum follows few rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.metrics._bins import Bins, estimate_bins, mean_probability
from workbench.metrics._metric import Estimate, Param, State, state_metric
from workbench.metrics._pairs import BIN_PARAMS, cells


def estimate(state: State, /, *, least: int, **_params: Any) -> Estimate:
    """MCE and its interval out of the cells of one group."""

    def mce(bins: Bins) -> np.ndarray[Any, Any]:
        gaps = np.where(bins.n >= least, np.abs(bins.gap), -1.0)
        largest = np.nan_to_num(gaps, nan=-1.0).max(axis=-1)
        return np.where(largest < 0.0, np.nan, largest)

    return estimate_bins(state, mce, by_chance=mean_probability)


metric = state_metric(
    family="calibration",
    state=cells,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="lower",
    params={
        **BIN_PARAMS,
        "least": Param(default=1, about="Fewest rows of a bin that counts.", minimum=1),
    },
)
