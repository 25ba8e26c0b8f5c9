"""What had happened before the inference: the last ``k`` events, or those of the last ``span``.

An event counts from the time at which it could be used, the later of ``ts`` and ``known_at``, and
only where that lies strictly before the inference. Of the events from ``span`` before the inference
on, the start included, the last ``k`` are taken. ``aggregates`` are numbers over them; ``columns``
gives the list ``events``: structs of ``ts`` and the columns, oldest first. Where nothing happened,
counts are 0 and the list is empty. The work grows with the events that are taken: where a key has
many, give ``k`` beside ``span``.

With ``from = "inferences"`` an inference is an event from the time of its answer on, which is
``ts`` plus ``latency_ms``. All columns of the log can be used.

With ``from = "feedback"`` the events are those that judge one inference; what judges a session or
a trace as a whole is left out, because which answer it is about depends on what followed. An event
counts from when it was received, and not before the inference that it judges: never for that one
itself. It counts until its retraction was received. The columns are those of the event, with its
``reward``, ``positive`` (a reward from 0.5 on) and ``negative``; where it does not say, or the
column is of inferences only, those of the inference that it judges.

``mean_vector(column)`` is the mean of lists of numbers, place by place, as of the embeddings of the
items that a user saw last; NULL where the lists differ in length.
"""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from workbench import point_in_time
from workbench.contexts import (
    KNOWN_AT,
    Before,
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
    with_keys,
)
from workbench.contexts._aggregates import (
    FUNCTIONS,
    aggregate,
    check,
    column,
    columns,
    of_none,
    of_one,
)
from workbench.contexts._vectors import MEAN_VECTOR, check_vectors, mean_vectors
from workbench.errors import ConfigError
from workbench.formulas import seconds_between
from workbench.project import Context

#: Functions of which a window over many events is quick.
_FRAMED = frozenset({"any", "count", "sum", "mean", "min", "max"})
#: Field of the list.
EVENTS = "events"
#: Greatest number of events of one inference; more are a sequence model's input, not a context.
MOST = 1_000


def _history(inferences: ir.Table, facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """Number the facts of each key; an inference's history is a range of numbers."""
    aggregates = spec.options.get("aggregates") or ()
    check(aggregates, facts, spec.name, taken=(EVENTS,) if spec.facts else ())
    check_vectors(aggregates, facts, spec.name)
    if any(name.lower() == "ts" for name in spec.facts):
        raise ConfigError(
            f"[context.{spec.name}] columns: {EVENTS} have the time of each event as ts already.",
            "Leave out ts, or give it another name in the context's sql.",
        )
    if _framed(spec):
        return _finished(_with_frames(inferences, facts, spec), inferences, spec)
    vectors = [a for a in aggregates if a.function == MEAN_VECTOR]
    numbers = [a for a in aggregates if a.function != MEAN_VECTOR]
    pairs = _pairs(inferences, facts, spec)
    struct = ibis.struct(
        {
            "number": pairs["__order"],
            "ts": pairs["__at"],
            **{name: pairs[name] for name in spec.facts},
        }
    )
    listed = {"__listed": struct.collect()} if spec.facts else {}
    times = pairs.group_by("__row").agg(
        __newest=pairs["__at"].max(), __known=pairs["__known"].max(), **listed
    )
    joined = inferences.left_join(times, inferences["row_id"] == times["__row"]).drop("__row")
    for found in (aggregate(pairs, numbers), mean_vectors(pairs, vectors)):
        if found is not None:
            joined = joined.left_join(found, joined["row_id"] == found["__row"]).drop("__row")
    return _finished(joined, inferences, spec)


def _finished(joined: ir.Table, inferences: ir.Table, spec: JoinSpec) -> ir.Table:
    """The columns of a context out of its aggregates, ``__newest``, ``__known`` and ``__pairs``."""
    aggregates = spec.options.get("aggregates") or ()
    values = of_none(joined, aggregates)
    fields = {a.name: values[a.name] for a in aggregates}
    asked = has_key(joined, spec) & joined["ts"].notnull()
    if spec.facts:
        listed_events = _sorted(joined["__listed"], spec.facts)
        # Some engines hold a list that is never NULL to that, even in a struct that is.
        fields[EVENTS] = ibis.ifelse(asked, listed_events, ibis.null(listed_events.type()))
    result = ibis.struct(fields)
    reason = ibis.cases(
        (~has_key(joined, spec), "no_key"),
        (joined["ts"].isnull(), "no_clock"),
        (joined["__pairs"].isnull(), "no_event"),
        else_=ibis.null("string"),
    )
    own = {
        spec.name: ibis.ifelse(asked, result, ibis.null(result.type())),
        age_column(spec.name): seconds_between(joined["ts"], joined["__newest"]),
        reason_column(spec.name): reason,
        known_column(spec.name): joined["__known"],
    }
    kept = [name for name in inferences.columns if name not in own]
    return joined.mutate(**own).select(*kept, *own)


def _framed(spec: JoinSpec) -> bool:
    """Whether an event's last ``k`` are the same for all who ask, and quick to add up.

    They are not where a span begins at each inference's own time, or where events are withdrawn.
    """
    wanted = {a.function for a in spec.options.get("aggregates") or ()}
    k = spec.options.get("k")
    return (
        k is not None
        and not spec.facts
        and spec.options.get("span") is None
        and "until" not in spec.times
        and wanted <= _FRAMED
    )


def _with_frames(inferences: ir.Table, facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """The aggregates of each event with the ``k - 1`` before it, for the inferences after it."""
    aggregates = spec.options["aggregates"]
    keys = {f"__k_{key}": facts[key] for _, key in spec.keys}
    time = inferences["ts"].type()
    # What is at or before a time is found; an event counts strictly after it was known.
    tick = ibis.interval(microseconds=1)
    events = facts.select(
        *columns(aggregates, facts),
        **keys,
        __since=facts[spec.times["ts"]].cast(time),
        __known=available(facts, spec).cast(time),
        __order=facts[spec.order].cast("int64"),
    )
    rows, events, on = point_in_time.numbered(with_keys(inferences, spec), events, list(keys))
    # What has no time has no place, however late it was recorded.
    events = events.filter(events["__since"].notnull())
    events = events.rename(__at="__since")
    order = [events["__known"], events["__order"]]
    frame = ibis.window(group_by=on, order_by=order, preceding=spec.options["k"] - 1, following=0)
    next_known = events["__known"].lead().over(ibis.window(group_by=on, order_by=order))
    framed = events.select(
        *on,
        "__known",
        __pairs=events.count().over(frame),
        __newest=events["__at"].max().over(frame),
        __next=next_known,
        **{column(a): of_one(events, a).over(frame) for a in aggregates},
    )
    # Of several that became known at one time, the last one has the others before it.
    framed = framed.filter(framed["__next"].isnull() | (framed["__next"] > framed["__known"]))
    framed = framed.mutate(__at=(framed["__known"] + tick).cast(time)).drop("__next")
    return point_in_time.with_latest(rows, framed, on)


def _pairs(inferences: ir.Table, facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """Each inference with each fact of its history."""
    keys = [key for _, key in spec.keys]
    time = inferences["ts"].type()
    taken = dict.fromkeys([*spec.facts, *columns(spec.options.get("aggregates") or (), facts)])
    until = facts[spec.times["until"]].cast(time) if "until" in spec.times else ibis.null(time)
    events = facts.select(
        *[facts[key].name(f"__k_{key}") for key in keys],
        *taken,
        __at=facts[spec.times["ts"]].cast(time),
        __known=available(facts, spec).cast(time),
        __until=until,
        __order=facts[spec.order].cast("int64"),
    )
    # What has no time has no place, however late it was recorded.
    events = events.filter(
        events["__at"].notnull(), *[events[f"__k_{key}"].notnull() for key in keys]
    )
    order = ibis.window(group_by=[f"__k_{key}" for key in keys], order_by=["__known", "__order"])
    events = events.mutate(__n=ibis.row_number().over(order).cast("int64") + 1)
    rows = _ranges(keyed(inferences, spec), events, spec)
    wanted = rows.select(
        *keys, "__row", "__t", __wanted=ibis.range(rows["__low"] + 1, rows["__high"] + 1).unnest()
    )
    pairs = wanted.inner_join(
        events,
        [
            wanted["__wanted"] == events["__n"],
            *[wanted[key] == events[f"__k_{key}"] for key in keys],
        ],
    )
    return pairs.filter(pairs["__until"].isnull() | (pairs["__until"] > pairs["__t"]))


def _ranges(rows: ir.Table, events: ir.Table, spec: JoinSpec) -> ir.Table:
    """`rows` that have a history, from number ``__low`` (not included) to ``__high``."""
    keys = [key for _, key in spec.keys]
    time = rows["__t"].type()
    # What is at or before a time is found; an event counts strictly after it was known.
    tick = ibis.interval(microseconds=1)
    placed = events.select(
        **{key: events[f"__k_{key}"] for key in keys},
        __t=(events["__known"] + tick).cast(time),
        __rank=events["__n"],
    )
    rows = rows.select(*keys, "__row", "__t")
    high = point_in_time.latest(rows, placed, keys=keys)
    found = rows.inner_join(high.select(__high="__found", __of="__row"), [("__row", "__of")])
    found = found.drop("__of")
    low = ibis.literal(0, "int64")
    within = spec.options.get("span")
    if within is not None:
        begins = rows.mutate(__t=(rows["__t"] - span(within)).cast(time))
        before = point_in_time.latest(begins, placed, keys=keys)
        before = before.select(__before="__found", __of="__row")
        found = found.left_join(before, [("__row", "__of")]).drop("__of")
        low = found["__before"].fill_null(0)
    k = spec.options.get("k")
    if k is not None:
        low = ibis.greatest(low, found["__high"] - k)
    found = found.mutate(__low=low.cast("int64"))
    return found.filter(found["__high"] > found["__low"])


def _sorted(listed: ir.ArrayValue, names: Sequence[str]) -> ir.ArrayValue:
    """The list of events in the order of their numbers, without them; empty for none."""
    in_order = listed.sort().map(
        lambda event: ibis.struct({name: event[name] for name in ("ts", *names)})
    )
    return ibis.coalesce(in_order, ibis.literal([], type=in_order.type()))


def _problems(context: Context) -> list[str]:
    """What settings do not go together, each as one sentence."""
    options = context.options
    problems = []
    if options.get("k") is None and options.get("span") is None:
        problems.append("needs k, span, or both: k = 20 takes the last 20 events.")
    if (options.get("k") or 0) > MOST:
        problems.append(f"k = {options['k']} is more than {MOST:,}. Take fewer, or aggregate them.")
    if not options.get("aggregates") and not context.columns:
        problems.append('needs aggregates, columns, or both: aggregates = { n = "count" }.')
    return problems


def _reach(facts: ir.Table, spec: JoinSpec) -> Reach:
    """From when an event is known; with ``span`` until that has passed since."""
    since = available(facts, spec)
    within = spec.options.get("span")
    return Reach(start=since, end=None if within is None else since + span(within))


context_join = ContextJoin(
    join=_history,
    options=(
        Option(name="ts", kind="time", required=True, meaning="column of the time of an event"),
        KNOWN_AT,
        Option(name="k", kind="count", meaning=f"how many events at most, up to {MOST:,}"),
        Option(
            name="span",
            kind="duration",
            meaning="how long before an inference an event still counts, start included",
        ),
        Option(
            name="aggregates",
            kind="aggregates",
            choices=(
                *(name for name in FUNCTIONS if name != "time_to_first"),
                "mean_vector(column)",
            ),
            meaning='numbers to compute, `{ n = "count", spent = "sum(amount)" }`',
        ),
    ),
    source="log",
    columns="none",
    problems=_problems,
    reach=_reach,
    before=lambda spec: Before(last=spec.options.get("k"), span=spec.options.get("span")),
)
