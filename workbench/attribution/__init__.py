"""Which inference an event judges, how that was found, and how sure it is.

By ``request_id``, or what the table of aliases says of it; only where that is absent by session,
then by user: the latest inference at or before the event, within the window, ends included. Two
inferences at that latest time cannot be told apart, and the event is ambiguous. Feedback on a whole
session or trace is credited over its steps. Everything is a pure function of Ibis tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import ibis
import ibis.expr.types as ir

from workbench.attribution import _order
from workbench.attribution._clocks import CLOCK_COLUMNS, clocks, corrected, estimated
from workbench.attribution._credit import RULES, SCOPES, credits
from workbench.attribution._ids import identified, of_traces
from workbench.formulas import seconds_between

__all__ = [
    "CLOCK_COLUMNS",
    "EVENT_COLUMNS",
    "FALLBACK_KEYS",
    "INFERENCE_COLUMNS",
    "RULES",
    "SCOPES",
    "attribute",
    "clocks",
    "corrected",
    "credits",
    "estimated",
]

#: Inference columns that attribution needs.
INFERENCE_COLUMNS = (
    "request_id",
    "ts",
    "model_version",
    "session_id",
    "user_id",
    "trace_id",
    "parent_id",
    "step",
    "model",
)
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
_ASKED_OF_TRACES = ("feedback_id", "ts", "trace_id")
#: The column by which each fallback looks for an inference.
FALLBACK_KEYS = {"session": "session_id", "user": "user_id"}


def attribute(
    events: ir.Table,
    inferences: ir.Table,
    *,
    fallback: Sequence[str],
    window: timedelta,
    aliases: ir.Table | None = None,
    credit: str = "last",
    keep: Callable[[ir.Table], ir.Table] = lambda table: table,
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
    aliases
        Other names of inferences and traces: ``alias`` and ``request_id``; None for none.
    credit
        The rule of `credits`: where all goes to the last step of a session or trace, it must be
        possible to tell which one that is.
    keep
        Works out an intermediate result that is read several times, such as into a temporary
        table, and returns it; by default everything is one expression.

    Returns
    -------
    ir.Table
        One row per event: ``feedback_id``, ``status``, ``request_id``, ``method``,
        ``attribution_confidence``, ``n_candidates``, ``delay`` (seconds), ``early``,
        ``other_model_version``, ``retracted``, ``reason``, and both sides of a preference,
        ``chosen_request_id`` and ``rejected_request_id``.
    """
    # Each search takes the events as they are given: what is derived would be derived for each.
    asking = events.filter(
        events["request_id"].isnull(), (events["kind"] != "preference").fill_null(True)
    )
    scope = asking["scope"]
    sessions = asking.filter(scope.isin(["session", "conversation"]).fill_null(False))
    traces = asking.filter((scope == "trace").fill_null(False)).select(*_ASKED_OF_TRACES)
    if aliases is not None:
        traces = traces.union(of_traces(events, inferences, aliases), distinct=False)
    all_to_last = credit == "last"
    found = {
        "session_scope": _order.whole(sessions, inferences, "session_id", all_to_last=all_to_last),
        "trace_scope": _order.whole(traces, inferences, "trace_id", all_to_last=all_to_last),
    }
    narrow = asking.filter(~scope.isin(list(SCOPES)).fill_null(False))
    for way in fallback:
        found[way] = _order.latest(narrow, inferences, FALLBACK_KEYS[way], window)
    attempts = [(label, label.removesuffix("_scope")) for label in found]
    events = _by_id(_flagged(events), inferences, aliases)
    for label, hits in found.items():
        renamed = keep(hits).rename(
            {f"{label}__{name}": name for name in ("request_id", "n_candidates", "tied")}
        )
        events = events.left_join(
            renamed.rename({f"{label}__event": "feedback_id"}),
            events["feedback_id"] == renamed["feedback_id"],
        ).drop(f"{label}__event")
    return _decide(events, inferences, attempts, fallback, keep)


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


def _by_id(events: ir.Table, inferences: ir.Table, aliases: ir.Table | None) -> ir.Table:
    """What each event names; one that names a trace by an alias has the scope of a trace."""
    events = identified(events, inferences, aliases)
    via_trace = (
        (events["request_id__n"] == 1)
        & events["request_id__trace"].notnull()
        & ~events["is_preference"]
    )
    return events.mutate(
        __via_trace=via_trace,
        scope=ibis.ifelse(via_trace, "trace", events["scope"]),
        trace_id=ibis.ifelse(via_trace, events["request_id__trace"], events["trace_id"]),
    )


def _decide(
    joined: ir.Table,
    inferences: ir.Table,
    attempts: Sequence[tuple[str, str]],
    fallback: Sequence[str],
    keep: Callable[[ir.Table], ir.Table],
) -> ir.Table:
    """Turn what was found into one status per event, in the order of the rules."""
    null_text = ibis.null("string")
    preference = joined["is_preference"]
    named = joined["request_id"].notnull() & ~preference & ~joined["__via_trace"]
    n_targets = joined["request_id__n"]
    sides = joined["chosen_id__n_inferences"] * joined["rejected_id__n_inferences"]
    cases = [
        (preference & (sides == 1), ("attributed", "preference", null_text, 1, None)),
        (preference & (sides == 0), ("orphan", None, null_text, 0, "unknown_preference_id")),
        (preference, ("ambiguous", "preference", null_text, sides, "several_of_alias")),
        (
            named & joined["request_id__own"],
            ("attributed", "request_id", joined["request_id"], 1, None),
        ),
        (
            named & (n_targets == 1),
            ("attributed", "alias", joined["request_id__inference"], 1, None),
        ),
        (named & (n_targets > 1), ("ambiguous", "alias", null_text, n_targets, "several_of_alias")),
        (named, ("orphan", None, null_text, 0, "unknown_request_id")),
    ]
    for label, method in attempts:
        candidates = joined[f"{label}__n_candidates"]
        tied = joined[f"{label}__tied"].fill_null(False)
        hit = candidates.notnull()
        cases += [
            (hit & tied, ("ambiguous", method, null_text, candidates, "several_at_latest_ts")),
            (hit, ("attributed", method, joined[f"{label}__request_id"], candidates, None)),
        ]
    key = ibis.coalesce(ibis.null("string"), *[joined[FALLBACK_KEYS[name]] for name in fallback])
    key = ibis.cases(
        *[(joined["scope"] == scope, joined[column]) for scope, column in SCOPES.items()],
        else_=key,
    )
    reason = ibis.cases(
        (joined["retracts"].notnull() & key.isnull(), "unknown_feedback_id"),
        (key.isnull(), "no_key"),
        (joined["ts"].isnull() & ~joined["scope"].isin(list(SCOPES)).fill_null(False), "no_clock"),
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
        # By way of DOUBLE, or Spark would return the smaller type that its literals have.
        n_candidates=choose(3, "float64", ibis.literal(0.0)).cast("int64"),
        reason=choose(4, "string", reason),
        retracted="retracted",
        chosen_request_id=_side(joined, "chosen_id", sides),
        rejected_request_id=_side(joined, "rejected_id", sides),
        __ts="ts",
        __version="model_version",
        __retracts="retracts",
        __unnamed=joined["request_id"].isnull() & ~joined["is_preference"],
    )
    decided = _follow_retracted(keep(decided))
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
        chosen_request_id="chosen_request_id",
        rejected_request_id="rejected_request_id",
    )


def _side(joined: ir.Table, name: str, sides: ir.IntegerValue) -> ir.StringValue:
    """The inference on one side of a preference of which both sides are known."""
    known = joined["is_preference"] & (sides == 1)
    return ibis.ifelse(known, joined[f"{name}__inference"], ibis.null("string"))
