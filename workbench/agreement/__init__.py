"""How far raters agree beyond chance: Cohen's and Fleiss' kappa, Krippendorff's alpha.

A unit is an inference, judged under one signal. What the engine does is to take each rater's latest
value and to count equal units; the figures and their bootstrap are made from those counts.
"""

from __future__ import annotations

from workbench.agreement._figures import (
    FEWER_RESAMPLES,
    LEVELS,
    MANY_PATTERNS,
    MOST_VALUES,
    RESAMPLES,
    Floats,
    Ints,
    Units,
    alpha,
    cohen,
    fits,
    fleiss,
    interval,
    number,
    units_of,
)
from workbench.agreement._ratings import (
    MOST_PAIRS,
    alone,
    events,
    pair_counts,
    ratings,
    several,
    shared,
    unit_patterns,
)

__all__ = [
    "FEWER_RESAMPLES",
    "LEVELS",
    "MANY_PATTERNS",
    "MOST_PAIRS",
    "MOST_VALUES",
    "RESAMPLES",
    "Floats",
    "Ints",
    "Units",
    "alone",
    "alpha",
    "cohen",
    "events",
    "fits",
    "fleiss",
    "interval",
    "number",
    "pair_counts",
    "ratings",
    "several",
    "shared",
    "unit_patterns",
    "units_of",
]
