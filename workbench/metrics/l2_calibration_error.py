"""Root of the mean squared distance of predicted probability from observed rate, less its noise.

What it shows
-------------
How far probabilities are from what happened, with large distances counting more, and with the part
that chance alone adds taken off.

How to read it
--------------
Unlike ``ece`` it does not grow with fewer rows or more bins, so it can be compared between groups
of different size. 0 means that no miscalibration was found beyond chance, not that there is none.

What to do
----------
As for ``ece``: see where and in which direction in the reliability diagram, then recalibrate.

Definition
----------
``sqrt(max(0, sum over bins of n / N * ((sp/n - sy/n)^2 - (sy/n)(1 - sy/n) / (n - 1))))``; a bin
with fewer than two rows adds 0 (Kumar, Liang and Ma 2019, as verified_calibration).
``correction='none'`` leaves out the second term: the plug-in estimate. Bins are as those of
``ece``; the paper's are ``bins=15, bin_rule='ntile'``.

The interval is the bootstrap over the cells (bin, outcome) of the square before it is cut at 0,
centred on the plug-in estimate, which is what the correction estimates in a resample. It starts at
0 where a perfectly calibrated model would often show as much.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from workbench.metrics._bins import Bins, estimate_bins, mean_probability, per
from workbench.metrics._metric import Estimate, Param, State, state_metric
from workbench.metrics._pairs import BIN_PARAMS, cells


def plug_in(bins: Bins) -> np.ndarray[Any, Any]:
    """Mean squared gap of bins."""
    return np.asarray((bins.n * np.nan_to_num(bins.gap) ** 2).sum(axis=-1) / bins.total)


def corrected(bins: Bins) -> np.ndarray[Any, Any]:
    """Mean squared gap of bins, less what the noise of the observed rates adds to it."""
    several = bins.n >= 2
    rate = per(bins.sy, bins.n)
    noise = rate * (1.0 - rate) / np.where(several, bins.n - 1.0, 1.0)
    square = np.where(several, bins.gap**2 - noise, 0.0)
    return np.asarray((bins.n * square).sum(axis=-1) / bins.total)


def estimate(state: State, /, *, correction: str, **_params: Any) -> Estimate:
    """Error and its interval out of the cells of one group."""
    square = plug_in if correction == "none" else corrected
    found = estimate_bins(state, square, by_chance=mean_probability, truth=plug_in, signed=True)
    return replace(found, value=_root(found.value), low=_root(found.low), high=_root(found.high))


def _root(square: float | None) -> float | None:
    return None if square is None else math.sqrt(max(0.0, square))


metric = state_metric(
    family="calibration",
    state=cells,
    estimate=estimate,
    needs=("calibration_p", "calibration_y"),
    better="lower",
    params={
        **BIN_PARAMS,
        "correction": Param(
            default="noise",
            about="What is taken off: the noise of the observed rates, or nothing.",
            choices=("noise", "none"),
        ),
    },
)
