"""Formulas of one row or one aggregate as Ibis expressions; they run on DuckDB and on Spark alike.

Each formula lives here once: the views are compiled from it and the metrics call it.
"""

from __future__ import annotations

from workbench.formulas._bins import BIN_RULES, BinRule, bin_index
from workbench.formulas._intervals import Z95, mean_interval, normal_interval, wilson
from workbench.formulas._uncertainty import SUM_TOLERANCE, entropy, least_confidence, margin
from workbench.formulas._values import canonical, finite, probability, seconds_between

__all__ = [
    "BIN_RULES",
    "SUM_TOLERANCE",
    "Z95",
    "BinRule",
    "bin_index",
    "canonical",
    "entropy",
    "finite",
    "least_confidence",
    "margin",
    "mean_interval",
    "normal_interval",
    "probability",
    "seconds_between",
    "wilson",
]
