"""How far the members of an ensemble differ about one prediction."""

from __future__ import annotations

from collections.abc import Callable

import ibis
import ibis.expr.types as ir

from workbench.formulas._uncertainty import entropy_of, is_distribution
from workbench.formulas._values import null


def _let(value: ir.Value, body: Callable[[ir.Value], ir.Value]) -> ir.Value:
    """`body` of `value`, which is worked out once: what a lambda captures is, for each element."""
    return ibis.array([value]).map(body)[0]


def _comparable(members: ir.ArrayValue) -> ir.BooleanValue:
    """Whether all members are distributions over the same number of classes."""
    bad = members.filter(lambda m: m.isnull() | ~is_distribution(m))
    sizes = members.map(lambda m: m.length())
    return (bad.length() == 0) & (sizes.mins() == sizes.maxs())


def mutual_information(ensemble: ir.ArrayValue) -> ir.FloatingValue:
    """Mutual information of prediction and member in nats (BALD); large = the members disagree.

    The part of the uncertainty that more data could remove (Houlsby et al. 2011): the entropy of
    the mean prediction less the mean entropy of the predictions. Members that are unsure in the
    same way give 0. Equal to scikit-activeml's ``average_kl_divergence``.

    Parameters
    ----------
    ensemble
        Class probabilities of each member. NULL where there is no member, where members have
        different numbers of classes, or where one is no distribution; see `least_confidence`.

    Returns
    -------
    FloatingValue
        ``H(mean of p_m) - mean of H(p_m)``; 0 for one member.
    """
    members = ensemble.cast("array<array<float64>>")
    # An index beyond the end of a list is an error in some engines, even where the result is not
    # used: members that cannot be compared are taken out before.
    usable = _let(_comparable(members), lambda ok: members.filter(lambda _: ok))

    def gained(kept: ir.ArrayValue) -> ir.FloatingValue:
        classes = ibis.range(0, kept.map(lambda m: m.length()).maxs())
        mean = classes.map(lambda k: kept.map(lambda m: m[k]).means())
        return entropy_of(mean) - kept.map(entropy_of).means()

    # It is negative by rounding only; the greatest of NULL and 0 would be 0.
    return _let(_let(usable, gained), lambda nats: (nats < 0.0).ifelse(0.0, nats))


def _votes(
    ensemble: ir.ArrayValue, body: Callable[[ir.ArrayValue], ir.FloatingValue]
) -> ir.FloatingValue:
    """`body` of the share of the votes that each class has, up to the last with any."""
    members = ensemble.cast("array<array<float64>>")

    def shares(votes: ir.ArrayValue) -> ir.ArrayValue:
        return ibis.range(0, votes.maxs() + 1).map(
            lambda k: votes.filter(lambda vote: vote == k).length() / votes.length()
        )

    found = body(_let(members.map(lambda m: m.index(m.maxs())), shares))
    return _comparable(members).ifelse(found, null())


def vote_entropy(ensemble: ir.ArrayValue) -> ir.FloatingValue:
    """Entropy of the votes of the members in nats (Engelson and Dagan 1996); large = they disagree.

    Parameters
    ----------
    ensemble
        Class probabilities of each member; see `mutual_information`. A member votes for its
        likeliest class, of several for the first.

    Returns
    -------
    FloatingValue
        ``-sum(f ln f)`` over the shares f of votes; 0 where all agree.
    """
    return _votes(ensemble, entropy_of)


def disagreement(ensemble: ir.ArrayValue) -> ir.FloatingValue:
    """Share of the members that vote against the majority (variation ratio, Freeman 1965).

    Parameters
    ----------
    ensemble
        Class probabilities of each member; see `vote_entropy`.

    Returns
    -------
    FloatingValue
        ``1 - max(f)`` over the shares f of votes; 0 where all agree.
    """
    return _votes(ensemble, lambda shares: 1.0 - shares.maxs())
