"""The steps of agents: the calls of each trace with what each was credited with."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

#: Inference columns that a step keeps.
KEPT = (
    "row_id",
    "trace_id",
    "request_id",
    "parent_id",
    "ts",
    "model_version",
    "model",
    "latency_ms",
    "cost",
    "input_tokens",
    "output_tokens",
)


def steps(inferences: ir.Table, credited: ir.Table, whole: ir.Table, labels: ir.Table) -> ir.Table:
    """The inferences that have a trace, each with its place in it and what it was credited with.

    Parameters
    ----------
    inferences
        Inferences, one row per ``request_id``, with `KEPT` and ``step``.
    credited
        Events that have a reward and were not withdrawn, in one row per inference that they are
        credited to: ``request_id``, ``weight``, ``reward``.
    whole
        Those of them that judge a trace as a whole, once each: ``request_id`` of one of its
        inferences, ``reward``.
    labels
        The result of `workbench.labels.resolve`.

    Returns
    -------
    ir.Table
        The columns of the contract's ``enriched_steps`` that are not wide, and ``row_id``.
    """
    mine = inferences.filter(inferences["trace_id"].notnull()).select(*KEPT, __step="step")
    order = [
        ibis.asc(mine["ts"], nulls_first=True),
        ibis.asc(mine["__step"], nulls_first=True),
        ibis.asc(mine["request_id"]),
    ]
    place = ibis.row_number().over(ibis.window(group_by="trace_id", order_by=order))
    mine = mine.mutate(
        step=ibis.coalesce(mine["__step"].cast("int64"), place.cast("int64")),
        n_steps=mine.count().over(ibis.window(group_by="trace_id")).cast("int64"),
    ).drop("__step")
    shares = credited.group_by(__credited="request_id").agg(
        credit=credited["weight"].sum().cast("float64"),
        credited_reward=(credited["weight"] * credited["reward"]).sum().cast("float64"),
    )
    traces = inferences.select(__id="request_id", __trace="trace_id")
    judged = whole.select(__judged="request_id", __reward="reward")
    judged = judged.inner_join(traces, judged["__judged"] == traces["__id"])
    outcomes = judged.group_by("__trace").agg(outcome=judged["__reward"].mean())
    named = labels.select("label", __labelled="request_id")
    joined = mine.left_join(shares, mine["request_id"] == shares["__credited"])
    joined = joined.left_join(outcomes, joined["trace_id"] == outcomes["__trace"])
    joined = joined.left_join(named, joined["request_id"] == named["__labelled"])
    return joined.select(
        *KEPT,
        "step",
        "n_steps",
        "outcome",
        "credited_reward",
        "label",
        credit=joined["credit"].fill_null(0.0),
    )
