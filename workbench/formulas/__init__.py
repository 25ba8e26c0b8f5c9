"""Formulas of one row or one aggregate as Ibis expressions; they run on DuckDB and on Spark alike.

Each formula lives here once: the views are compiled from it and the metrics call it.
"""

from __future__ import annotations

from workbench.formulas._bins import BIN_RULES, BinRule, bin_index, open_bin, settled_bin
from workbench.formulas._ensembles import disagreement, mutual_information, vote_entropy
from workbench.formulas._intervals import (
    Z95,
    mean_interval,
    normal_interval,
    score_interval,
    wilson,
)
from workbench.formulas._labels import labelled_distribution, normalized_margin, self_confidence
from workbench.formulas._logistic import log_probability, logit, sigmoid, softplus
from workbench.formulas._losses import LEAST_PROBABILITY, log_loss
from workbench.formulas._tokens import (
    LEAST_LOGPROB,
    LOGPROB_TOLERANCE,
    mean_logprob,
    min_logprob,
    perplexity,
    sum_logprob,
)
from workbench.formulas._uncertainty import SUM_TOLERANCE, entropy, least_confidence, margin
from workbench.formulas._values import (
    canonical,
    epoch_us,
    finite,
    hour,
    probability,
    seconds_between,
    whole_seconds,
)

__all__ = [
    "BIN_RULES",
    "LEAST_LOGPROB",
    "LEAST_PROBABILITY",
    "LOGPROB_TOLERANCE",
    "SUM_TOLERANCE",
    "Z95",
    "BinRule",
    "bin_index",
    "canonical",
    "disagreement",
    "entropy",
    "epoch_us",
    "finite",
    "hour",
    "labelled_distribution",
    "least_confidence",
    "log_loss",
    "log_probability",
    "logit",
    "margin",
    "mean_interval",
    "mean_logprob",
    "min_logprob",
    "mutual_information",
    "normal_interval",
    "normalized_margin",
    "open_bin",
    "perplexity",
    "probability",
    "score_interval",
    "seconds_between",
    "self_confidence",
    "settled_bin",
    "sigmoid",
    "softplus",
    "sum_logprob",
    "vote_entropy",
    "whole_seconds",
    "wilson",
]
