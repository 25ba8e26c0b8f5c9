"""From several events to one label per inference."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import ibis
import ibis.expr.types as ir

from workbench.formulas import seconds_between


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
    rows = deciding(events, inferences, signals=signals, class_signals=class_signals)
    rows = _latest_per_rater(rows)
    classes = rows["class"].count().over(ibis.window(group_by="request_id"))
    # A thumb is no vote on the class: where classes are named, they alone are counted.
    found = rows.mutate(__side=_side_of(rows), __votes=rows["class"].notnull() | (classes == 0))
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
    rows = deciding(
        events,
        inferences,
        signals=signals,
        class_signals=class_signals,
        maturity=maturity,
        as_of=as_of,
    )
    return decided(rows, policy, rater_weights, other_weight)


def deciding(
    events: ir.Table,
    inferences: ir.Table | None = None,
    *,
    signals: Sequence[str] = (),
    class_signals: bool = False,
    maturity: timedelta = timedelta(0),
    as_of: ir.TimestampScalar | None = None,
) -> ir.Table:
    """The events that decide on labels, whatever the policy.

    Parameters
    ----------
    events, inferences
        As in `resolve`. Without `inferences`, the events have the time of theirs as ``__ts``.
    signals, class_signals, maturity, as_of
        As in `resolve`.

    Returns
    -------
    ir.Table
        Those events, with ``__delay`` in place of ``__ts``.
    """
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
    if inferences is not None:
        facts = inferences.select(__id="request_id", __ts="ts")
        usable = usable.inner_join(facts, usable["request_id"] == facts["__id"]).drop("__id")
    if maturity > timedelta(0):
        span = ibis.interval(microseconds=int(maturity.total_seconds() * 1_000_000))
        mature = ibis.literal(False) if as_of is None else usable["__ts"] + span <= as_of
        usable = usable.filter(mature.fill_null(False))
    return usable.mutate(__delay=seconds_between(usable["ts"], usable["__ts"])).drop("__ts")


def decided(
    deciding: ir.Table,
    policy: str,
    rater_weights: ir.Table | None = None,
    other_weight: float = 1.0,
    *,
    alone: bool = False,
    kept: Sequence[str] = (),
) -> ir.Table:
    """The labels that `deciding` events make.

    Parameters
    ----------
    deciding
        The result of `deciding`.
    policy, rater_weights, other_weight
        As in `resolve`.
    alone
        Whether no inference has several of them: then none is compared with another, which is most
        of the work.
    kept
        Columns that are the same in all events of an inference, to have beside its label.
    """
    if policy in ("latest_per_rater_then_mean", "rater_weighted") and not alone:
        deciding = _latest_per_rater(deciding)
    if policy == "rater_weighted":
        if rater_weights is None:
            raise ValueError("The policy rater_weighted needs rater_weights.")
        known = rater_weights
        deciding = deciding.left_join(known, deciding["rater_id"] == known["weighted_rater"])
        trust = deciding["rater_weight"].fill_null(other_weight)
        deciding = deciding.mutate(weight=deciding["weight"] * trust)
        deciding = deciding.drop("weighted_rater", "rater_weight")
        if not alone:
            # Such weights add up to another last digit in another order of the events.
            order = ibis.window(group_by="request_id", order_by=["ts", "feedback_id"])
            deciding = deciding.mutate(__place=ibis.row_number().over(order))
    summed = _summed_alone(deciding, kept) if alone else _summed(deciding, kept)
    return _chosen(summed, policy, kept)


def _latest_per_rater(deciding: ir.Table) -> ir.Table:
    rows = deciding.mutate(__rater=_rater_of(deciding))
    group = ("request_id", "__rater", "name")
    rest = [name for name in deciding.columns if name not in group]
    event = ibis.struct({name: rows[name] for name in rest})
    # To sort the events of each group, as a window does, takes longer.
    found = rows.group_by(*group).agg(__event=event.argmax(_newest(rows)))
    return found.select("request_id", "name", **{name: found["__event"][name] for name in rest})


def _rater_of(events: ir.Table) -> ir.StringValue:
    return ibis.coalesce(events["rater_id"], "event:" + events["feedback_id"])


def _newest(events: ir.Table, **first: ir.Value) -> ir.StructValue:
    """What is greatest in the latest event, in one value; one without a time is before all."""
    names = ("ts", "weight", "feedback_id")
    timed = {"timed": events["ts"].notnull()}
    return ibis.struct({**first, **timed, **{name: events[name] for name in names}})


def _weighted_mean(events: ir.Table) -> ir.FloatingScalar:
    rewarded = events["reward"].notnull()
    total = (events["weight"] * events["reward"]).sum(where=rewarded).cast("float64")
    # Where nobody's word counts there is no mean.
    return total / events["weight"].sum(where=rewarded).cast("float64").nullif(0.0)


def _side(reward: ir.FloatingValue) -> ir.StringValue:
    # A sum may come out a last digit lower in another order of its rows.
    return ibis.ifelse(reward >= 0.5 - 1e-12, "1", "0")


def _side_of(events: ir.Table) -> ir.StringValue:
    return ibis.coalesce(events["class"], _side(events["reward"]))


def _summed_alone(deciding: ir.Table, kept: Sequence[str]) -> ir.Table:
    """What `_summed` says of events none of which shares its inference with another."""
    weight = deciding["weight"].cast("float64")
    side = _side_of(deciding)
    return deciding.select(
        "request_id",
        *kept,
        n_feedback=ibis.literal(1, "int64"),
        n_raters=ibis.literal(1, "int64"),
        label_delay=deciding["__delay"],
        __classes=deciding["class"].notnull().cast("int64"),
        # In the steps of the mean of several, which are not exact.
        __mean=(deciding["weight"] * deciding["reward"]).cast("float64") / weight.nullif(0.0),
        __latest_reward=deciding["reward"],
        __latest_side=side,
        __mode=side,
        __ties=ibis.literal(1, "int64"),
        __pairs=ibis.literal(0, "int64"),
        __most=weight,
    )


def _summed(deciding: ir.Table, kept: Sequence[str]) -> ir.Table:
    """What the policies make labels of, an inference a row."""
    deciding = deciding.mutate(__side=_side_of(deciding))
    named = deciding["class"].notnull()
    sides = deciding.group_by("request_id", "__side").agg(
        __n=deciding.count(),
        __named=named.sum(),
        __all=deciding["weight"].sum().cast("float64"),
        __of_named=ibis.ifelse(named, deciding["weight"], 0.0).sum().cast("float64"),
    )
    # A thumb is no vote on the class: where classes are named, they alone are counted.
    classes = sides["__named"].sum() > 0
    best = sides.group_by("request_id").agg(
        __by_class=classes,
        __most=ibis.ifelse(classes, sides["__of_named"].max(), sides["__all"].max()),
        __pairs=(sides["__n"] * (sides["__n"] - 1)).sum(),
    )
    winners = sides.inner_join(best, "request_id")
    votes = ibis.ifelse(winners["__by_class"], winners["__of_named"], winners["__all"])
    # Equal sums of shares may differ in the last digit.
    winners = winners.filter(votes >= winners["__most"] * (1.0 - 1e-12))
    winners = winners.group_by("request_id").agg(
        __mode=winners["__side"].min(),
        __ties=winners.count(),
        __pairs=winners["__pairs"].max(),
        __most=winners["__most"].max(),
    )
    summary = deciding.group_by("request_id").agg(
        n_feedback=deciding.count(),
        n_raters=_rater_of(deciding).nunique(),
        label_delay=deciding["__delay"].max(),
        __classes=deciding["class"].count(),
        __mean=_weighted_mean(deciding),
        __latest=ibis.struct({"reward": deciding["reward"], "side": deciding["__side"]}).argmax(
            _newest(deciding, named=named)
        ),
        **{name: deciding[name].max() for name in kept},
    )
    summary = summary.mutate(
        **{f"__latest_{name}": summary["__latest"][name] for name in ("reward", "side")}
    )
    return summary.inner_join(winners, "request_id")


def _chosen(joined: ir.Table, policy: str, kept: Sequence[str]) -> ir.Table:
    """The labels of a policy, of what `_summed` says."""
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
        *kept,
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
