"""From signals to rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ibis
import ibis.expr.types as ir

from workbench.formulas import canonical
from workbench.project import Signal


def effective_kind(events: ir.Table, signals: Mapping[str, Signal]) -> ir.StringValue:
    """Kind of each event: as configured for its name, else its own, else by what it carries."""
    configured = [
        (events["name"] == name, ibis.literal(signal.kind)) for name, signal in signals.items()
    ]
    carried = ibis.cases(
        (events["corrected_output"].notnull(), "correction"),
        (events["chosen_id"].notnull() | events["rejected_id"].notnull(), "preference"),
        else_=ibis.null("string"),
    )
    # A retraction is no signal: it takes one back.
    retraction = (events["retracts"].notnull(), ibis.null("string"))
    return ibis.cases(retraction, *configured, else_=ibis.coalesce(events["kind"], carried))


def number(text: ir.StringValue) -> ir.FloatingValue:
    """A signal's value as a finite number; NULL where it is none."""
    bare = canonical(text)
    # Engines also read 1_000, 0x1F and 1e400; none of them is a value that was sent.
    written = bare.re_search(r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$")
    value = ibis.ifelse(written, bare, ibis.null("string")).try_cast("float64")
    return ibis.ifelse(value.isnan() | (value.abs() == float("inf")), ibis.null("float64"), value)


def signal_reward(events: ir.Table, signals: Mapping[str, Signal]) -> ir.FloatingValue:
    """Reward of each event as far as it follows from the event alone.

    Parameters
    ----------
    events
        Events with ``name``, ``kind``, ``value``, ``retracts`` and ``positive``: whether the
        condition that is configured for the signal holds, NULL without one.
    signals
        The configured signals.

    Returns
    -------
    ir.FloatingValue
        Binary and implicit: 0 or 1. Rating: (v - lo) / (hi - lo). NULL for other kinds, and where
        the value lies outside of its signal's scale or kind.
    """
    value = canonical(events["value"])
    flag = ibis.cases((value == "1", 1.0), (value == "0", 0.0), else_=ibis.null("float64"))
    by_condition = events["positive"].cast("float64")
    cases = []
    for name, signal in signals.items():
        mine = events["name"] == name
        if signal.positive is not None and signal.kind in ("binary", "implicit"):
            cases.append((mine, by_condition))
        elif signal.kind == "rating" and signal.scale is not None:
            low, high = signal.scale
            v = number(events["value"])
            scaled = (v - low) / (high - low)
            cases.append((mine, ibis.ifelse(v.between(low, high), scaled, ibis.null("float64"))))
        elif signal.kind not in ("binary", "implicit"):
            cases.append((mine, ibis.null("float64")))
    two_valued = events["kind"].isin(["binary", "implicit"]).fill_null(False)
    retraction = (events["retracts"].notnull(), ibis.null("float64"))
    return ibis.cases(retraction, *cases, (two_valued, flag), else_=ibis.null("float64"))


def bad_value(
    events: ir.Table, signals: Mapping[str, Signal], classes: Sequence[str]
) -> ir.BooleanValue:
    """Whether an event's value lies outside of its signal's scale or kind.

    Parameters
    ----------
    events
        Events with ``name``, ``kind``, ``value``, ``corrected_output``, ``retracts`` and
        ``reward`` as `signal_reward` gives it.
    signals
        The configured signals.
    classes
        The configured classes; a label outside of them is bad. Empty: any class.
    """
    rated = [name for name, signal in signals.items() if signal.kind == "rating"]
    scaled = events["kind"].isin(["binary", "implicit"]) | (
        (events["kind"] == "rating") & events["name"].isin(rated) if rated else ibis.literal(False)
    )
    labels = events["kind"] == "label"
    unknown = events["value"].isnull()
    if classes:
        known = [canonical(ibis.literal(name)) for name in classes]
        unknown = unknown | ~canonical(events["value"]).isin(known)
    uncorrected = (events["kind"] == "correction") & events["corrected_output"].isnull()
    bad = (scaled & events["reward"].isnull()) | (labels & unknown) | uncorrected
    return (bad & events["retracts"].isnull()).fill_null(False)


def rewarded(events: ir.Table, inferences: ir.Table) -> ir.Table:
    """Attributed events with their rewards.

    Parameters
    ----------
    events
        Events with ``feedback_id``, ``request_id`` (the inference that was found), ``kind``,
        ``value``, ``reward`` (`signal_reward`) and ``same_output`` (whether a correction equals
        the output; NULL for other kinds).
    inferences
        Inferences with ``request_id`` and ``prediction``.

    Returns
    -------
    ir.Table
        The events, ``reward`` completed, and ``class``: the class that a label event names.
    """
    facts = inferences.select(__id="request_id", __prediction="prediction")
    joined = events.left_join(facts, events["request_id"] == facts["__id"])
    named = ibis.ifelse(joined["kind"] == "label", canonical(joined["value"]), ibis.null("string"))
    hit = (named == canonical(joined["__prediction"])).cast("float64")
    reward = ibis.cases(
        (joined["kind"] == "label", hit),
        (joined["kind"] == "correction", joined["same_output"].cast("float64")),
        else_=joined["reward"],
    )
    return joined.mutate(reward=reward, **{"class": named}).drop("__id", "__prediction")


def judged(
    feedback: ir.Table, attribution: ir.Table, credits: ir.Table, same_output: ir.Table
) -> ir.Table:
    """Attributed events, once for each inference that they are credited to.

    Parameters
    ----------
    feedback, attribution, credits
        The relations of a build.
    same_output
        ``same_row`` (the ``row_id`` of a correction), ``same_request``, and ``same_output``.

    Returns
    -------
    ir.Table
        What `rewarded` takes, with ``weight``, ``retracted``, and ``main``: whether it is the
        inference that the event is attributed to.
    """
    needed = ("row_id", "feedback_id", "name", "kind", "value", "reward", "rater_id", "ts")
    found = attribution.filter(attribution["status"] == "attributed").select(
        "feedback_id", "retracted", __main="request_id"
    )
    events = feedback.select(*needed).inner_join(found, "feedback_id")
    shares = credits.rename(__credited="feedback_id")
    events = events.left_join(shares, events["feedback_id"] == shares["__credited"])
    # A preference credits nobody, and stays.
    events = events.mutate(
        main=(events["request_id"] == events["__main"]).fill_null(True),
        weight=events["weight"].fill_null(1.0),
    ).drop("__credited", "__main")
    return events.left_join(
        same_output,
        [
            events["row_id"] == same_output["same_row"],
            events["request_id"] == same_output["same_request"],
        ],
    ).drop("same_row", "same_request")
