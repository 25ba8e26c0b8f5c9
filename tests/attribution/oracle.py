"""Attribution in plain Python, one event after the other: slow, and easy to check by eye."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from tests.soundness.tables import Row

KEYS = {"session": "session_id", "user": "user_id", "trace": "trace_id"}
NOTHING: Row = {
    "request_id": None,
    "method": None,
    "attribution_confidence": None,
    "n_candidates": 0,
    "delay": None,
    "early": False,
    "other_model_version": False,
}


def attribute(
    events: Sequence[Row], inferences: Sequence[Row], fallback: Sequence[str], window: timedelta
) -> dict[str, Row]:
    """What became of each event."""
    withdrawn = {event["retracts"] for event in events if event["retracts"] is not None}
    return {
        event["feedback_id"]: {
            **_one(event, events, inferences, fallback, window),
            "retracted": event["feedback_id"] in withdrawn,
        }
        for event in events
    }


def _one(
    event: Row,
    events: Sequence[Row],
    inferences: Sequence[Row],
    fallback: Sequence[str],
    window: timedelta,
) -> Row:
    known = {inference["request_id"]: inference for inference in inferences}
    if event["kind"] == "preference":
        return _own(event, inferences, fallback, window)
    if event["retracts"] is not None and event["request_id"] is None:
        # A retraction that names no inference judges what the event that it withdraws judged.
        for other in events:
            if other["feedback_id"] == event["retracts"]:
                return _followed(event, _own(other, inferences, fallback, window), known)
    return _own(event, inferences, fallback, window)


def _followed(event: Row, fate: Row, known: dict[str, Row]) -> Row:
    """The fate of a withdrawn event, with the times and the version of the withdrawing one."""
    if fate["request_id"] is None:
        return {**fate, "delay": None}
    inference = known[fate["request_id"]]
    return _attributed(event, inference, fate["method"], fate["n_candidates"])


def _own(event: Row, inferences: Sequence[Row], fallback: Sequence[str], window: timedelta) -> Row:
    known = {inference["request_id"]: inference for inference in inferences}
    if event["kind"] == "preference":
        if event["chosen_id"] in known and event["rejected_id"] in known:
            # It credits neither side, so it belongs to no single inference.
            sides = {"method": "preference", "n_candidates": 1, "attribution_confidence": 1.0}
            return {**NOTHING, "status": "attributed", **sides}
        return {**NOTHING, "status": "orphan"}
    if event["request_id"] is not None:
        if event["request_id"] in known:
            return _attributed(event, known[event["request_id"]], "request_id", 1)
        return {**NOTHING, "status": "orphan"}
    wider = event["scope"] if event["scope"] in ("session", "trace") else None
    for way in [wider] if wider else fallback:
        found = _latest(event, inferences, KEYS[way], None if wider else window)
        if found is None:
            continue
        latest, n_candidates = found
        if len(latest) > 1:
            return {
                **NOTHING,
                "status": "ambiguous",
                "method": way,
                "n_candidates": n_candidates,
            }
        return _attributed(event, latest[0], way, n_candidates)
    return {**NOTHING, "status": "orphan"}


def _latest(
    event: Row, inferences: Sequence[Row], key: str, window: timedelta | None
) -> tuple[list[Row], int] | None:
    """The inferences at the latest time that the event may mean, and how many it may mean."""
    if event[key] is None or event["ts"] is None:
        return None
    candidates = [
        inference
        for inference in inferences
        if inference[key] == event[key]
        and inference["ts"] is not None
        and inference["ts"] <= event["ts"]
        and (window is None or event["ts"] - inference["ts"] <= window)
    ]
    if not candidates:
        return None
    last = max(candidate["ts"] for candidate in candidates)
    return [c for c in candidates if c["ts"] == last], len(candidates)


def _attributed(event: Row, inference: Row, method: str, n_candidates: int) -> Row:
    timed = event["ts"] is not None and inference["ts"] is not None
    delay = (event["ts"] - inference["ts"]).total_seconds() if timed else None
    named = event["model_version"]
    return {
        "status": "attributed",
        "request_id": inference["request_id"],
        "method": method,
        "n_candidates": n_candidates,
        "attribution_confidence": 1.0 / n_candidates,
        "delay": delay,
        "early": None if delay is None else delay < 0,
        "other_model_version": named is not None and named != inference["model_version"],
    }
