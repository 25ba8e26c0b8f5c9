"""Metrics of the labelled inferences: one file each, evaluated for any groups, with n and interval.

A file that declares ``metric`` is all that a new metric needs; its name is the file's, and what it
says about itself is the file's docstring.
"""

from __future__ import annotations

from workbench.metrics._bootstrap import without_intervals
from workbench.metrics._calls import (
    MetricCall,
    check_params,
    expressions,
    parse_call,
    parse_calls,
    split_calls,
)
from workbench.metrics._evaluate import evaluate, queries_of
from workbench.metrics._intervals import wilson_ends, wilson_of
from workbench.metrics._merge import (
    CELL_SUMS,
    SIZES,
    VALUE_SUMS,
    evaluate_kept,
    kept_cells,
    kept_sums,
    merged_values,
    split_kept,
    sums_for,
)
from workbench.metrics._metric import (
    FAMILIES,
    REASONS,
    Estimate,
    Guide,
    Metric,
    Param,
    guide_of,
    metrics,
    simple_metric,
    state_metric,
)
from workbench.metrics._pairs import pairs
from workbench.metrics._simple import SIZE, labelled, simple_sums, simple_values
from workbench.metrics._uncertain import SCORES as UNCERTAINTY_SCORES

__all__ = [
    "CELL_SUMS",
    "FAMILIES",
    "REASONS",
    "SIZE",
    "SIZES",
    "UNCERTAINTY_SCORES",
    "VALUE_SUMS",
    "Estimate",
    "Guide",
    "Metric",
    "MetricCall",
    "Param",
    "check_params",
    "evaluate",
    "evaluate_kept",
    "expressions",
    "guide_of",
    "kept_cells",
    "kept_sums",
    "labelled",
    "merged_values",
    "metrics",
    "pairs",
    "parse_call",
    "parse_calls",
    "queries_of",
    "simple_metric",
    "simple_sums",
    "simple_values",
    "split_calls",
    "split_kept",
    "state_metric",
    "sums_for",
    "wilson_ends",
    "wilson_of",
    "without_intervals",
]
