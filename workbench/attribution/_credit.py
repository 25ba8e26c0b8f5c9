"""How an event that judges a whole session or trace is shared out over its inferences."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from workbench.attribution._order import placed

#: Rules by which an event is credited.
RULES = ("last", "uniform", "discounted")
#: Scopes that are wider than one inference, with the column that holds their key.
SCOPES = {"session": "session_id", "conversation": "session_id", "trace": "trace_id"}
# A share as small as this moves no mean, and the smallest doubles lose their digits.
_LEAST_SHARE = 1e-100


def credits(
    attribution: ir.Table,
    events: ir.Table,
    inferences: ir.Table,
    *,
    rule: str = "last",
    discount: float = 0.9,
) -> ir.Table:
    """How events are credited to inferences.

    Parameters
    ----------
    attribution
        The result of `workbench.attribution.attribute` under the same `rule`.
    events
        The events, with ``feedback_id``, ``scope`` and ``retracts``.
    inferences
        The inferences, with `workbench.attribution.INFERENCE_COLUMNS`.
    rule
        ``last``: an event is credited to the one inference that was found, of a session or trace
        to the last call of a model. For events that judge a session, conversation or trace,
        ``uniform``: to its n inferences up to the event alike, 1/n each; ``discounted``: to them in
        proportion to ``discount ** k``, where k counts the inferences that come after (0 for the
        last). All other events credit one inference.
    discount
        0 < discount <= 1.

    Returns
    -------
    ir.Table
        ``feedback_id``, ``request_id``, ``weight``; weights add up to 1 per attributed event. A
        preference credits neither side. Shares below 1e-100 are left out.

    Notes
    -----
    The discounted rule is the return of reinforcement learning, in which a reward that comes k
    steps later counts ``discount ** k`` (Sutton and Barto 2018, section 3.3), normalised.
    """
    credited = attribution.filter(
        attribution["status"] == "attributed", attribution["request_id"].notnull()
    )
    alone = credited.select("feedback_id", "request_id", weight=_whole())
    if rule == "last":
        return alone
    scopes = events.select(__event="feedback_id", __scope="scope", __retracts="retracts")
    joined = credited.left_join(scopes, credited["feedback_id"] == scopes["__event"])
    in_session = joined["__scope"].isin([s for s, key in SCOPES.items() if key == "session_id"])
    key = ibis.cases(
        (joined["__retracts"].notnull(), ""),
        (joined["method"] == "trace", "trace_id"),
        ((joined["method"] == "session") & in_session.fill_null(False), "session_id"),
        else_="",
    )
    joined = joined.mutate(__spread=key)
    result = joined.filter(joined["__spread"] == "")
    result = result.select("feedback_id", "request_id", weight=_whole())
    for column in ("session_id", "trace_id"):
        mine = joined.filter(joined["__spread"] == column)
        result = result.union(_spread(mine, inferences, column, rule, discount), distinct=False)
    return result


def _whole() -> ir.FloatingScalar:
    # Cast from text: the literal 1.0 would be a DECIMAL in DuckDB.
    return ibis.literal("1").cast("float64")


def _spread(
    events: ir.Table, inferences: ir.Table, key: str, rule: str, discount: float
) -> ir.Table:
    """Share each event out over the ``n_candidates`` inferences that end with the one found."""
    places = placed(inferences, key)
    found = events.select("feedback_id", "n_candidates", __found="request_id")
    ends = places.select(__of="__key", __last="__id", __end="__place")
    ends = found.inner_join(ends, found["__found"] == ends["__last"])
    places = places.select("__key", "__id", "__place")
    shares = ends.inner_join(
        places,
        [
            ends["__of"] == places["__key"],
            places["__place"] <= ends["__end"],
            places["__place"] > ends["__end"] - ends["n_candidates"],
        ],
    )
    if rule == "uniform":
        weight = 1.0 / shares["n_candidates"].cast("float64")
        return shares.select("feedback_id", request_id="__id", weight=weight)
    later = (shares["__end"] - shares["__place"]).cast("float64")
    shares = shares.mutate(__share=ibis.literal(discount, "float64") ** later)
    whole = shares["__share"].sum().cast("float64").over(ibis.window(group_by="feedback_id"))
    shares = shares.select("feedback_id", request_id="__id", weight=shares["__share"] / whole)
    return shares.filter(shares["weight"] >= _LEAST_SHARE)
