"""From signals to rewards, and from several events to one label per inference."""

from __future__ import annotations

from workbench.labels._resolve import decided, deciding, resolve, votes
from workbench.labels._rewards import (
    bad_value,
    effective_kind,
    judged,
    number,
    rewarded,
    signal_reward,
)

__all__ = [
    "bad_value",
    "decided",
    "deciding",
    "effective_kind",
    "judged",
    "number",
    "resolve",
    "rewarded",
    "signal_reward",
    "votes",
]
