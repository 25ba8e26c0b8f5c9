"""Numbers of the bins of one group, and the interval of whatever is computed from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from workbench.metrics._bootstrap import REPLICATES, SEED, Array, cell_bootstrap
from workbench.metrics._metric import Estimate, State
from workbench.metrics._pairs import by_bin, effective_size


@dataclass(frozen=True)
class Bins:
    """Sums over the rows of each bin; the last axis goes over the bins.

    Parameters
    ----------
    n, sp, sy
        Rows (or their weights), sum of probabilities and sum of outcomes.
    total
        All rows, with those that are in no bin.
    """

    n: Array
    sp: Array
    sy: Array
    total: float

    @property
    def gap(self) -> Array:
        """Mean probability minus observed rate; NaN where a bin is empty."""
        return per(self.sp - self.sy, self.n)


Statistic = Callable[[Bins], Array]


def per(part: Array, whole: Array) -> Array:
    """`part` / `whole`; NaN where `whole` is 0."""
    there = np.asarray(whole) > 0
    return np.asarray(np.where(there, part, np.nan) / np.where(there, whole, 1.0))


def membership(state: State, *, everything: bool = False) -> Array:
    """Which bin each cell of a state is in, as `by_bin` has it; see `binned`."""
    if everything:
        left_out = np.isnan(state["bin"].astype(np.float64))
        state = {**state, "bin": np.where(left_out, -1, state["bin"])}
    return by_bin(state)[1]


def binned(state: State, *, everything: bool = False) -> tuple[Array, Callable[[Array], Bins]]:
    """Counts of the cells of a state, and what makes bins of such counts.

    Parameters
    ----------
    state
        A state of `workbench.metrics._pairs.cells`.
    everything
        Whether rows that the rule leaves out are a bin of their own.
    """
    n = state["n"].astype(np.float64)
    y = state["y"].astype(np.float64)
    p = state["sp"].astype(np.float64) / n
    indicator = membership(state, everything=everything)
    total = float(n.sum())

    def bins(counts: Array) -> Bins:
        sums = [(counts * x) @ indicator for x in (1.0, p, y)]
        return Bins(sums[0], sums[1], sums[2], total)

    return n, bins


def estimate_bins(
    state: State,
    statistic: Statistic,
    *,
    by_chance: Statistic | None = None,
    truth: Statistic | None = None,
    everything: bool = False,
    signed: bool = False,
) -> Estimate:
    """Value and bootstrap interval of a number that is computed from bins.

    Parameters
    ----------
    state
        A state of `workbench.metrics._pairs.cells`.
    statistic
        The number; NaN where it is undefined.
    by_chance
        For a number that cannot be negative and that chance alone makes positive: the rate of each
        bin if there were nothing to find. Where as much as was found is usual then, the interval
        starts at 0; the bootstrap alone would exclude 0 every other time.
    truth
        What `statistic` estimates, computed as if the sample were the population; only where that
        is another formula.
    everything
        As in `binned`.
    signed
        Whether the number may be negative; it is in [-1, 1] in any case.
    """
    n, bins = binned(state, everything=everything)
    found = bins(n)
    value = float(statistic(found)) if found.n.size else np.nan
    if np.isnan(value):
        return Estimate(reason="not_applicable")
    true = value if truth is None else float(truth(found))
    size = effective_size(state)
    low, high = cell_bootstrap(n, true, lambda c: statistic(bins(c)), size=size, floor=-np.inf)
    if low is not None and high is not None:
        low, high = low + value - true, high + value - true
        if by_chance is not None:
            chance = simulate(found, statistic, by_chance, size)
            if value <= np.quantile(chance, 0.975):
                low = min(low, 0.0)
        low, high = max(low, -1.0 if signed else 0.0), min(high, 1.0)
        low, high = min(low, value), max(high, value)
    return Estimate(value=value, low=low, high=high, n=int(state["rows"].sum()))


def simulate(
    found: Bins, statistic: Statistic, rate: Statistic, size: float, seed: int = 0
) -> Array:
    """Values of a statistic where the outcomes of each bin are binomial.

    Parameters
    ----------
    found
        Bins of a sample; their rows and probabilities stay.
    statistic
        What is computed of each simulated sample; values that are NaN are left out.
    rate
        The probability of outcome 1 in each bin.
    size
        Effective number of rows of the sample.
    seed
        Another number gives independent samples.
    """
    n = np.rint(found.n * (size / found.total))
    p = per(found.sp, found.n)
    chance = np.clip(np.nan_to_num(rate(found)), 0.0, 1.0)
    rng = np.random.default_rng(SEED + seed)
    sy = rng.binomial(n.astype(np.int64), chance, size=(REPLICATES, len(n))).astype(np.float64)
    n, sp = (np.broadcast_to(x, sy.shape) for x in (n, n * p))
    drawn = Bins(n, sp, sy, size)
    values = np.asarray(statistic(drawn))
    values = values[~np.isnan(values)]
    return values if len(values) else np.zeros(1)


def mean_probability(bins: Bins) -> Array:
    """The rate of each bin if the model is perfectly calibrated."""
    return per(bins.sp, bins.n)


def overall_rate(bins: Bins) -> Array:
    """The rate of each bin if the probabilities say nothing about the outcome."""
    return np.full(bins.n.shape, bins.sy.sum() / bins.n.sum())
