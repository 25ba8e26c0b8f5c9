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
    keyed,
    span,
    with_found,
)


def _as_of(inferences: ir.Table, facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """Of the facts that hold and are known at an inference's time, that of the latest ``ts``.

    Facts are placed at the time from which they could be used. The order of facts grows with
    ``ts``, so the greatest order up to there is the latest fact, even where it was recorded before
    an earlier one.
    """
    keys = [key for _, key in spec.keys]
    rows = keyed(inferences, spec)
    known = available(facts, spec)
    placed = facts.select(*keys, __t=known, __rank=spec.order)
    found = point_in_time.latest(rows, placed, keys=keys, monotone="known_at" not in spec.times)
    theirs = facts.select(**{f"__k_{key}": facts[key] for key in keys}).distinct()
    theirs = theirs.mutate(__any=ibis.literal(True))
    asked = rows.inner_join(theirs, [rows[key] == theirs[f"__k_{key}"] for key in keys])
    asked = asked.select("__row", "__any").left_join(found, "__row")
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
            (t["__any"].notnull(), "not_yet_known"),
            else_="no_match",
        )

    return with_found(
        inferences,
        asked.select("__row", "__any", "__found"),
        facts,
        spec,
        reason=reason,
        usable=usable,
        since=facts[spec.times["ts"]],
        known=known,
    )


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
