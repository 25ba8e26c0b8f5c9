"""From signals to rewards, and from several events to one label per inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import ibis
import ibis.expr.types as ir

from workbench.formulas import canonical, seconds_between
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


def votes(
    events: ir.Table,
    inferences: ir.Table,
    *,
    signals: Sequence[str] = (),
    class_signals: bool = False,
) -> ir.Table:
    """What each rater says last of each inference under each deciding signal.

    Parameters
    ----------
    events, inferences, signals, class_signals
        As in `resolve`.

    Returns
    -------
    ir.Table
        ``request_id``, ``rater_id``, ``name`` and ``side``: the class that is named, else '1' or
        '0' by the reward. Where classes are named of an inference, they alone are votes; an event
        without a rater is none.
    """
    deciding = _deciding(events, inferences, signals, class_signals, timedelta(0), None)
    found = _sided(_latest_per_rater(deciding))
    kept = found.filter(found["__votes"], found["rater_id"].notnull())
    return kept.select("request_id", "rater_id", "name", side=kept["__side"])


def resolve(
    events: ir.Table,
    inferences: ir.Table,
    *,
    policy: str,
    signals: Sequence[str] = (),
    class_signals: bool = False,
    maturity: timedelta = timedelta(0),
    as_of: ir.TimestampScalar | None = None,
    rater_weights: ir.Table | None = None,
    other_weight: float = 1.0,
) -> ir.Table:
    """One label per inference with at least one attributed, mature, deciding event.

    Parameters
    ----------
    events
        The result of `rewarded`, with ``retracted``, ``rater_id``, ``name``, ``ts`` and
        ``weight``: the share of the event that its inference gets, above 0. An event is in as many
        rows as it is credited to inferences.
    inferences
        Inferences with ``request_id`` and ``ts``.
    policy
        ``latest``: the latest event decides, of several at that time the heaviest. ``mean``: the
        mean reward of all events. ``majority``: the side that most events take.
        ``latest_per_rater_then_mean``: as mean, over the latest event of each rater and signal; an
        event without a rater is its own rater. ``rater_weighted``: the same, where the events of a
        rater count as much as `rater_weights` says. A class is decided by ``latest``, else by the
        mode. Means and votes are weighted.
    signals
        Names of the deciding signals; when empty, those of kind label if there are any, else all
        that have a reward.
    class_signals
        Whether signals of kind label are configured: then they decide even before the first of
        them has come, and the first one does not change what every other label means.
    maturity
        Age from which on an inference counts, measured to `as_of`.
    as_of
        Time to which maturity is measured; None without clocks.
    rater_weights
        ``weighted_rater`` and ``rater_weight``, from 0 on, for the policy ``rater_weighted``.
    other_weight
        Weight of a rater who is not in it, and of an event without a rater.

    Returns
    -------
    ir.Table
        The columns of the contract's ``labels``.
    """
    deciding = _deciding(events, inferences, signals, class_signals, maturity, as_of)
    if policy in ("latest_per_rater_then_mean", "rater_weighted"):
        deciding = _latest_per_rater(deciding)
    if policy == "rater_weighted":
        if rater_weights is None:
            raise ValueError("The policy rater_weighted needs rater_weights.")
        known = rater_weights
        deciding = deciding.left_join(known, deciding["rater_id"] == known["weighted_rater"])
        trust = deciding["rater_weight"].fill_null(other_weight)
        deciding = deciding.mutate(weight=deciding["weight"] * trust)
        deciding = deciding.drop("weighted_rater", "rater_weight")
    deciding = _sided(deciding)
    order = [ibis.desc(deciding["__votes"]), *_newest(deciding)]
    group = ibis.window(group_by="request_id", order_by=order)
    deciding = deciding.mutate(__latest=ibis.row_number().over(group) == 0)
    return _aggregate(deciding, policy)


def _latest_per_rater(deciding: ir.Table) -> ir.Table:
    rater = ibis.coalesce(deciding["rater_id"], "event:" + deciding["feedback_id"])
    group = ibis.window(group_by=["request_id", rater, "name"], order_by=_newest(deciding))
    deciding = deciding.mutate(__rank=ibis.row_number().over(group))
    return deciding.filter(deciding["__rank"] == 0).drop("__rank")


def _sided(deciding: ir.Table) -> ir.Table:
    of_inference = ibis.window(group_by="request_id")
    return deciding.mutate(
        __side=ibis.coalesce(deciding["class"], _side(deciding["reward"])),
        # A thumb is no vote on the class: where classes are named, they alone are counted.
        __votes=deciding["class"].notnull() | (deciding["class"].count().over(of_inference) == 0),
    )


def _newest(events: ir.Table) -> list[ir.Value]:
    return [
        ibis.desc(events["ts"], nulls_first=False),
        ibis.desc(events["weight"]),
        ibis.desc(events["feedback_id"]),
    ]


def _weighted_mean(events: ir.Table) -> ir.FloatingScalar:
    rewarded = events["reward"].notnull()
    total = (events["weight"] * events["reward"]).sum(where=rewarded).cast("float64")
    # Where nobody's word counts there is no mean.
    return total / events["weight"].sum(where=rewarded).cast("float64").nullif(0.0)


def _side(reward: ir.FloatingValue) -> ir.StringValue:
    # A sum may come out a last digit lower in another order of its rows.
    return ibis.ifelse(reward >= 0.5 - 1e-12, "1", "0")


def _deciding(
    events: ir.Table,
    inferences: ir.Table,
    signals: Sequence[str],
    class_signals: bool,
    maturity: timedelta,
    as_of: ir.TimestampScalar | None,
) -> ir.Table:
    usable = events.filter(
        events["request_id"].notnull(),
        ~events["retracted"],
        events["reward"].notnull() | events["class"].notnull(),
    )
    if signals:
        usable = usable.filter(usable["name"].isin(list(signals)))
    else:
        classes = usable["kind"] == "label"
        any_class = (
            ibis.literal(True) if class_signals else classes.any().as_scalar().fill_null(False)
        )
        usable = usable.filter(classes | ~any_class)
    facts = inferences.select(__id="request_id", __ts="ts")
    joined = usable.inner_join(facts, usable["request_id"] == facts["__id"])
    if maturity > timedelta(0):
        span = ibis.interval(microseconds=int(maturity.total_seconds() * 1_000_000))
        mature = ibis.literal(False) if as_of is None else joined["__ts"] + span <= as_of
        joined = joined.filter(mature.fill_null(False))
    return joined.mutate(__delay=seconds_between(joined["ts"], joined["__ts"])).drop("__id", "__ts")


def _aggregate(deciding: ir.Table, policy: str) -> ir.Table:
    rater = ibis.coalesce(deciding["rater_id"], "event:" + deciding["feedback_id"])
    sides = deciding.group_by("request_id", "__side").agg(
        __n=deciding.count(),
        __votes=ibis.ifelse(deciding["__votes"], deciding["weight"], 0.0).sum().cast("float64"),
    )
    best = sides.group_by("request_id").agg(
        __most=sides["__votes"].max(), __pairs=(sides["__n"] * (sides["__n"] - 1)).sum()
    )
    winners = sides.inner_join(best, "request_id")
    # Equal sums of shares may differ in the last digit.
    winners = winners.filter(winners["__votes"] >= winners["__most"] * (1.0 - 1e-12))
    winners = winners.group_by("request_id").agg(
        __mode=winners["__side"].min(),
        __ties=winners.count(),
        __pairs=winners["__pairs"].max(),
        __most=winners["__most"].max(),
    )
    latest = deciding["__latest"]
    summary = deciding.group_by("request_id").agg(
        n_feedback=deciding.count(),
        n_raters=rater.nunique(),
        label_delay=deciding["__delay"].max(),
        __classes=deciding["class"].count(),
        __mean=_weighted_mean(deciding),
        __latest_reward=deciding["reward"].max(where=latest),
        __latest_side=deciding["__side"].max(where=latest),
    )
    joined = summary.inner_join(winners, "request_id")
    tie = joined["__ties"] > 1
    by_class = joined["__classes"] > 0
    if policy == "latest":
        side, reward, undecided = (
            joined["__latest_side"], joined["__latest_reward"], ibis.literal(False)
        )  # fmt: skip
    elif policy == "majority":
        side, undecided = joined["__mode"], tie
        reward = ibis.ifelse(
            by_class,
            joined["__mean"],
            ibis.ifelse(tie, ibis.null("float64"), (joined["__mode"] == "1").cast("float64")),
        )
    else:
        reward = joined["__mean"]
        side = ibis.ifelse(by_class, joined["__mode"], _side(reward))
        undecided = by_class & tie
    reason = ibis.ifelse(undecided, "tie", ibis.null("string"))
    if policy == "rater_weighted":
        nobody = joined["__most"] <= 0.0
        undecided = undecided | nobody
        reason = ibis.ifelse(nobody, "no_weight", reason)
    n = joined["n_feedback"].cast("float64")
    return joined.select(
        "request_id",
        label=ibis.ifelse(undecided, ibis.null("string"), side),
        label_reason=reason,
        kind=ibis.ifelse(by_class, "label", "reward"),
        reward=reward,
        n_feedback="n_feedback",
        n_raters="n_raters",
        agreement=ibis.ifelse(
            n > 1, joined["__pairs"].cast("float64") / (n * (n - 1)), ibis.null("float64")
        ),
        label_delay="label_delay",
    )
