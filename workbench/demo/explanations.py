"""What the model's own explainer logged for a sample of answers: attributions, counterfactuals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from workbench.demo.columns import Bools, Floats, Ints, joined, pick
from workbench.demo.world import (
    INTENT_EFFECT,
    LANGUAGE_EFFECT,
    TURN_EFFECT,
    VERSION_EFFECT,
    Inferences,
)

FEATURES = ("intent", "language", "model_version", "n_turns", "question")
# The explainer runs for one answer in four, and tries another language for one in forty.
EXPLAINED = 0.25
TRIED = 0.025
BASE = 0.4
_KIND = "shap"
_UNITS = "log_odds"


def explained(rng: np.random.Generator, calls: Inferences) -> dict[str, Any]:
    """The columns ``attributions`` and ``counterfactuals`` of the log, NULL where not sampled."""
    draw = rng.random(len(calls))
    return {
        "attributions": _attributions(calls, draw < EXPLAINED),
        "counterfactuals": _counterfactuals(calls, draw < TRIED),
    }


def effects(calls: Inferences) -> Floats:
    """Attribution by call and feature; with `BASE` they add up to the log-odds of the score.

    The effect of the question's words is what the others leave.
    """
    known = np.column_stack(
        [
            INTENT_EFFECT[calls.intent] - BASE,
            LANGUAGE_EFFECT[calls.language],
            VERSION_EFFECT[calls.version],
            -TURN_EFFECT * calls.turn,
        ]
    )
    odds = np.log(calls.score / (1.0 - calls.score))
    # Rounded, so that it adds up to four digits, and packs well.
    words = np.round(odds - BASE - known.sum(axis=1), 4)
    return np.round(np.column_stack([known, words]), 4)


def flips(calls: Inferences, tried: Bools) -> Bools:
    """Of the calls that were tried: in English the prediction would have been another."""
    odds = np.log(calls.score / (1.0 - calls.score))[tried]
    changed = odds + LANGUAGE_EFFECT[0] - LANGUAGE_EFFECT[calls.language[tried]]
    flipped: Bools = (odds >= 0.0) != (changed >= 0.0)
    return flipped


def _attributions(calls: Inferences, mask: Bools) -> Any:
    n, width = int(mask.sum()), len(FEATURES)
    entry = np.tile(np.arange(width), n)
    values = pa.StructArray.from_arrays(
        [
            pick(FEATURES, entry),
            pa.array(effects(calls)[mask].ravel()),
            pick((_KIND,), np.zeros(n * width, np.int64)),
            pa.array(np.full(n * width, BASE)),
            pick((_UNITS,), np.zeros(n * width, np.int64)),
        ],
        names=["feature", "value", "kind", "base", "units"],
    )
    return _lists(mask, values, width)


def _counterfactuals(calls: Inferences, mask: Bools) -> Any:
    was = (calls.score >= 0.5)[mask]
    becomes = was ^ flips(calls, mask)
    question = calls.question.filter(pa.array(mask))
    values = pa.StructArray.from_arrays(
        [
            joined("[language=en] ", question),
            pick(("0", "1"), becomes.astype(np.int64)),
        ],
        names=["input", "output"],
    )
    return _lists(mask, values, 1)


def _lists(mask: Bools, values: Any, width: int) -> Any:
    """One list of `width` values for each row of the mask, NULL for the others."""
    starts: Ints = np.r_[0, np.cumsum(mask) * width]
    return pa.ListArray.from_arrays(pa.array(starts.astype(np.int32)), values, mask=pa.array(~mask))
