"""Attribution in plain Python, one event after the other: slow, and easy to check by eye."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from fractions import Fraction

from tests.soundness.tables import Row

KEYS = {"session": "session_id", "user": "user_id", "trace": "trace_id"}
WIDER = {"session": "session", "conversation": "session", "trace": "trace"}
NOTHING: Row = {
    "request_id": None,
    "method": None,
    "attribution_confidence": None,
    "n_candidates": 0,
    "delay": None,
    "early": False,
    "other_model_version": False,
    "chosen_request_id": None,
    "rejected_request_id": None,
}


class World:
    """Everything that the fate of an event depends on."""

    def __init__(
        self,
        events: Sequence[Row],
        inferences: Sequence[Row],
        aliases: Sequence[Row],
        fallback: Sequence[str],
        window: timedelta,
        credit: str,
    ) -> None:
        self.events, self.inferences, self.aliases = events, inferences, aliases
        self.fallback, self.window, self.credit = fallback, window, credit
        self.known = {inference["request_id"]: inference for inference in inferences}

    def fates(self) -> dict[str, Row]:
        """What became of each event."""
        withdrawn = {event["retracts"] for event in self.events if event["retracts"] is not None}
        return {
            event["feedback_id"]: {
                **self.fate(event),
                "retracted": event["feedback_id"] in withdrawn,
            }
            for event in self.events
        }

    def credits(self, discount: Fraction) -> dict[tuple[str, str], Fraction]:
        """The share of each event that each inference gets."""
        result = {}
        for event in self.events:
            fate = self.fate(event)
            if fate["request_id"] is None:
                continue
            judged = self.judged(event)
            if self.credit == "last" or judged is None or event["retracts"] is not None:
                judged = [self.known[fate["request_id"]]]
            base = discount if self.credit == "discounted" else Fraction(1)
            shares = [base**later for later in reversed(range(len(judged)))]
            for inference, share in zip(judged, shares, strict=True):
                result[event["feedback_id"], inference["request_id"]] = share / sum(shares)
        return result

    def fate(self, event: Row) -> Row:
        unnamed = event["request_id"] is None and event["kind"] != "preference"
        if event["retracts"] is not None and unnamed:
            # A retraction that names no inference judges what the event it withdraws judged.
            for other in self.events:
                if other["feedback_id"] == event["retracts"]:
                    return self.followed(event, self.own(other))
        return self.own(event)

    def followed(self, event: Row, fate: Row) -> Row:
        """The fate of a withdrawn event, with the times and version of the withdrawing one."""
        sides = {"chosen_request_id": None, "rejected_request_id": None}
        if fate["request_id"] is None:
            return {**fate, **sides, "delay": None}
        return attributed(
            event, self.known[fate["request_id"]], fate["method"], fate["n_candidates"]
        )

    def targets(self, name: str | None) -> list[tuple[str, str]]:
        """What a name stands for: itself, or the inferences and traces that it is an alias of."""
        if name in self.known:
            return [("own", str(name))]
        traces = {inference["trace_id"] for inference in self.inferences}
        found = set()
        for alias in self.aliases:
            if name is not None and alias["alias"] == name:
                if alias["request_id"] in self.known:
                    found.add(("alias", alias["request_id"]))
                elif alias["request_id"] in traces:
                    found.add(("trace", alias["request_id"]))
        return sorted(found)

    def own(self, event: Row) -> Row:
        if event["kind"] == "preference":
            return self.preference(event)
        if event["request_id"] is not None:
            targets = self.targets(event["request_id"])
            if len(targets) > 1:
                return ambiguous("alias", len(targets))
            if not targets:
                return {**NOTHING, "status": "orphan"}
            kind, target = targets[0]
            if kind != "trace":
                method = "request_id" if kind == "own" else "alias"
                return attributed(event, self.known[target], method, 1)
        judged = self.judged(event)
        if judged is not None:
            way = "session" if event["scope"] in ("session", "conversation") else "trace"
            if event["request_id"] is not None:
                way = "trace"
            if not judged:
                return {**NOTHING, "status": "orphan"}
            last = judged
            if self.credit == "last":
                last = [step for step in judged if step["model"] is not None] or judged
                if not last_is_clear(last):
                    return ambiguous(way, len(judged))
            return attributed(event, last[-1], way, len(judged))
        for way in self.fallback:
            found = self.latest(event, KEYS[way])
            if found is not None:
                latest, n_candidates = found
                if len(latest) > 1:
                    return ambiguous(way, n_candidates)
                return attributed(event, latest[0], way, n_candidates)
        return {**NOTHING, "status": "orphan"}

    def preference(self, event: Row) -> Row:
        chosen, rejected = (
            [target for kind, target in self.targets(event[side]) if kind != "trace"]
            for side in ("chosen_id", "rejected_id")
        )
        if not chosen or not rejected:
            return {**NOTHING, "status": "orphan"}
        if len(chosen) * len(rejected) > 1:
            return ambiguous("preference", len(chosen) * len(rejected))
        return {
            # It credits neither side, so it belongs to no single inference.
            **NOTHING,
            "status": "attributed",
            "method": "preference",
            "n_candidates": 1,
            "attribution_confidence": 1.0,
            "chosen_request_id": chosen[0],
            "rejected_request_id": rejected[0],
        }

    def judged(self, event: Row) -> list[Row] | None:
        """The steps that an event with a wide scope judges, in order; None of any other event."""
        way = WIDER.get(event["scope"])
        if event["kind"] == "preference":
            return None
        value = None if way is None else event[KEYS[way]]
        if event["request_id"] is not None:
            targets = self.targets(event["request_id"])
            if [kind for kind, _ in targets] != ["trace"]:
                return None
            way, value = "trace", targets[0][1]
        if way is None:
            return None
        steps = [i for i in self.inferences if value is not None and i[KEYS[way]] == value]
        steps = sorted(
            steps,
            key=lambda i: (
                (i["ts"] is not None, i["ts"] or 0),
                (i["step"] is not None, i["step"] or 0),
                not calls_another(i, steps),
                i["request_id"],
            ),
        )
        if event["ts"] is None or all(step["ts"] is None for step in steps):
            return steps
        return [s for s in steps if s["ts"] is not None and s["ts"] <= event["ts"]]

    def latest(self, event: Row, key: str) -> tuple[list[Row], int] | None:
        """The inferences at the latest time that the event may mean, and how many it may mean."""
        if event[key] is None or event["ts"] is None:
            return None
        candidates = [
            inference
            for inference in self.inferences
            if inference[key] == event[key]
            and inference["ts"] is not None
            and inference["ts"] <= event["ts"]
            and event["ts"] - inference["ts"] <= self.window
        ]
        if not candidates:
            return None
        last = max(candidate["ts"] for candidate in candidates)
        return [c for c in candidates if c["ts"] == last], len(candidates)


def calls_another(step: Row, steps: Sequence[Row]) -> bool:
    """Whether a step called another one of its kind at the time at which it began itself."""
    return any(
        other["parent_id"] == step["request_id"]
        and other["ts"] == step["ts"]
        and (other["model"] is None) == (step["model"] is None)
        for other in steps
    )


def last_is_clear(steps: Sequence[Row]) -> bool:
    """Whether it can be told which of the ordered steps, all of one kind, is the last."""
    at_end = [step for step in steps if step["ts"] == steps[-1]["ts"]]
    numbers = [step["step"] for step in at_end]
    if None in numbers and set(numbers) != {None}:
        # A step without a number could be any of them.
        return False
    greatest = [step for step in at_end if step["step"] == steps[-1]["step"]]
    innermost = [step for step in greatest if not calls_another(step, steps)]
    return len(greatest) == 1 or len(innermost) == 1


def ambiguous(method: str, n_candidates: int) -> Row:
    return {**NOTHING, "status": "ambiguous", "method": method, "n_candidates": n_candidates}


def attributed(event: Row, inference: Row, method: str, n_candidates: int) -> Row:
    timed = event["ts"] is not None and inference["ts"] is not None
    delay = (event["ts"] - inference["ts"]).total_seconds() if timed else None
    named = event["model_version"]
    return {
        **NOTHING,
        "status": "attributed",
        "request_id": inference["request_id"],
        "method": method,
        "n_candidates": n_candidates,
        "attribution_confidence": 1.0 / n_candidates,
        "delay": delay,
        "early": None if delay is None else delay < 0,
        "other_model_version": named is not None and named != inference["model_version"],
    }
