"""Signs of a rater who does not look at what they judge, each a number with its n and p-value.

Tables are by ``name`` and ``rater_id``, for raters with enough events of that signal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import ibis
import ibis.expr.types as ir

from workbench.formulas import canonical, epoch_us
from workbench.metrics import wilson_of

KEY = ("name", "rater_id")
#: A gap counts as equal to the median gap if it is no further from it than this share of it.
EQUAL = 0.02
#: Times are trusted to tell gaps apart if the median gap is so many steps of their clock.
STEPS = 10
#: Events in one minute that a quick person still manages.
QUICK = 20
#: How often chance alone would show a sign, over all raters that were looked at.
ALPHA = 0.001
_FINEST = 1e-6
#: Seconds, and the next finer step, which a time has that is not whole in them.
_STEPS = ((1, _FINEST), (60, 1.0), (3_600, 60.0), (86_400, 3_600.0))


def times(events: ir.Table) -> ir.Table:
    """When each rater said something under each signal; all other tables of times are made of it.

    Returns
    -------
    ir.Table
        ``n`` events; ``times`` of those that have one, in microseconds, rising; ``step``: the
        coarsest of day, hour, minute and second, in seconds, that all of them keep to.
    """
    micros = epoch_us(events.feedback_ts)
    # Most times are told from the first branch.
    steps = [(micros % (step * 1_000_000) != 0, finer) for step, finer in _STEPS]
    return events.group_by(*KEY).agg(
        n=events.count(),
        times=micros.collect(where=micros.notnull()).sort(),
        step=ibis.cases(*steps, else_=86_400.0).min(),
    )


def totals(said: ir.Table, least: int) -> ir.Table:
    """``n``: events of each rater under each signal, at least `least`; of `times`."""
    return said.filter(said.n >= least).select(*KEY, "n")


def values(events: ir.Table, chosen: ir.Table) -> ir.Table:
    """The most frequent value of each rater, and how frequent it is among all others.

    Returns
    -------
    ir.Table
        ``value``, ``n_value``, ``others`` (events of others), ``others_value`` (with that value).
    """
    # Equal texts are compared once, not for each event.
    written = events.group_by(*KEY, "value").agg(n_value=events.count())
    written = written.mutate(said=canonical(written.value))
    # A sum of BIGINT is a HUGEINT, which Arrow has no integer for.
    n = written.n_value.cast("float64").sum().cast("int64")
    mine = written.group_by(*KEY, "said").agg(n_value=n)
    of_value = ibis.window(group_by=["name", "said"])
    of_name = ibis.window(group_by="name")
    of_rater = ibis.window(group_by=list(KEY))
    place = ibis.row_number().over(
        ibis.window(group_by=list(KEY), order_by=[mine.n_value.desc(), mine.said])
    )
    k = mine.n_value.cast("float64")
    mine = mine.mutate(
        others=k.sum().over(of_name) - k.sum().over(of_rater),
        others_value=k.sum().over(of_value) - k,
        place=place,
    )
    first = mine.filter(mine.place == 0).semi_join(chosen, list(KEY))
    return first.select(
        *KEY,
        "n_value",
        value=first.said,
        others=first.others,
        others_value=first.others_value,
    )


def gaps(said: ir.Table, least: int) -> ir.Table:
    """Time from one event of a rater to the next, of `times`.

    Returns
    -------
    ir.Table
        ``median_gap`` in seconds, ``n_gaps`` that are no zero, ``n_equal`` of them within `EQUAL`
        of the median or a step of the clock, and that ``step``.
    """
    rows = said.filter(said.n >= least)
    # Within the list of each rater: to join their median to the gaps takes twice as long.
    between = rows.times[1:].map(lambda time, i: (time - rows.times[i]).cast("float64") / 1e6)
    rows = rows.select(*KEY, gaps=between.filter(lambda gap: gap > 0.0))
    rows = rows.filter(rows.gaps.length() > 0)
    rows = rows.mutate(median_gap=_median(rows.gaps)).inner_join(clocks(said), "name")
    near = rows.gaps.filter(
        lambda gap: (gap - rows.median_gap).abs() <= rows.median_gap * EQUAL + rows.step
    )
    return rows.select(*KEY, "median_gap", "step", n_gaps=rows.gaps.length(), n_equal=near.length())


@ibis.udf.scalar.builtin(name="list_median")  # type: ignore[untyped-decorator]
def _median(numbers) -> float:  # type: ignore[empty-body, no-untyped-def]
    """The median of a list of numbers."""


def clocks(said: ir.Table) -> ir.Table:
    """``step``: the coarsest of day, hour, minute and second that all times of a signal keep to.

    A signal of one rater has no other clock to compare with, so the step is then the finest.
    """
    facts = said.group_by("name").agg(raters=said.count(), step=said.step.min())
    return facts.select("name", step=(facts.raters < 2).ifelse(_FINEST, facts.step))


def minutes(said: ir.Table, least: int) -> ir.Table:
    """``peak``: events of a rater in the busiest minute, and ``n_minutes`` with any; of `times`."""
    rows = said.filter(said.n >= least)
    # Times are grouped by a number: by two texts it takes twice as long.
    rows = rows.mutate(rater=ibis.row_number().over(ibis.window(order_by=list(KEY))))
    each = rows.select("rater", time=rows.times.unnest())
    each = each.mutate(minute=(each.time.cast("float64") / 6e7).floor())
    counts = each.group_by("rater", "minute").agg(k=each.count())
    found = counts.group_by("rater").agg(peak=counts.k.max(), n_minutes=counts.count())
    return rows.inner_join(found, "rater").select(*KEY, "peak", "n_minutes")


def companions(rated: ir.Table, chosen: ir.Table) -> ir.Table:
    """How far a rater agrees with the others who judged the same, and what chance would give.

    Returns
    -------
    ir.Table
        ``n_shared`` inferences that others judged too; ``agreed``, the mean share of the others who
        gave the same value; ``squares``, the mean of its square; ``expected``, what the share would
        be if the rater gave their values of these inferences at random.
    """
    counts = rated.group_by("name", "request_id", "value").agg(k=rated.count())
    counts = counts.mutate(
        m=counts.k.sum().over(ibis.window(group_by=["name", "request_id"])).cast("float64")
    )
    counts = counts.filter(counts.m > 1)
    mine = rated.semi_join(chosen, list(KEY)).rename(own="value")
    both = mine.inner_join(counts, ["name", "request_id"])
    same = (both.own == both.value).cast("float64")
    both = both.mutate(same=same, others=(both.k - same) / (both.m - 1.0))
    of_value = both.group_by(*KEY, "value").agg(
        mine=both.same.sum(),
        others=both.others.sum(),
        agreed=(both.same * both.others).sum(),
        squares=(both.same * both.others * both.others).sum(),
    )
    sums = of_value.group_by(*KEY).agg(
        n_shared=of_value.mine.sum(),
        agreed=of_value.agreed.sum(),
        squares=of_value.squares.sum(),
        expected=(of_value.mine * of_value.others).sum(),
    )
    n = sums.n_shared
    return sums.select(
        *KEY,
        n_shared=n.cast("int64"),
        agreed=sums.agreed / n,
        squares=sums.squares / n,
        expected=sums.expected / (n * n),
    )


def agreement(facts: Mapping[str, Any]) -> tuple[float, float]:
    """Interval of the mean share of others who gave the same value.

    A share of several others varies less than a single yes or no, so it is worth more of those: as
    many as make the variance of their mean the one that is observed.
    """
    share, n = min(1.0, facts["agreed"]), facts["n_shared"]
    variance, of_one = facts["squares"] - share * share, share * (1.0 - share)
    return wilson_of(share, n * of_one / variance if 0.0 < variance < of_one else n)


def kappa(facts: Mapping[str, Any]) -> tuple[float, float, float] | None:
    """Agreement beyond chance with its interval; None where chance agrees always.

    The interval is that of the agreement, as if the chance were known.
    """
    if not facts.get("n_shared") or facts["expected"] > 1.0 - 1e-12:
        return None
    chance = facts["expected"]
    low, high = agreement(facts)
    return (
        (facts["agreed"] - chance) / (1 - chance),
        (low - chance) / (1 - chance),
        (high - chance) / (1 - chance),
    )


def regular(facts: Mapping[str, Any], looked_at: int) -> dict[str, Any]:
    """Near-constant gaps: chance means events at any time, at the rate of the median gap."""
    from scipy.stats import binom

    n, k, median = facts.get("n_gaps"), facts.get("n_equal"), facts.get("median_gap")
    if not n or median is None or k is None or median < STEPS * facts["step"]:
        return _sign("regular_gaps", None, n or 0, None, False, "")
    width = EQUAL + 1.5 * facts["step"] / median
    chance = 2.0 ** -(1.0 - width) - 2.0 ** -(1.0 + width)
    p = float(binom.sf(k - 1, n, chance))
    found = p < ALPHA / looked_at and wilson_of(k / n, n)[0] > 0.5
    text = f"{k:,} of {n:,} gaps between events are {median:,.4g} s, give or take {EQUAL:.0%}"
    return _sign("regular_gaps", k / n, n, p, found, text)


def one_value(facts: Mapping[str, Any], looked_at: int) -> dict[str, Any]:
    """One value only: chance means drawing from what all others say."""
    from scipy.stats import binom

    n, k, others = facts["n"], facts["n_value"], facts["others"]
    if not others:
        return _sign("one_value", k / n, n, None, False, "")
    share = facts["others_value"] / others
    p = float(binom.sf(k - 1, n, share))
    text = f"all {n:,} values are {facts['value'][:40]!r}, as are {share:.1%} of the others'"
    return _sign("one_value", k / n, n, p, k == n and p < ALPHA / looked_at, text)


def chance(facts: Mapping[str, Any], others: float | None, looked_at: int) -> dict[str, Any]:
    """Agreement no better than chance, where the others agree better among themselves.

    The p-value is of agreeing so little if one agreed as the others do.
    """
    from scipy.stats import binom

    own, n = kappa(facts), facts.get("n_shared") or 0
    if own is None or others is None:
        return _sign("chance_agreement", own[0] if own else None, n, None, False, "")
    usual = min(1.0, facts["expected"] + others * (1.0 - facts["expected"]))
    p = float(binom.cdf(math.ceil(facts["agreed"] * n - 1e-9), n, max(0.0, usual)))
    found = own[1] <= 0.0 and own[2] < others and p < ALPHA / looked_at
    text = (
        f"agrees with others {facts['agreed']:.1%} of the time over {n:,} inferences, where chance "
        f"gives {facts['expected']:.1%} (kappa {own[0]:.2f}; the others' {others:.2f})"
    )
    return _sign("chance_agreement", own[0], n, p, found, text)


def burst(facts: Mapping[str, Any], looked_at: int) -> dict[str, Any]:
    """Many events in a minute: chance means a quick person's `QUICK` on average, in each minute."""
    from scipy.stats import poisson

    peak, n = facts.get("peak"), facts.get("n_minutes") or 0
    if not n or peak is None:
        return _sign("burst", None, 0, None, False, "")
    p = min(1.0, n * float(poisson.sf(peak - 1, QUICK)))
    text = f"{peak:,} events in one minute, where a quick person manages {QUICK}"
    return _sign("burst", float(peak), n, p, p < ALPHA / looked_at, text)


def _sign(
    name: str, value: float | None, n: int, p: float | None, found: bool, text: str
) -> dict[str, Any]:
    return {
        "sign": name,
        "value": value,
        "n": n,
        "p_value": p,
        "found": bool(found),
        "reason": text if found else None,
    }
