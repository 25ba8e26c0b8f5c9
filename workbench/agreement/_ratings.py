"""Which events compare raters, and how often they said what of the same."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from workbench.formulas import canonical

#: Pairs of raters that are compared: of a thousand raters there are half a million.
MOST_PAIRS = 2000
#: Signals of these kinds have no value that two raters could have in common.
_WITHOUT_VALUE = ("comment", "preference", "correction")


def events(feedback: ir.Table) -> ir.Table:
    """The events of ``enriched_feedback`` that are a value by a rater, and were not withdrawn."""
    return feedback.filter(
        ~feedback.retracted.fill_null(False),
        feedback.rater_id.notnull(),
        feedback.value.notnull(),
        # An event that takes another one back has no kind.
        ~feedback.kind.isin(_WITHOUT_VALUE).fill_null(True),
    )


def ratings(feedback: ir.Table, per: Sequence[str] = ()) -> ir.Table:
    """Each rater's latest value of each signal about each inference.

    Parameters
    ----------
    feedback
        Rows of ``enriched_feedback``. Events that were withdrawn, that have no rater, no value or
        no kind, and comments, preferences and corrections are left out.
    per
        Columns within which it is the latest.

    Returns
    -------
    ir.Table
        `per`, ``name``, ``request_id``, ``rater_id`` and ``value``, as values are compared
        everywhere: unquoted, whole numbers without ``.0``, booleans as 1 and 0.
    """
    rows = events(feedback)
    # To sort the events of each group, as a window does, takes longer. One without a time is before
    # all others.
    newest = ibis.struct(
        {"timed": rows.feedback_ts.notnull(), "ts": rows.feedback_ts, "id": rows.feedback_id}
    )
    found = rows.group_by(*per, "name", "request_id", "rater_id").agg(
        value=rows.value.argmax(newest)
    )
    return found.mutate(value=canonical(found.value))


def shared(feedback: ir.Table) -> ir.Table:
    """The `events` of inferences that have several under one signal: the others compare nothing.

    To find each rater's latest value is to sort, and as a rule most inferences have one event.
    """
    return several(events(feedback))


def alone(feedback: ir.Table) -> ir.Table:
    """``n``: inferences with one of the `events` under a signal, which are not among `shared`."""
    said = events(feedback)
    units = _units(_in_company(said))
    units = units.filter(units.n == 1).select("name")
    if "n_events" in said.columns:
        units = units.union(said.filter(said.n_events == 1).select("name"))
    return units.group_by("name").agg(n=units.count())


def _in_company(said: ir.Table) -> ir.Table:
    """Some events without those whose inference is known to have no other."""
    if "n_events" not in said.columns:
        return said
    return said.filter((said.n_events != 1).fill_null(True))


def several(said: ir.Table) -> ir.Table:
    """Those of some events or `ratings` that are of an inference with several under one signal."""
    said = _in_company(said)
    units = _units(said)
    return said.semi_join(units.filter(units.n > 1), ["name", "request_id"])


def _units(said: ir.Table) -> ir.Table:
    return said.group_by("name", "request_id").agg(n=said.count())


def unit_patterns(rated: ir.Table) -> ir.Table:
    """Units by what was said of them, without saying by whom.

    Returns
    -------
    ir.Table
        ``name``; ``pattern``, each value with the number of raters who gave it; ``n`` units.
    """
    counts = rated.group_by("name", "request_id", "value").agg(k=rated.count())
    said = ibis.struct({"value": counts.value, "k": counts.k})
    units = counts.group_by("name", "request_id").agg(pattern=said.collect().sort())
    return units.group_by("name", "pattern").agg(n=units.count())


def pair_counts(rated: ir.Table, least: int, most: int = MOST_PAIRS) -> ir.Table:
    """How often two raters gave which two values to the same unit.

    Parameters
    ----------
    rated
        As `ratings` gives it.
    least, most
        Only pairs with so many units in common at least, and of those the so many that have most.

    Returns
    -------
    ir.Table
        ``name``, ``rater_a``, ``rater_b``, ``value_a``, ``value_b``, ``n``.
    """
    other = rated.view()
    both = rated.join(
        other,
        [
            rated.request_id == other.request_id,
            rated.name == other.name,
            rated.rater_id < other.rater_id,
        ],
        rname="other_{name}",
    ).select(
        name=rated["name"],
        rater_a=rated.rater_id,
        rater_b=other.rater_id,
        value_a=rated.value,
        value_b=other.value,
    )
    pair = ["name", "rater_a", "rater_b"]
    cells = both.group_by(*pair, "value_a", "value_b").agg(n=both.count())
    pairs = cells.group_by(*pair).agg(__common=cells.n.sum())
    pairs = pairs.filter(pairs["__common"] >= least)
    busiest = pairs.order_by([pairs["__common"].desc(), *pair]).limit(most)
    return cells.semi_join(busiest, pair)
