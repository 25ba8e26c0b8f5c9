"""What followed the inference inside of a horizon, in numbers: the one join that looks forward.

An inference whose horizon has not ended when the build's knowledge ends is not *mature*: its
numbers are NULL and ``mature`` is false, which is not the same as "nothing happened".

An event counts from its time on, ends of the horizon included, and not if it was recorded after the
build's ``as_of``. Of no event ``any`` is false, ``count`` and ``sum`` are 0, all else is NULL.

With ``credit``, an event that several inferences have in their horizon counts for the last of them
(last touch; of equal times the greatest ``request_id``) or for each in equal shares (linear). The
shares of an event add up to 1. The last one may be an inference that is not mature yet.

Two rows that are alike in every column of the source are one event. There is no time at which all
was known: a leak audit calls the context ``forward``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import ibis
import ibis.expr.types as ir

from workbench import point_in_time
from workbench.contexts import (
    KNOWN_AT,
    ContextJoin,
    JoinSpec,
    Option,
    Reach,
    age_column,
    available,
    has_key,
    keyed,
    known_column,
    reason_column,
    span,
)
from workbench.contexts._aggregates import FUNCTIONS, aggregate, check, column, columns, of_none
from workbench.formulas import whole_seconds


def _within(inferences: ir.Table, facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """Facts with a time from that of the inference to the end of its horizon, ends included."""
    aggregates, horizon = spec.options["aggregates"], spec.options["horizon"]
    check(aggregates, facts, spec.name, taken=("mature",))
    time = inferences["ts"].type()
    now = ibis.null(time) if spec.as_of is None else spec.as_of
    if isinstance(now, datetime):
        now = ibis.timestamp(now.astimezone(UTC).isoformat())
    now = now.cast(time)
    pairs = _pairs(inferences, facts, spec, now)
    weight = pairs["__share"] if spec.options.get("credit") == "linear" else None
    found = aggregate(pairs, aggregates, weight=weight)
    joined = inferences.left_join(found, inferences["row_id"] == found["__row"])
    known = has_key(joined, spec) & joined["ts"].notnull() & now.notnull()
    # Spark keeps a field that is never NULL as such, even in a struct that is NULL.
    ended = joined["ts"] <= (now - span(horizon)).cast(time)
    mature = ended.fill_null(False)
    fields = {
        name: ibis.ifelse(mature, value, ibis.null(value.type()))
        for name, value in of_none(joined, aggregates).items()
    }
    struct = ibis.struct({"mature": ended, **fields})
    reason = ibis.cases(
        (~has_key(joined, spec), "no_key"),
        (~known, "no_clock"),
        (~mature, "not_mature"),
        (joined["__pairs"].isnull(), "no_event"),
        else_=ibis.null("string"),
    )
    return joined.mutate(
        **{
            spec.name: ibis.ifelse(known, struct, ibis.null(struct.type())),
            age_column(spec.name): ibis.null("float64"),
            reason_column(spec.name): reason,
            known_column(spec.name): ibis.null(time),
        }
    ).drop("__row", "__pairs", *map(column, aggregates))


def _pairs(
    inferences: ir.Table, facts: ir.Table, spec: JoinSpec, now: ir.TimestampScalar
) -> ir.Table:
    """Each inference with each fact in its horizon that is known by now and credited to it."""
    time = inferences["ts"].type()
    keys = [key for _, key in spec.keys]
    touch = inferences["request_id" if "request_id" in inferences.columns else "row_id"]
    rows = keyed(inferences, spec, __touch=touch)
    rows = rows.filter(rows["__t"].notnull(), *[rows[key].notnull() for key in keys])
    since = available(facts, spec).cast(time)
    events = facts.filter((since <= now).fill_null(False))
    events = events.select(
        *[events[key].name(f"__k_{key}") for key in keys],
        *[name for name in columns(spec.options["aggregates"], facts) if name not in keys],
        __at=events[spec.times["ts"]].cast(time),
        __order=events[spec.order].cast("int64"),
    )
    credit = spec.options.get("credit", "all")
    pairs = _latest(rows, events, keys) if credit == "last" else _near(rows, events, keys, spec)
    pairs = pairs.filter(
        pairs["__at"] >= pairs["__t"], pairs["__at"] <= pairs["__t"] + span(spec.options["horizon"])
    )
    if credit != "linear":
        return pairs
    sharing = pairs.count().over(ibis.window(group_by="__order"))
    return pairs.mutate(__share=1.0 / sharing.cast("float64"))


def _latest(rows: ir.Table, events: ir.Table, keys: Sequence[str]) -> ir.Table:
    """Each fact with the latest inference of its key before it, however long before."""
    order = [rows[name] for name in ("__t", "__touch", "__row")]
    nth = ibis.row_number().over(ibis.window(group_by=keys, order_by=order))
    rows = rows.mutate(__nth=nth.cast("int64"))
    found = point_in_time.latest(
        events.select(**{key: events[f"__k_{key}"] for key in keys}, __row="__order", __t="__at"),
        rows.select(*keys, "__t", __rank="__nth"),
        keys=keys,
    ).rename(__of="__row")
    credited = events.inner_join(found, events["__order"] == found["__of"])
    return rows.inner_join(
        credited,
        [rows["__nth"] == credited["__found"], *[rows[k] == credited[f"__k_{k}"] for k in keys]],
    )


def _near(rows: ir.Table, events: ir.Table, keys: Sequence[str], spec: JoinSpec) -> ir.Table:
    """Each inference with the facts around its horizon.

    Time is cut into pieces at least as long as the horizon, and only facts of an inference's own
    piece and the next are looked at: a busy key is not joined to all of its facts. Facts, of which
    there are fewer as a rule, are laid into their own piece and the one before.
    """
    seconds = max(1, math.ceil(spec.options["horizon"].total_seconds()))
    rows = rows.mutate(__piece=_piece(rows["__t"], seconds))
    events = events.mutate(__of=_piece(events["__at"], seconds))
    events = events.union(events.mutate(__of=events["__of"] - 1), distinct=False)
    return rows.inner_join(
        events,
        [rows["__piece"] == events["__of"], *[rows[k] == events[f"__k_{k}"] for k in keys]],
    )


def _piece(time: ir.TimestampValue, seconds: int) -> ir.IntegerValue:
    """Number of the piece of time, so many seconds long, in which `time` is."""
    return (whole_seconds(time) / float(seconds)).floor().cast("int64")


def _reach(facts: ir.Table, spec: JoinSpec) -> Reach:
    """From the horizon before an event up to it."""
    at = facts[spec.times["ts"]]
    return Reach(start=at - span(spec.options["horizon"]), end=at)


def _shares(spec: JoinSpec) -> timedelta | None:
    """A horizon, where an event is credited to some of the inferences that have it in theirs."""
    whole = spec.options.get("credit", "all") == "all"
    return None if whole else spec.options["horizon"]


context_join = ContextJoin(
    join=_within,
    options=(
        Option(name="ts", kind="time", required=True, meaning="column of the time of an event"),
        KNOWN_AT,
        Option(
            name="horizon",
            kind="duration",
            required=True,
            meaning="how long after an inference an event still counts, end included",
        ),
        Option(
            name="aggregates",
            kind="aggregates",
            required=True,
            choices=FUNCTIONS,
            meaning='numbers to compute, `{ converted = "any", revenue = "sum(amount)" }`',
        ),
        Option(
            name="credit",
            kind="choice",
            choices=("all", "last", "linear"),
            default="all",
            meaning="whether an event counts for every inference, for the last one before it, or "
            "for each in equal shares",
        ),
    ),
    columns="none",
    forward=True,
    reach=_reach,
    horizon=lambda spec: spec.options["horizon"],
    shares=_shares,
)
