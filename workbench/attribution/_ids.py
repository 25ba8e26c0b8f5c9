"""Ids that events name: an inference's own, or one that the table of aliases leads to."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

_NAMED = ("request_id", "chosen_id", "rejected_id")


def identified(events: ir.Table, inferences: ir.Table, aliases: ir.Table | None) -> ir.Table:
    """What the ids of each event lead to.

    An id that is an inference's own is never looked up among the aliases. A target of an alias
    that is no inference but a trace stands for that trace; a target that is neither is not known.

    Parameters
    ----------
    events
        Events with ``request_id``, ``chosen_id`` and ``rejected_id``.
    inferences
        Inferences with ``request_id`` and ``trace_id``.
    aliases
        Rows of ``alias`` and ``request_id``, which may repeat; None where there are none.

    Returns
    -------
    ir.Table
        The events, and for each id NAME: ``NAME__own``, whether it is an inference's own;
        ``NAME__n``, how many known targets it has; ``NAME__n_inferences``, how many of those are
        inferences; ``NAME__inference`` and ``NAME__trace``, one of each.
    """
    targets = None if aliases is None else _targets(aliases, inferences)
    for name in _NAMED:
        events = _identified(events, inferences, targets, name)
    return events


def by_id(events: ir.Table, inferences: ir.Table, aliases: ir.Table | None) -> ir.Table:
    """`identified`, for ``request_id`` only."""
    targets = None if aliases is None else _targets(aliases, inferences)
    return _identified(events, inferences, targets, "request_id")


def of_traces(events: ir.Table, inferences: ir.Table, aliases: ir.Table) -> ir.Table:
    """The events that name nothing but one trace, by an alias, with that ``trace_id``."""
    targets = _targets(aliases, inferences)
    targets = targets.filter(targets["__n"] == 1, targets["__n_inferences"] == 0)
    named = events.filter((events["kind"] != "preference").fill_null(True))
    named = named.anti_join(inferences, named["request_id"] == inferences["request_id"])
    named = named.inner_join(targets, named["request_id"] == targets["__alias"])
    return named.select("feedback_id", "ts", trace_id="__trace")


def _identified(
    events: ir.Table, inferences: ir.Table, targets: ir.Table | None, name: str
) -> ir.Table:
    # Names of its own for each id, or the next join could not tell the columns apart.
    mine = f"__own_{name}"
    own = inferences.select(**{mine: inferences["request_id"]})
    joined = events.left_join(own, events[name] == own[mine])
    known = joined[mine].notnull()
    if targets is None:
        found = {
            "n": known.cast("int64"),
            "n_inferences": known.cast("int64"),
            "inference": joined[mine],
            "trace": ibis.null("string"),
        }
    else:
        targets = targets.rename({f"__alias_{name}": "__alias"})
        joined = joined.left_join(targets, joined[name] == targets[f"__alias_{name}"])
        known = joined[mine].notnull()
        found = {
            "n": ibis.ifelse(known, 1, joined["__n"].fill_null(0)),
            "n_inferences": ibis.ifelse(known, 1, joined["__n_inferences"].fill_null(0)),
            "inference": ibis.ifelse(known, joined[mine], joined["__inference"]),
            "trace": ibis.ifelse(known, ibis.null("string"), joined["__trace"]),
        }
    return joined.select(
        *events.columns,
        **{f"{name}__own": known},
        **{f"{name}__{part}": value for part, value in found.items()},
    )


def _targets(aliases: ir.Table, inferences: ir.Table) -> ir.Table:
    """The known targets of each alias: how many, and which."""
    pairs = aliases.select(__alias="alias", __target="request_id").distinct()
    own = inferences.select(__own="request_id")
    traces = (
        inferences.filter(inferences["trace_id"].notnull()).select(__trace="trace_id").distinct()
    )
    pairs = pairs.left_join(own, pairs["__target"] == own["__own"])
    pairs = pairs.left_join(traces, pairs["__target"] == traces["__trace"])
    pairs = pairs.mutate(
        __trace=ibis.ifelse(pairs["__own"].isnull(), pairs["__trace"], ibis.null("string"))
    )
    known = pairs.filter(pairs["__own"].notnull() | pairs["__trace"].notnull())
    return known.group_by("__alias").agg(
        __n=known.count(),
        __n_inferences=known["__own"].count(),
        __inference=known["__own"].max(),
        __trace=known["__trace"].max(),
    )
