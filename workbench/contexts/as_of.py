"""The latest fact at or before the inference's time, by key, no older than a tolerance."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from workbench.contexts import ContextJoin, JoinSpec, age_column, reason_column
from workbench.formulas import seconds_between


def _as_of(inferences: ir.Table, facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """Join by counting groups: portable, where ASOF is not, and exact about ties.

    Inferences and facts are laid into one sequence per key by time, facts first at equal times.
    Each row's group is the number of facts up to it, so a group holds one fact and the inferences
    that follow it.
    """
    assert spec.time is not None
    keys = [key for _, key in spec.keys]
    ts = inferences["ts"]
    left = inferences.select(
        *[inferences[column].cast("string").name(key) for column, key in spec.keys],
        __t=ts,
        __row=inferences["row_id"],
        __fact=ibis.null("int64"),
    )
    right = facts.select(
        *keys,
        __t=facts[spec.time].cast(ts.type()),
        __row=ibis.null("int64"),
        __fact=facts[spec.order].cast("int64"),
    )
    line = left.filter(left["__t"].notnull(), *[left[key].notnull() for key in keys]).union(
        right, distinct=False
    )
    ordered = ibis.window(
        group_by=keys,
        order_by=[line["__t"], line["__fact"].isnull(), line["__fact"]],
        preceding=None,
        following=0,
    )
    line = line.mutate(__group=line["__fact"].count().over(ordered))
    group = ibis.window(group_by=[*keys, "__group"])
    line = line.mutate(
        __found=line["__fact"].max().over(group),
        __since=ibis.ifelse(line["__fact"].notnull(), line["__t"], ibis.null(ts.type()))
        .max()
        .over(group),
        __any=line["__fact"].count().over(ibis.window(group_by=keys)) > 0,
    )
    hits = line.filter(line["__row"].notnull()).select(
        __hit=line["__row"],
        __found=line["__found"],
        __since=line["__since"],
        __any=line["__any"],
    )
    joined = inferences.left_join(hits, inferences["row_id"] == hits["__hit"])
    age = seconds_between(joined["ts"], joined["__since"])
    fresh = joined["__found"].notnull()
    if spec.tolerance is not None:
        fresh = fresh & (
            joined["__since"]
            >= joined["ts"]
            - ibis.interval(microseconds=int(spec.tolerance.total_seconds() * 1_000_000))
        )
    joined = joined.mutate(
        __take=ibis.ifelse(fresh, joined["__found"], ibis.null("int64")),
        __age=ibis.ifelse(fresh, age, ibis.null("float64")),
    )
    packed = facts.select(
        __order=facts[spec.order].cast("int64"),
        **{spec.name: ibis.struct({name: facts[name] for name in spec.facts})},
    )
    taken = joined.left_join(packed, joined["__take"] == packed["__order"])
    has_key = ibis.and_(*[taken[column].notnull() for column, _ in spec.keys])
    reason = ibis.cases(
        (taken["__take"].notnull(), ibis.null("string")),
        (~has_key, "no_key"),
        (taken["ts"].isnull(), "no_clock"),
        (taken["__found"].notnull(), "too_old"),
        (taken["__any"].fill_null(False), "not_yet_known"),
        else_="no_match",
    )
    return taken.mutate(
        **{age_column(spec.name): taken["__age"], reason_column(spec.name): reason}
    ).drop("__hit", "__found", "__since", "__any", "__take", "__age", "__order")


context_join = ContextJoin(join=_as_of)
