"""The order of the inferences of one session, user or trace, and an event's place in it."""

from __future__ import annotations

import math
from datetime import timedelta

import ibis
import ibis.expr.types as ir

from workbench.formulas import whole_seconds


def placed(inferences: ir.Table, key: str) -> ir.Table:
    """The inferences of each `key` in their order.

    By ``ts``, ``step``, those that called another one at that time before those that did not, and
    ``request_id``. What has no ``ts`` or no ``step`` comes before what has one.

    Returns
    -------
    ir.Table
        ``__key``, ``__id``, ``__ts``, ``__place`` (from 1); ``__is_call``, whether a model is
        named, and ``__place_of_kind``, the place among those of which that is the same;
        ``__indistinct``: several of these have that time, and neither their steps nor who called
        whom say which of them is the last.
    """
    pool = _pool(inferences, key)
    kind = ["__key", "__is_call"]
    called = pool.filter(pool["__caller"].notnull())
    called = called.select(
        __of="__key", __kind="__is_call", __at="__ts", __who="__caller"
    ).distinct()
    pool = pool.left_join(
        called,
        [
            pool["__key"] == called["__of"],
            pool["__id"] == called["__who"],
            pool["__is_call"] == called["__kind"],
            pool["__ts"].identical_to(called["__at"]),
        ],
    )
    pool = pool.mutate(__is_last=pool["__who"].isnull().cast("int8"))
    order = [
        ibis.asc(pool["__ts"], nulls_first=True),
        ibis.asc(pool["__step"], nulls_first=True),
        ibis.asc(pool["__is_last"]),
        ibis.asc(pool["__id"]),
    ]
    at_ts = ibis.window(group_by=[*kind, "__ts"])
    at_step = ibis.window(group_by=[*kind, "__ts", "__step"])
    pool = pool.mutate(
        __place=ibis.row_number().over(ibis.window(group_by="__key", order_by=order)) + 1,
        __place_of_kind=ibis.row_number().over(ibis.window(group_by=kind, order_by=order)) + 1,
        __n=pool["__id"].count().over(at_ts),
        __n_with_step=pool["__step"].count().over(at_ts),
        __n_at_step=pool["__id"].count().over(at_step),
        __n_last=pool["__is_last"].sum().cast("int64").over(at_step),
    )
    # Of those at one time only the last is looked at; its step is the greatest of them.
    some_steps = (pool["__n_with_step"] > 0) & (pool["__n_with_step"] < pool["__n"])
    same_step = (pool["__n_at_step"] > 1) & (pool["__n_last"] != 1)
    return pool.select(
        *("__key", "__id", "__ts", "__is_call", "__place", "__place_of_kind"),
        __indistinct=some_steps | same_step,
    )


def _pool(inferences: ir.Table, key: str) -> ir.Table:
    pool = inferences.filter(inferences[key].notnull())
    return pool.select(
        __key=pool[key],
        __id=pool["request_id"],
        __ts=pool["ts"],
        __step=pool["step"],
        __caller=pool["parent_id"],
        __is_call=pool["model"].notnull(),
    )


def latest(events: ir.Table, inferences: ir.Table, key: str, window: timedelta) -> ir.Table:
    """The latest inference of the same `key` at or before each event, within `window`.

    Returns
    -------
    ir.Table
        ``feedback_id``, ``request_id``, ``n_candidates``, and ``tied``: several have that latest
        time. Only events with a candidate.
    """
    asked = events.filter(events[key].notnull(), events["ts"].notnull())
    timed = inferences.filter(inferences["ts"].notnull())
    pool = _pool(_near(timed, asked, key, window), key)
    in_order = ibis.window(group_by="__key", order_by=["__ts", "__id"])
    pool = pool.mutate(
        __place=ibis.row_number().over(in_order) + 1,
        __n_at_ts=pool["__id"].count().over(ibis.window(group_by=["__key", "__ts"])),
    )
    found = _counted(asked, pool, key, window)
    found = found.mutate(__end=found["__upto"], __n=found["__upto"] - found["__before"])
    return _at_end(found, pool.mutate(tied=pool["__n_at_ts"] > 1))


def _near(timed: ir.Table, asked: ir.Table, key: str, window: timedelta) -> ir.Table:
    """The inferences that may lie in the window before an event of their key.

    Time is cut into pieces at least as long as the window, which lies in an event's own piece and
    the one before. All inferences of a piece are taken, so that those of one time stay together.
    """
    seconds = float(max(1, math.ceil(window.total_seconds())))

    def piece(table: ir.Table) -> ir.IntegerValue:
        return (whole_seconds(table["ts"]) / seconds).floor().cast("int64")

    own = asked.select(__of=asked[key], __asked=piece(asked))
    wanted = own.union(own.mutate(__asked=own["__asked"] - 1), distinct=True)
    placed = timed.mutate(__piece=piece(timed))
    near = placed.semi_join(
        wanted, [placed[key] == wanted["__of"], placed["__piece"] == wanted["__asked"]]
    )
    return near.drop("__piece")


def whole(events: ir.Table, inferences: ir.Table, key: str, *, all_to_last: bool) -> ir.Table:
    """The last step of what each event judges as a whole: a session or a trace up to the event.

    Without clocks, those of the event or those of all its steps, every step is one that it judges.

    Parameters
    ----------
    events, inferences, key
        As for `latest`.
    all_to_last
        Whether it matters which step is the last, so that one that cannot be told is ``tied``. It
        is the last one that names a model, where any does: what people saw was said by a model.

    Returns
    -------
    ir.Table
        As `latest`.
    """
    asked = events.filter(events[key].notnull())
    pool = placed(inferences.semi_join(asked, inferences[key] == asked[key]), key)
    found = _counted(asked, pool, key, None)
    clockless = found["__clockless"] | (found["__untimed"] == found["__all"])
    found = found.mutate(
        __end=ibis.ifelse(clockless, found["__all"], found["__upto"]),
        __n=ibis.ifelse(clockless, found["__all"], found["__upto"] - found["__untimed"]),
    )
    if not all_to_last:
        return _at_end(found, pool.mutate(tied=False))
    # A place among the calls of models is told from one among all by its sign.
    calls = ibis.ifelse(clockless, found["__all_calls"], found["__upto_calls"])
    found = found.mutate(__end=ibis.ifelse(calls > 0, -calls, found["__end"]))
    pool = pool.mutate(tied="__indistinct")
    of_models = pool.filter(pool["__is_call"])
    of_models = of_models.mutate(__place=-of_models["__place_of_kind"])
    return _at_end(found, pool.union(of_models.select(*pool.columns), distinct=False))


def _at_end(found: ir.Table, pool: ir.Table) -> ir.Table:
    """The inference at the place ``__end`` of each event that has ``__n`` > 0 candidates."""
    ends = pool.select("__place", "tied", __of="__key", request_id="__id")
    found = found.filter(found["__n"] > 0)
    hits = found.inner_join(
        ends, [found["__key"] == ends["__of"], found["__end"] == ends["__place"]]
    )
    return hits.select(
        "request_id", "tied", feedback_id="__event", n_candidates=hits["__n"].cast("int64")
    )


def _counted(asked: ir.Table, pool: ir.Table, key: str, window: timedelta | None) -> ir.Table:
    """How many inferences of its key there are up to each event, and before its window.

    Inferences and events are laid into one sequence per key by time and counted in one pass; no
    event is ever joined to all inferences of its key. What has no time comes first.

    Returns
    -------
    ir.Table
        ``__event``, ``__key``, ``__upto``, ``__before``; of its key ``__all`` and ``__untimed``,
        the number of all inferences and of those without a time; ``__upto_calls`` and
        ``__all_calls``, of those that name a model; ``__clockless``: the event itself has no time.
    """
    time = asked["ts"].type()
    line = pool.select(
        "__key",
        __t=pool["__ts"].cast(time),
        __order=ibis.literal(1, "int8"),
        __event=ibis.null("string"),
        __is_call="__is_call",
    ).union(_points(asked, key, asked["ts"], 2), distinct=False)
    if window is not None:
        span = ibis.interval(microseconds=int(window.total_seconds() * 1_000_000))
        opens = (asked["ts"] - span).cast(time)
        line = line.union(_points(asked, key, opens, 0), distinct=False)
    is_inference = ibis.ifelse(line["__order"] == 1, 1, ibis.null("int8"))
    is_untimed = ibis.ifelse(line["__t"].isnull(), is_inference, ibis.null("int8"))
    is_call = ibis.ifelse(line["__is_call"], is_inference, ibis.null("int8"))
    before = ibis.window(
        group_by="__key",
        order_by=[ibis.asc(line["__t"], nulls_first=True), line["__order"], line["__event"]],
        preceding=None,
        following=0,
    )
    of_key = ibis.window(group_by="__key")
    line = line.mutate(
        __n=is_inference.count().over(before),
        __all=is_inference.count().over(of_key),
        __untimed=is_untimed.count().over(of_key),
        __n_calls=is_call.count().over(before),
        __all_calls=is_call.count().over(of_key),
    )
    points = line.filter(line["__event"].notnull())
    return points.group_by("__event").agg(
        __key=points["__key"].max(),
        # One point each per event; a sum would be a HUGEINT.
        __upto=points["__n"].max(where=points["__order"] == 2),
        __before=points["__n"].max(where=points["__order"] == 0).fill_null(0),
        __all=points["__all"].max(),
        __untimed=points["__untimed"].max(),
        __upto_calls=points["__n_calls"].max(where=points["__order"] == 2),
        __all_calls=points["__all_calls"].max(),
        __clockless=points["__t"].max().isnull(),
    )


def _points(asked: ir.Table, key: str, time: ir.TimestampValue, order: int) -> ir.Table:
    """Where the events stand in the sequences of their keys."""
    return asked.select(
        __key=asked[key],
        __t=time,
        __order=ibis.literal(order, "int8"),
        __event=asked["feedback_id"],
        __is_call=ibis.literal(False),
    )
