"""The latest fact at or before the inference's time, as it was known then."""

from __future__ import annotations

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
    span,
    with_keys,
    with_taken,
)


def _as_of(inferences: ir.Table, facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """Of the facts that hold and are known at an inference's time, that of the latest ``ts``.

    Facts are placed at the time from which they could be used. The order of facts grows with
    ``ts``, so the greatest order up to there is the latest fact, even where it was recorded before
    an earlier one.
    """
    keys = {f"__k_{key}": facts[key] for _, key in spec.keys}
    time = inferences["ts"].type()
    since = facts[spec.times["ts"]]
    known = available(facts, spec)
    placed = facts.select(**keys, __at=known.cast(time), __order=facts[spec.order].cast("int64"))
    rows, placed, on = point_in_time.numbered(with_keys(inferences, spec), placed, list(keys))
    # Of several facts at one time the greatest is the latest.
    placed = placed.filter(placed["__at"].notnull()).group_by([*on, "__at"])
    placed = placed.agg(__found=lambda t: t["__order"].max())
    if "known_at" in spec.times:
        before = ibis.window(group_by=on, order_by="__at", preceding=None, following=0)
        placed = placed.mutate(__found=placed["__found"].max().over(before))
    found = point_in_time.with_latest(rows, placed, on).drop("__row", "__t", "__at")
    tolerance = spec.options.get("tolerance")

    def usable(t: ir.Table) -> ir.BooleanValue:
        return (
            ibis.literal(True) if tolerance is None else t["__since"] >= t["ts"] - span(tolerance)
        )

    def reason(t: ir.Table) -> ir.StringValue:
        return ibis.cases(
            (~has_key(t, spec), "no_key"),
            (t["ts"].isnull(), "no_clock"),
            (t["__found"].notnull(), "too_old"),
            (t["__any"], "not_yet_known"),
            else_="no_match",
        )

    return with_taken(
        found, facts, spec, reason=reason, usable=usable, since=since, known=known
    ).drop("__any")


def _reach(facts: ir.Table, spec: JoinSpec) -> Reach:
    """From when a fact could be used until it is too old, and those that had no usable fact."""
    tolerance = spec.options.get("tolerance")
    end = None if tolerance is None else facts[spec.times["ts"]] + span(tolerance)
    return Reach(
        start=available(facts, spec), end=end, reasons=("no_match", "not_yet_known", "too_old")
    )


context_join = ContextJoin(
    join=_as_of,
    options=(
        Option(
            name="ts",
            kind="time",
            required=True,
            meaning="column of the time from which a fact holds",
        ),
        KNOWN_AT,
        Option(name="tolerance", kind="duration", meaning="greatest age of a fact; any if absent"),
    ),
    reach=_reach,
)
