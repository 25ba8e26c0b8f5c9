"""Raters: how far they agree, how reliable each is, who looks like a bot, and what labels owe them.

All of it is over ``enriched_feedback``, each signal by itself, for two signals ask two questions.
"""

from __future__ import annotations

from workbench.raters._agreement import agreement
from workbench.raters._agreement import counts as agreement_counts
from workbench.raters._policies import compared, pinned_weights, policies, resolved, votes
from workbench.raters._table import counts as rater_counts
from workbench.raters._table import raters

__all__ = [
    "agreement",
    "agreement_counts",
    "compared",
    "pinned_weights",
    "policies",
    "rater_counts",
    "raters",
    "resolved",
    "votes",
]
