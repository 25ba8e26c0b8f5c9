"""The fact that was valid at the inference's time: from ``valid_from`` up to, not at, ``valid_to``.

Profiles with a validity (SCD2), incidents, holidays. A fact without ``valid_to``, or with one from
the year 2100 on, is still valid. Without ``on`` the facts are everybody's.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from workbench import point_in_time
from workbench.contexts import (
    KNOWN_AT,
    ContextJoin,
    JoinSpec,
    Option,
    available,
    has_key,
    keyed,
    with_found,
)


def _interval(inferences: ir.Table, facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """Join to segments: between two neighbouring ends of intervals one fact wins throughout."""
    keys = [key for _, key in spec.keys]
    rows = keyed(inferences, spec)
    segments = _segments(facts, spec)
    found = point_in_time.latest(rows, segments.select(*keys, "__t", __rank="__segment"), keys=keys)
    winners = segments.select("__segment", __winner="__rank")
    found = found.left_join(winners, found["__found"] == winners["__segment"]).select(
        "__row", __found="__winner"
    )
    found = found.mutate(__began=ibis.literal(True))
    theirs = facts.select(**{f"__k_{key}": facts[key] for key in keys}, __any=ibis.literal(True))
    theirs = theirs.distinct()
    same = [rows[key] == theirs[f"__k_{key}"] for key in keys] or [ibis.literal(True)]
    asked = rows.inner_join(theirs, same).select("__row", "__any").left_join(found, "__row")

    def reason(t: ir.Table) -> ir.StringValue:
        return ibis.cases(
            (~has_key(t, spec), "no_key"),
            (t["ts"].isnull(), "no_clock"),
            (t["__began"].notnull(), "not_valid"),
            (t["__any"].notnull(), "not_yet_known"),
            else_="no_match",
        )

    return with_found(
        inferences,
        asked.select("__row", "__any", "__began", "__found"),
        facts,
        spec,
        reason=reason,
        since=facts[spec.times["valid_from"]],
        known=available(facts, spec, "valid_from"),
    )


def _covers(facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """Each start or end of an interval with every fact that is valid from there on."""
    keys = [key for _, key in spec.keys]
    start = available(facts, spec, "valid_from")
    until = spec.times.get("valid_to")
    end = ibis.null(start.type()) if until is None else facts[until].cast(start.type())
    spans = facts.select(*keys, __from=start, __to=end, __rank=facts[spec.order].cast("int64"))
    # What was recorded after its end was never known while it was valid.
    spans = spans.filter(spans["__to"].isnull() | (spans["__from"] < spans["__to"]))
    starts = spans.select(*keys, __t="__from")
    ends = spans.filter(spans["__to"].notnull()).select(*keys, __t="__to")
    bounds = starts.union(ends, distinct=True)
    held = spans.rename({f"__k_{key}": key for key in keys})
    return bounds.left_join(
        held,
        [
            *[bounds[key] == held[f"__k_{key}"] for key in keys],
            bounds["__t"] >= held["__from"],
            held["__to"].isnull() | (bounds["__t"] < held["__to"]),
        ],
    )


def _segments(facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """Keys, ``__t`` (start), ``__segment`` (in the order of time) and ``__rank`` of the winner."""
    keys = [key for _, key in spec.keys]
    winners = _covers(facts, spec)
    winners = winners.group_by([*keys, "__t"]).agg(__rank=winners["__rank"].max())
    order = ibis.window(order_by=["__t", *keys])
    return winners.mutate(__segment=ibis.row_number().over(order))


def _overlapping(facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """Facts of a key that are valid at the same time: ``__n`` of them from ``__t`` on."""
    keys = [key for _, key in spec.keys]
    covers = _covers(facts, spec)
    counted = covers.group_by([*keys, "__t"]).agg(__n=covers["__rank"].count())
    return counted.filter(counted["__n"] > 1)


def _refuse(facts: ir.Table, spec: JoinSpec) -> ir.Table | None:
    if spec.options.get("overlap") != "error":
        return None
    keys = [key for _, key in spec.keys]
    several = _overlapping(facts, spec)
    shown = several["__t"].cast("string")
    for key in keys:
        shown = several[key].concat(" at ", shown)
    return several.select(key=shown, n="__n")


def _figures(facts: ir.Table, spec: JoinSpec) -> ir.Table:
    several = _overlapping(facts, spec)
    return several.agg(overlaps=several.count())


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
)
