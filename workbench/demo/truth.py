"""The planted faults in numbers, worked out from what was drawn and not from the files."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.demo import surroundings
from workbench.demo.columns import Bools, Floats, mean
from workbench.demo.dirt import INVALID, Feedback
from workbench.demo.events import BOT, BOT_PERIOD, LATE_AFTER, LOAD_TEST
from workbench.demo.handbook import Handbook
from workbench.demo.outcomes import Outcomes
from workbench.demo.world import FAULT_LANGUAGE, FAULT_VERSION, INCIDENT, Inferences


def facts(
    calls: Inferences,
    feedback: Feedback,
    planted: dict[str, int],
    written: tuple[dict[str, int], pa.Table],
    happened: Outcomes,
    handbook: Handbook,
) -> dict[str, Any]:
    """Collect everything that the demo promises, by name."""
    ledger = feedback.ledger
    inferences, log = written
    labels = _labels(calls, feedback)
    labelled = ~np.isnan(labels)
    fault = (calls.version == FAULT_VERSION) & (calls.language == FAULT_LANGUAGE)
    elsewhere = ~fault & ~calls.incident
    rater = feedback.accepted["rater"]
    bot = feedback.accepted.filter(pc.fill_null(pc.equal(rater, BOT), False))
    agrees = labels[bot["call"].to_numpy()]
    return {
        "overconfident": {
            "model_version": "v3",
            "language": "pt-BR",
            "inferences": int(fault.sum()),
            "labelled": int((fault & labelled).sum()),
            "gap": mean((calls.score - labels)[fault & labelled]),
            "gap_elsewhere": mean((calls.score - labels)[elsewhere & labelled]),
        },
        "silent": {
            "tier": "free",
            "device": "mobile",
            "inferences": int(calls.silent.sum()),
            "labelled": int((calls.silent & labelled).sum()),
            "coverage": mean(labelled[calls.silent]),
            "coverage_elsewhere": mean(labelled[~calls.silent]),
        },
        "bot": {
            "rater_id": BOT,
            "events": len(bot),
            "seconds_between": BOT_PERIOD // 1000,
            "agreement": mean(agrees[~np.isnan(agrees)]),
        },
        "incident": {
            "start": _instant(INCIDENT[0]),
            "end": _instant(INCIDENT[1]),
            "inferences": int(calls.incident.sum()),
            "labelled": int((calls.incident & labelled).sum()),
            "resolved": mean(labels[calls.incident & labelled]),
            "resolved_elsewhere": mean(labels[~calls.incident & labelled]),
        },
        "load_test": {"rater_id": LOAD_TEST, "events": ledger["spam"]},
        "inferences": {
            **inferences,
            "labelled": int(labelled.sum()),
            "unlabelled": int((~labelled).sum()),
            "positive": int(np.nansum(labels)),
        },
        "methods": {
            "request_id": ledger["attributed"] - planted["session"] - planted["user"],
            "session": planted["session"],
            "user": planted["user"],
        },
        "quarantine": {
            **{reason: planted[reason] for reason in INVALID},
            "duplicate": ledger["duplicate"],
            "spam": ledger["spam"],
        },
        "flags": {name: planted[name] for name in ("early", "other_model_version", "retracted")},
        "late": {"events": planted["late"], "after_seconds": LATE_AFTER // 1000},
        "duplicates": {
            "exact": planted["exact_duplicate"],
            "conflicting": planted["conflicting_duplicate"],
        },
        "orphans": {name: planted[name] for name in ("unknown_id", "out_of_window")},
        **surroundings.facts(calls, feedback, happened, handbook, log, labels),
    }


def _labels(calls: Inferences, feedback: Feedback) -> Floats:
    """Label each call by the policy of the demo; NaN where no agent said anything."""
    table = feedback.accepted
    deciding = pc.equal(table["signal"], "resolved").to_numpy() & ~feedback.retracted
    table = table.filter(pa.array(deciding))
    call, at = table["call"].to_numpy(), table["at"].to_numpy()
    rater = table["rater"].combine_chunks().dictionary_encode().indices.to_numpy()
    yes: Bools = pc.equal(table["given"], "1").to_numpy()
    order = np.lexsort((at, rater, call))
    call, rater, yes = call[order], rater[order], yes[order]
    latest = np.r_[(call[1:] != call[:-1]) | (rater[1:] != rater[:-1]), True]
    votes = np.bincount(call[latest], minlength=len(calls))
    share = np.bincount(call[latest], yes[latest], minlength=len(calls)) / np.maximum(votes, 1)
    return np.where(votes > 0, (share > 0.5).astype(np.float64), np.nan)


def _instant(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat().replace("+00:00", "Z")
