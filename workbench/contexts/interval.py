"""The fact that was valid at the inference's time: from ``valid_from`` up to, not at, ``valid_to``.

Profiles with a validity (SCD2), incidents, holidays. A fact without ``valid_to``, or with one from
the year 2100 on, is still valid. Without ``on`` the facts are everybody's.
"""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from workbench import point_in_time
from workbench.contexts import (
    KNOWN_AT,
    ContextJoin,
    JoinSpec,
    Option,
    Reach,
    available,
    has_key,
    keyed,
    with_found,
)

#: Later than any time.
_NEVER = "9999-12-31T00:00:00"


def _interval(inferences: ir.Table, facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """Join to segments: between two neighbouring ends of intervals one fact wins throughout."""
    keys = [key for _, key in spec.keys]
    rows = keyed(inferences, spec)
    segments = _segments(facts, spec)
    starts = segments.select(*keys, "__t", __rank="__segment", __winner="__rank")
    found = point_in_time.latest(rows, starts, keys=keys, distinct=True, taken=["__winner"])
    found = found.select("__row", __found="__winner")
    known = available(facts, spec, "valid_from")
    first = facts.mutate(__known=known).group_by(keys) if keys else facts.mutate(__known=known)
    theirs = first.agg(__first=lambda t: t["__known"].min(), __facts=lambda t: t.count())
    theirs = theirs.filter(theirs["__facts"] > 0).rename({f"__k_{key}": key for key in keys})
    same = [rows[key] == theirs[f"__k_{key}"] for key in keys] or [ibis.literal(True)]
    asked = rows.inner_join(theirs, same).select("__row", "__first").left_join(found, "__row")

    def reason(t: ir.Table) -> ir.StringValue:
        return ibis.cases(
            (~has_key(t, spec), "no_key"),
            (t["ts"].isnull(), "no_clock"),
            ((t["__first"] <= t["ts"]).fill_null(False), "not_valid"),
            (t["__first"].notnull(), "not_yet_known"),
            else_="no_match",
        )

    return with_found(
        inferences,
        asked.select("__row", "__first", "__found"),
        facts,
        spec,
        reason=reason,
        since=facts[spec.times["valid_from"]],
        known=known,
    )


def _covers(facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """Each start or end of a fact with every fact that is valid and known from there on.

    Facts that overlap, one with the next, share a number ``__run``, and only those of a run are
    compared: facts that follow each other are not joined to all others of their key.
    """
    keys = [key for _, key in spec.keys]
    start = available(facts, spec, "valid_from")
    until = spec.times.get("valid_to")
    end = ibis.null(start.type()) if until is None else facts[until].cast(start.type())
    held = facts.select(*keys, __from=start, __to=end, __rank=facts[spec.order].cast("int64"))
    # What was recorded after its end was never known while it was valid.
    held = held.filter(held["__to"].isnull() | (held["__from"] < held["__to"]))
    held = held.mutate(__until=ibis.coalesce(held["__to"], _never(start)))
    order = [held["__from"], held["__rank"]]
    before = ibis.window(group_by=keys, order_by=order, preceding=(None, 1))
    reached = held["__until"].max().over(before)
    held = held.mutate(__new=(held["__from"] < reached).fill_null(False).ifelse(0, 1))
    so_far = ibis.window(group_by=keys, order_by=order, preceding=None, following=0)
    held = held.mutate(__run=held["__new"].sum().over(so_far).cast("int64"))
    starts = held.select(*keys, "__run", __t="__from")
    ends = held.filter(held["__to"].notnull()).select(*keys, "__run", __t="__to")
    bounds = starts.union(ends, distinct=True)
    held = held.select("__rank", "__from", "__until", __r="__run", **_named(held, keys))
    return bounds.left_join(
        held,
        [
            *[bounds[key] == held[f"__k_{key}"] for key in keys],
            bounds["__run"] == held["__r"],
            bounds["__t"] >= held["__from"],
            bounds["__t"] < held["__until"],
        ],
    )


def _named(table: ir.Table, keys: Sequence[str]) -> dict[str, ir.Value]:
    return {f"__k_{key}": table[key] for key in keys}


def _segments(facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """Keys, ``__t`` (start), ``__segment`` (in the order of time) and ``__rank`` of the winner."""
    keys = [key for _, key in spec.keys]
    winners = _covers(facts, spec)
    winners = winners.group_by([*keys, "__t"]).agg(__rank=winners["__rank"].max())
    order = ibis.window(order_by=["__t", *keys])
    return winners.mutate(__segment=ibis.row_number().over(order))


def _overlapping(facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """Facts that are valid together with another one of their key: ``__rank``, keys, ``__t``."""
    keys = [key for _, key in spec.keys]
    covers = _covers(facts, spec).filter(lambda t: t["__rank"].notnull())
    together = covers["__rank"].count().over(ibis.window(group_by=[*keys, "__t"]))
    covers = covers.mutate(__n=together)
    return covers.filter(covers["__n"] > 1)


def _refuse(facts: ir.Table, spec: JoinSpec) -> ir.Table | None:
    if spec.options.get("overlap") != "error":
        return None
    keys = [key for _, key in spec.keys]
    several = _overlapping(facts, spec)
    several = several.group_by([*keys, "__t"]).agg(__n=several["__n"].max())
    shown = several["__t"].cast("string")
    for key in keys:
        shown = several[key].concat(" at ", shown)
    return several.select(key=shown, n="__n")


def _figures(facts: ir.Table, spec: JoinSpec) -> ir.Table:
    several = _overlapping(facts, spec)
    return several.agg(overlapping=several["__rank"].nunique().cast("int64"))


def _reach(facts: ir.Table, spec: JoinSpec) -> Reach:
    """While a fact is valid, and those for which none was."""
    until = spec.times.get("valid_to")
    start = available(facts, spec, "valid_from")
    end = None if until is None else ibis.coalesce(facts[until].cast(start.type()), _never(start))
    return Reach(start=start, end=end, reasons=("no_match", "not_yet_known", "not_valid"))


def _never(time: ir.TimestampValue) -> ir.TimestampScalar:
    return ibis.timestamp(_NEVER).cast(time.type())


context_join = ContextJoin(
    join=_interval,
    options=(
        Option(
            name="valid_from",
            kind="time",
            required=True,
            meaning="column of the time from which a fact is valid",
        ),
        Option(
            name="valid_to",
            kind="time",
            after="valid_from",
            meaning="column of the time from which it is valid no more; empty or from 2100 on: "
            "still valid",
        ),
        KNOWN_AT,
        Option(
            name="overlap",
            kind="choice",
            choices=("latest", "error"),
            default="latest",
            meaning="which of several valid facts is taken: that of the latest `valid_from`, or "
            "none of them and the build fails; `status` counts the overlaps",
        ),
    ),
    keys="optional",
    refuse=_refuse,
    figures=_figures,
    reach=_reach,
)
