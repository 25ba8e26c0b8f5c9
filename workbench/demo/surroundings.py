"""The planted answers about the contexts in numbers, worked out from what was drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from workbench.demo import explanations, outcomes
from workbench.demo.columns import Bools, Floats, Ints, mean
from workbench.demo.dirt import NEVER, Feedback
from workbench.demo.files import health_matched
from workbench.demo.handbook import PER_TOPIC, PRO_KNOWN, WINDOWS, Handbook
from workbench.demo.outcomes import INCIDENTS, Outcomes
from workbench.demo.texts import LANGUAGES
from workbench.demo.world import DAY, FAULT_LANGUAGE, FAULT_VERSION, START, Inferences

# How far back the settings of the demo look for earlier feedback of the same customer.
EARLIER_SPAN = 14 * DAY
_USER = np.int64(1) << 44


def facts(
    calls: Inferences,
    feedback: Feedback,
    happened: Outcomes,
    handbook: Handbook,
    log: pa.Table,
    labels: Floats,
) -> dict[str, Any]:
    """Collect what the contexts of the demo must find.

    Parameters
    ----------
    log
        The accepted rows of the log of inferences.
    labels
        By call; NaN where there is none.
    """
    incident, incidents = _incidents(calls)
    outcome = _purchases(calls, happened, feedback.until, labels)
    reopened = _reopened(calls, happened, feedback.until, labels)
    articles = _articles(calls, handbook)
    claims = _claims(calls, handbook, labels)
    earlier = _earlier(calls, feedback)
    return {
        "contexts": {
            "user": int((calls.tier >= 0).sum()),
            "release": len(calls),
            "health": health_matched(calls),
            "incident": incident,
            "outcome": outcome["converted"],
            "reopened": reopened["inferences"],
            "recent": _recent(calls, log["latency"].to_numpy()),
            "earlier": int((earlier > 0).sum()),
            "handbook": articles["embedded"],
            "policy": claims["supported"] + claims["contradicted"],
        },
        "incidents": incidents,
        "outcome": outcome,
        "reopened": reopened,
        "earlier": {"events": int(earlier.sum())},
        "handbook": articles,
        "claims": claims,
        "attributions": _attributions(calls, log),
    }


def _incidents(calls: Inferences) -> tuple[int, dict[str, int]]:
    """Inferences by incident; where two are valid, the later one."""
    last = np.full(len(calls), -1)
    for number, entry in sorted(enumerate(INCIDENTS), key=lambda pair: pair[1].begin):
        last[(calls.ts >= entry.begin) & (calls.ts < entry.end)] = number
    counts = {entry.name: int((last == n).sum()) for n, entry in enumerate(INCIDENTS)}
    return int((last >= 0).sum()), counts


def _purchases(calls: Inferences, happened: Outcomes, now: int, labels: Floats) -> dict[str, Any]:
    """Purchases by the last answer before them, of answers whose horizon has ended."""
    horizon = outcomes.PURCHASE_HORIZON
    bought = happened.kind == 0
    known = bought & (np.maximum(happened.at, happened.recorded) <= now)
    # Of several answers at one time the one with the greatest id counts as the last.
    place = np.argsort(np.argsort(calls.id.to_numpy(zero_copy_only=False)))
    order = np.lexsort((place, calls.ts, calls.user))
    keys = _placed(calls.user, calls.ts)[order]
    asked = _placed(happened.user[known], happened.at[known])
    at = np.searchsorted(keys, asked, side="right")
    touched = order[np.maximum(at - 1, 0)]
    age = happened.at[known] - calls.ts[touched]
    same = (at > 0) & (calls.user[touched] == happened.user[known]) & (age <= horizon)
    spent = np.bincount(touched[same], happened.amount[known][same], minlength=len(calls))
    mature = calls.ts + horizon <= now
    converted = mature & (np.bincount(touched[same], minlength=len(calls)) > 0)
    return {
        "purchases": int(bought.sum()),
        "recorded_too_late": int((bought & ~known).sum()),
        "mature": int(mature.sum()),
        "converted": int(converted.sum()),
        "revenue": float(spent[mature].sum()),
        **_by_label(converted, mature, labels),
    }


def _reopened(calls: Inferences, happened: Outcomes, now: int, labels: Floats) -> dict[str, Any]:
    """Answers after which the ticket of the conversation was opened again within the horizon."""
    horizon = outcomes.REOPENED_HORIZON
    again = (happened.kind == 1) & (np.maximum(happened.at, happened.recorded) <= now)
    when = np.full(int(calls.session.max()) + 1, NEVER)
    when[happened.session[again]] = happened.at[again]
    at = when[calls.session]
    mature = calls.ts + horizon <= now
    found = mature & (at >= calls.ts) & (at <= calls.ts + horizon)
    return {
        "tickets": int((happened.kind == 1).sum()),
        "mature": int(mature.sum()),
        "inferences": int(found.sum()),
        **_by_label(found, mature, labels),
    }


def _by_label(found: Bools, mature: Bools, labels: Floats) -> dict[str, float]:
    """Share of the mature answers, by whether they resolved the ticket."""
    return {
        name: mean(found[mature & (labels == value)])
        for name, value in (("resolved", 1.0), ("unresolved", 0.0))
    }


def _placed(user: Ints, moment: Ints) -> Ints:
    """One number that sorts by user, then by time."""
    return user * _USER + (moment - START)


def _recent(calls: Inferences, latency: Floats) -> int:
    """Inferences before which the customer had an answer; one counts from when it was given."""
    given = calls.ts + np.floor(latency).astype(np.int64) + 1
    keys = np.sort(_placed(calls.user, given))
    before = np.searchsorted(keys, _placed(calls.user, calls.ts), side="right")
    none = np.searchsorted(keys, calls.user * _USER)
    return int((before > none).sum())


def _earlier(calls: Inferences, feedback: Feedback) -> Ints:
    """By call: events on earlier answers of the customer, known and not withdrawn by then."""
    call = feedback.judging["call"].to_numpy()
    known = np.maximum(feedback.judging["received"].to_numpy(), calls.ts[call])
    user = calls.user[call]
    keys = np.sort(_placed(user, known))
    asked = _placed(calls.user, calls.ts)
    begin = np.maximum(asked - EARLIER_SPAN, calls.user * _USER)
    count: Ints = np.searchsorted(keys, asked) - np.searchsorted(keys, begin)
    for event in np.flatnonzero(feedback.withdrawn < NEVER):
        count -= (
            (calls.user == user[event])
            & (known[event] >= calls.ts - EARLIER_SPAN)
            & (known[event] < calls.ts)
            & (feedback.withdrawn[event] <= calls.ts)
        )
    return count


def _articles(calls: Inferences, handbook: Handbook) -> dict[str, int]:
    """How often the nearest verified article is the one that the answer was written from."""
    asked = handbook.embedding.astype(np.float32).astype(np.float64)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    documents = handbook.vectors / np.linalg.norm(handbook.vectors, axis=1, keepdims=True)
    near = asked @ documents.T
    near[handbook.verified[None, :] > calls.ts[:, None]] = -np.inf
    nearest = near.argmax(axis=1)
    logged = handbook.embedded
    return {
        "articles": len(handbook.verified),
        "embedded": int(logged.sum()),
        "same_article": int((logged & (nearest == handbook.article)).sum()),
        "same_topic": int((logged & (nearest // PER_TOPIC == calls.intent)).sum()),
    }


def _claims(calls: Inferences, handbook: Handbook, labels: Floats) -> dict[str, Any]:
    """What answers state about refund windows, against what was known then."""
    plan = handbook.plan
    claimed = plan >= 0
    known = claimed & (plan < len(WINDOWS)) & ((plan != 2) | (calls.ts >= PRO_KNOWN))
    right = handbook.days == np.asarray([*WINDOWS, 0])[plan]
    wrong = known & ~right
    newest = calls.version == FAULT_VERSION
    return {
        "claims": int(claimed.sum()),
        "supported": int((known & right).sum()),
        "contradicted": int(wrong.sum()),
        "unknown": int((claimed & ~known).sum()),
        "share": mean(wrong[known & newest]),
        "share_elsewhere": mean(wrong[known & ~newest]),
        "resolved_after_wrong": mean(labels[wrong & ~np.isnan(labels)]),
        "resolved_after_right": mean(labels[known & right & ~np.isnan(labels)]),
    }


def _attributions(calls: Inferences, log: pa.Table) -> dict[str, Any]:
    """What the logged explanations say about the language of which the score is too high."""
    explained = log["attributions"].is_valid().to_numpy()
    tried = log["counterfactuals"].is_valid().to_numpy()
    fault = explained & (calls.version == FAULT_VERSION) & (calls.language == FAULT_LANGUAGE)
    effect = explanations.effects(calls)[fault, explanations.FEATURES.index("language")]
    return {
        "explained": int(explained.sum()),
        "tried": int(tried.sum()),
        "flipped": int(explanations.flips(calls, tried).sum()),
        "language": LANGUAGES[FAULT_LANGUAGE],
        "fault_explained": int(fault.sum()),
        "fault_language_effect": mean(effect),
    }
