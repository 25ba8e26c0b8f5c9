"""Which inference an event judges, how that was found, and how sure it is.

By ``request_id``; only where that is absent by session, then by user: the latest inference at or
before the event, within the window, ends included. Two inferences at that latest time cannot be
told apart, and the event is ambiguous. Everything is a pure function of Ibis tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import ibis
import ibis.expr.types as ir

from workbench.formulas import seconds_between

#: Inference columns that attribution needs.
INFERENCE_COLUMNS = ("request_id", "ts", "model_version", "session_id", "user_id", "trace_id")
#: Event columns that attribution needs.
EVENT_COLUMNS = (
    "feedback_id",
    "request_id",
    "ts",
    "model_version",
    "session_id",
    "user_id",
    "trace_id",
    "scope",
    "kind",
    "chosen_id",
    "rejected_id",
    "retracts",
)
_KEYS = {"session": "session_id", "user": "user_id", "trace": "trace_id"}


def attribute(
    events: ir.Table,
    inferences: ir.Table,
    *,
    fallback: Sequence[str],
    window: timedelta,
) -> ir.Table:
    """What became of each event.

    Parameters
    ----------
    events
        Accepted events, one row per ``feedback_id``, with `EVENT_COLUMNS`.
    inferences
        Inferences, one row per ``request_id``, with `INFERENCE_COLUMNS`.
    fallback
        ``session`` and ``user``, in the order in which they are tried where an event has no
        ``request_id``.
    window
        Greatest time from an inference to an event that a fallback attributes to it.

    Returns
    -------
    ir.Table
        One row per event: ``feedback_id``, ``status``, ``request_id``, ``method``,
        ``attribution_confidence``, ``n_candidates``, ``delay`` (seconds), ``early``,
        ``other_model_version``, ``retracted``, ``reason``.
    """
    events = _flagged(events)
    events = _by_request_id(events, inferences)
    attempts = [
        ("session_scope", "session", None),
        ("trace_scope", "trace", None),
        *((name, name, window) for name in fallback),
    ]
    open_events = events.filter(events["request_id"].isnull() & ~events["is_preference"])
    found = {
        label: _latest(
            open_events.filter(_when(open_events, label)), inferences, _KEYS[method], limit
        )
        for label, method, limit in attempts
    }
    joined = events
    for label, hits in found.items():
        renamed = hits.rename(
            {f"{label}__{name}": name for name in ("request_id", "n_candidates", "n_latest")}
        )
        joined = joined.left_join(
            renamed.rename({f"{label}__event": "feedback_id"}),
            joined["feedback_id"] == renamed["feedback_id"],
        ).drop(f"{label}__event")
    return _decide(joined, inferences, [(label, method) for label, method, *_ in attempts], window)


def credits(attribution: ir.Table) -> ir.Table:
    """How events are credited to inferences: all to the one that was found.

    Parameters
    ----------
    attribution
        The result of `attribute`.

    Returns
    -------
    ir.Table
        ``feedback_id``, ``request_id``, ``weight``; weights add up to 1 per attributed event. A
        preference credits neither side.
    """
    credited = attribution.filter(
        attribution["status"] == "attributed", attribution["request_id"].notnull()
    )
    return credited.select("feedback_id", "request_id", weight=ibis.literal(1.0))


def _when(events: ir.Table, label: str) -> ir.BooleanValue:
    """Which events an attempt is for: those of its scope, or, for a fallback, of no wider one."""
    scoped = events["scope"].isin(["session", "trace"]).fill_null(False)
    if label == "session_scope":
        return (events["scope"] == "session").fill_null(False)
    if label == "trace_scope":
        return (events["scope"] == "trace").fill_null(False)
    return ~scoped


def _flagged(events: ir.Table) -> ir.Table:
    """Which events were withdrawn, and which are preferences."""
    withdrawn = (
        events.filter(events["retracts"].notnull())
        .select(__withdrawn=events["retracts"])
        .distinct()
    )
    joined = events.left_join(withdrawn, events["feedback_id"] == withdrawn["__withdrawn"])
    return joined.mutate(
        retracted=joined["__withdrawn"].notnull(),
        is_preference=(joined["kind"] == "preference").fill_null(False),
    ).drop("__withdrawn")


def _follow_retracted(decided: ir.Table) -> ir.Table:
    """A retraction that names no inference judges what the event that it withdraws judged."""
    kept = ("status", "method", "request_id", "n_candidates", "reason")
    targets = decided.select(
        __target=decided["feedback_id"], **{f"__of_{name}": decided[name] for name in kept}
    )
    joined = decided.left_join(targets, decided["__retracts"] == targets["__target"])
    follows = joined["__target"].notnull() & joined["__unnamed"]
    return joined.mutate(
        **{name: ibis.ifelse(follows, joined[f"__of_{name}"], joined[name]) for name in kept}
    ).drop("__target", *[f"__of_{name}" for name in kept])


def _by_request_id(events: ir.Table, inferences: ir.Table) -> ir.Table:
    """Whether the named inference, and both sides of a preference, are known."""
    for column in ("request_id", "chosen_id", "rejected_id"):
        ids = inferences.select(**{f"__{column}": inferences["request_id"]})
        events = events.left_join(ids, events[column] == ids[f"__{column}"])
        events = events.mutate(**{f"known_{column}": events[f"__{column}"].notnull()}).drop(
            f"__{column}"
        )
    return events


def _latest(events: ir.Table, inferences: ir.Table, key: str, window: timedelta | None) -> ir.Table:
    """The latest inference of the same key at or before each event, and how many there were.

    Inferences and events are laid into one sequence per key by time. The number of inferences up
    to an event, less the number before its window, is the number of candidates; no event is ever
    joined to all inferences of its key.

    Returns
    -------
    ir.Table
        ``feedback_id``, ``request_id``, ``n_candidates``, ``n_latest``; only events with a
        candidate.
    """
    asked = events.filter(events[key].notnull(), events["ts"].notnull())
    pool = inferences.filter(inferences[key].notnull(), inferences["ts"].notnull())
    pool = pool.semi_join(asked, pool[key] == asked[key])
    time = asked["ts"].type()
    null_time, null_id = ibis.null(time), ibis.null("string")
    line = pool.select(
        __key=pool[key],
        __t=pool["ts"].cast(time),
        __order=ibis.literal(1, "int8"),
        __inference=pool["ts"].cast(time),
        __event=null_id,
    ).union(
        asked.select(
            __key=asked[key],
            __t=asked["ts"],
            __order=ibis.literal(2, "int8"),
            __inference=null_time,
            __event=asked["feedback_id"],
        ),
        distinct=False,
    )
    if window is not None:
        span = ibis.interval(microseconds=int(window.total_seconds() * 1_000_000))
        line = line.union(
            asked.select(
                __key=asked[key],
                __t=(asked["ts"] - span).cast(time),
                __order=ibis.literal(0, "int8"),
                __inference=null_time,
                __event=asked["feedback_id"],
            ),
            distinct=False,
        )
    before = ibis.window(
        group_by="__key",
        order_by=[line["__t"], line["__order"], line["__event"]],
        preceding=None,
        following=0,
    )
    line = line.mutate(
        __n=line["__inference"].count().over(before),
        __last=line["__inference"].max().over(before),
    )
    points = line.filter(line["__event"].notnull())
    per_event = points.group_by("__event").agg(
        __key=points["__key"].max(),
        __last=points["__last"].max(),
        # One point each per event; a sum would be a HUGEINT.
        n_candidates=points["__n"].max(where=points["__order"] == 2)
        - points["__n"].max(where=points["__order"] == 0).fill_null(0),
    )
    per_event = per_event.filter(per_event["n_candidates"] > 0)
    at_time = pool.group_by(__at_key=pool[key], __at=pool["ts"].cast(time)).agg(
        n_latest=pool.count(), request_id=pool["request_id"].min()
    )
    hits = per_event.inner_join(
        at_time,
        [per_event["__key"] == at_time["__at_key"], per_event["__last"] == at_time["__at"]],
    )
    return hits.select(
        feedback_id=hits["__event"],
        request_id=hits["request_id"],
        n_candidates=hits["n_candidates"].cast("int64"),
        n_latest=hits["n_latest"],
    )


def _decide(
    joined: ir.Table,
    inferences: ir.Table,
    attempts: Sequence[tuple[str, str]],
    window: timedelta,
) -> ir.Table:
    """Turn what was found into one status per event, in the order of the rules."""
    null_text = ibis.null("string")
    preference = joined["is_preference"]
    named = joined["request_id"].notnull() & ~preference
    pair = joined["known_chosen_id"] & joined["known_rejected_id"]
    cases = [
        (preference & pair, ("attributed", "preference", null_text, 1, None)),
        (preference, ("orphan", None, null_text, 0, "unknown_preference_id")),
        (
            named & joined["known_request_id"],
            ("attributed", "request_id", joined["request_id"], 1, None),
        ),
        (named, ("orphan", None, null_text, 0, "unknown_request_id")),
    ]
    for label, method in attempts:
        candidates = joined[f"{label}__n_candidates"]
        tied = (joined[f"{label}__n_latest"] > 1).fill_null(False)
        hit = candidates.notnull()
        cases += [
            (hit & tied, ("ambiguous", method, null_text, candidates, "several_at_latest_ts")),
            (hit, ("attributed", method, joined[f"{label}__request_id"], candidates, None)),
        ]
    fallbacks = [_KEYS[method] for label, method in attempts if label == method]
    key = ibis.coalesce(ibis.null("string"), *[joined[name] for name in fallbacks])
    key = ibis.cases(
        (joined["scope"] == "session", joined["session_id"]),
        (joined["scope"] == "trace", joined["trace_id"]),
        else_=key,
    )
    reason = ibis.cases(
        (joined["retracts"].notnull() & key.isnull(), "unknown_feedback_id"),
        (key.isnull(), "no_key"),
        (joined["ts"].isnull(), "no_clock"),
        else_="none_in_window",
    )

    def choose(position: int, dtype: str, otherwise: ir.Value) -> ir.Value:
        branches = []
        for condition, result in cases:
            value = result[position]
            if not isinstance(value, ir.Value):
                value = ibis.null(dtype) if value is None else ibis.literal(value, dtype)
            branches.append((condition, value.cast(dtype)))
        return ibis.cases(*branches, else_=otherwise)

    decided = joined.select(
        "feedback_id",
        status=choose(0, "string", ibis.literal("orphan")),
        request_id=choose(2, "string", null_text),
        method=choose(1, "string", null_text),
        n_candidates=choose(3, "int64", ibis.literal(0, "int64")),
        reason=choose(4, "string", reason),
        retracted="retracted",
        __ts="ts",
        __version="model_version",
        __retracts="retracts",
        __unnamed=joined["request_id"].isnull() & ~joined["is_preference"],
    )
    decided = _follow_retracted(decided)
    facts = inferences.select(
        __id="request_id", __inference_ts="ts", __inference_version="model_version"
    )
    final = decided.left_join(facts, decided["request_id"] == facts["__id"])
    delay = seconds_between(final["__ts"], final["__inference_ts"])
    attributed = final["status"] == "attributed"
    return final.select(
        "feedback_id",
        "status",
        "request_id",
        "method",
        attribution_confidence=ibis.ifelse(
            attributed, 1.0 / final["n_candidates"].cast("float64"), ibis.null("float64")
        ),
        n_candidates="n_candidates",
        delay=delay,
        # Of what has no clock it is unknown; of what has no inference there is nothing to say.
        early=ibis.ifelse(final["request_id"].notnull(), delay < 0, ibis.literal(False)),
        other_model_version=(final["__version"] != final["__inference_version"]).fill_null(False),
        retracted="retracted",
        reason="reason",
    )
