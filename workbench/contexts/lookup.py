"""Facts by key, whatever the time: at most one row per key."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from workbench.contexts import ContextJoin, JoinSpec, age_column, reason_column


def _lookup(inferences: ir.Table, facts: ir.Table, spec: JoinSpec) -> ir.Table:
    packed = facts.select(
        *[facts[key].name(f"__r_{key}") for _, key in spec.keys],
        **{spec.name: ibis.struct({name: facts[name] for name in spec.facts})},
    ).mutate(__found=ibis.literal(True))
    left = [column for column, _ in spec.keys]
    joined = inferences.left_join(
        packed,
        [inferences[column].cast("string") == packed[f"__r_{key}"] for column, key in spec.keys],
    )
    has_key = ibis.and_(*[joined[column].notnull() for column in left])
    found = joined["__found"].fill_null(False)
    return joined.mutate(
        **{
            age_column(spec.name): ibis.null("float64"),
            reason_column(spec.name): ibis.cases(
                (found, ibis.null("string")), (~has_key, "no_key"), else_="no_match"
            ),
        }
    ).drop("__found", *[f"__r_{key}" for _, key in spec.keys])


context_join = ContextJoin(join=_lookup, unique=True)
