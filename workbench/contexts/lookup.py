"""Facts by key, whatever the time of the inference."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from workbench.contexts import (
    KNOWN_AT,
    ContextJoin,
    JoinSpec,
    Option,
    Reach,
    has_key,
    keyed,
    with_found,
)

_SEVERAL = ("error", "null", "first")


def _lookup(inferences: ir.Table, facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """The fact of the key, unless it was recorded after the inference.

    Where a key has several facts, ``first`` takes the one of least order that was known, ``null``
    none of them.
    """
    keys = [key for _, key in spec.keys]
    rows = keyed(inferences, spec)
    recorded = spec.times.get("known_at")
    candidates = facts.select(
        **{f"__k_{key}": facts[key] for key in keys},
        __order=facts[spec.order].cast("int64"),
        __recorded=ibis.null(rows["__t"].type())
        if recorded is None
        else facts[recorded].cast(rows["__t"].type()),
    )
    pairs = rows.inner_join(candidates, [rows[key] == candidates[f"__k_{key}"] for key in keys])
    # A fact that does not say when it was recorded is taken as known from ever.
    usable = pairs["__recorded"].isnull() | (pairs["__recorded"] <= pairs["__t"])
    usable = usable.fill_null(False)
    found = pairs.group_by("__row").agg(
        __n=usable.cast("int64").sum().cast("int64"),
        __found=pairs["__order"].min(where=usable),
    )
    if spec.options.get("several") == "null":
        found = found.mutate(
            __found=ibis.ifelse(found["__n"] > 1, ibis.null("int64"), found["__found"])
        )

    def reason(t: ir.Table) -> ir.StringValue:
        return ibis.cases(
            (~has_key(t, spec), "no_key"),
            ((t["__n"] > 1).fill_null(False), "several_matches"),
            (t["__n"].notnull() & t["ts"].isnull(), "no_clock"),
            (t["__n"].notnull(), "not_yet_known"),
            else_="no_match",
        )

    return with_found(
        inferences,
        found,
        facts,
        spec,
        reason=reason,
        since=None if recorded is None else facts[recorded],
        known=None if recorded is None else facts[recorded],
    )


def _refuse(facts: ir.Table, spec: JoinSpec) -> ir.Table | None:
    """Keys with several facts, where that is an error."""
    if spec.options.get("several", "error") != "error":
        return None
    keys = [key for _, key in spec.keys]
    counted = facts.group_by(keys).agg(n=facts.count())
    shown = counted[keys[0]]
    for key in keys[1:]:
        shown = shown.concat(", ", counted[key])
    return counted.filter(counted["n"] > 1).select(key=shown, n="n")


def _reach(_facts: ir.Table, _spec: JoinSpec) -> Reach:
    """Every inference of the key."""
    return Reach()


context_join = ContextJoin(
    join=_lookup,
    options=(
        Option(
            name="several",
            kind="choice",
            choices=_SEVERAL,
            default="error",
            meaning="what several different facts of one key mean: `error` fails the build, "
            "`null` takes none, `first` takes the first by `known_at`, then by content",
        ),
        KNOWN_AT,
    ),
    refuse=_refuse,
    reach=_reach,
)
