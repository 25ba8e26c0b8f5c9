"""Every rater in one row: how much they say, who agrees with them, and what is odd about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ibis.expr.types as ir

from workbench import dawid_skene
from workbench.agreement import events, ratings, several, shared
from workbench.metrics import wilson_of
from workbench.query import Build
from workbench.raters import _signs
from workbench.raters._agreement import feedback
from workbench.scratch import Scratch, held_table, scratch

#: So many signs together are no coincidence; one alone is a reason to look.
FLAGGED = 2
#: The consensus is not estimated for signals with more values than this.
MOST_CLASSES = 50
_MOST_CELLS = 20_000_000


def raters(build: Build, where: str | None = None, least: int = 20) -> list[dict[str, Any]]:
    """What is known of each rater, by signal; those with most signs first.

    Parameters
    ----------
    build
        The build to read.
    where
        SQL condition over ``enriched_feedback``.
    least
        Raters with fewer events of a signal have no row: so few tell nothing.

    Returns
    -------
    list of dict
        ``rater_id``; ``name`` of the signal; ``n`` events that were not withdrawn. With the others
        who judged the same: ``n_shared`` inferences, ``agreement`` (the mean share of the others
        who gave the same value) with its interval ``agreement_low``, ``agreement_high``, and
        ``kappa`` beyond chance with ``kappa_low``, ``kappa_high``. Against the consensus of Dawid
        and Skene: ``reliability`` with ``reliability_low``, ``reliability_high``, over
        ``n_consensus`` votes. ``signs``: four of ``sign``, ``value``, ``n``, ``p_value``, ``found``
        and, where found, ``reason``: ``regular_gaps`` (share of gaps that equal the median gap),
        ``one_value`` (share of the most frequent value), ``chance_agreement`` (kappa) and ``burst``
        (events in the busiest minute). ``n_signs`` found; ``flagged``: at least two; ``reason``:
        theirs, in words. What is undefined is None.

    Notes
    -----
    A sign is found where chance would show it for one rater in a thousand sets of raters as large
    as this one (Bonferroni). Regular gaps must be more than half of all gaps; agreement is no
    better than chance where the interval of kappa reaches 0 and lies below the kappa of the others.
    """
    if where and where.strip():
        return _raters(build, where, least)
    # Several pages ask it of all.
    return list(build.once(f"raters {least}", lambda: _raters(build, None, least)))


def _raters(build: Build, where: str | None, least: int) -> list[dict[str, Any]]:
    facts: dict[tuple[str, str], dict[str, Any]] = {}
    rows = feedback(build, where)
    with scratch(build, build.sql_of(ratings(shared(rows)))) as held:
        together = held_table(held)
        said = _signs.times(events(rows))
        held.connection.execute(f"CREATE TEMP TABLE said AS {build.sql_of(said)}")
        said = held_table(replace(held, name="said"))
        for table in _counts(rows, together, said, least):
            for row in held.run(table).to_pylist():
                facts.setdefault((row["name"], row["rater_id"]), {}).update(row)
        reliability = _reliability(held, together)
    usual = _usual(facts)
    found = [
        _row(fact, reliability.get(key), usual[key], len(facts)) for key, fact in facts.items()
    ]
    return sorted(found, key=lambda row: (-row["n_signs"], row["name"], -row["n"], row["rater_id"]))


def counts(build: Build, where: str | None = None, least: int = 20) -> list[ir.Table]:
    """What the engine counts for `raters`: a row per rater and signal in each table."""
    rows = feedback(build, where)
    return _counts(rows, ratings(shared(rows)), _signs.times(events(rows)), least)


def _counts(rows: ir.Table, together: ir.Table, said: ir.Table, least: int) -> list[ir.Table]:
    chosen = _signs.totals(said, least)
    return [
        chosen,
        _signs.values(events(rows), chosen),
        _signs.gaps(said, least),
        _signs.minutes(said, least),
        _signs.companions(together, chosen),
    ]


def _usual(facts: dict[tuple[str, str], dict[str, Any]]) -> dict[tuple[str, str], float | None]:
    """Mean kappa of the other raters of the signal, by what they share with others."""
    known = {key: (fact["n_shared"], _signs.kappa(fact)) for key, fact in facts.items()
             if "n_shared" in fact}  # fmt: skip
    pairs = {key: (n, own[0]) for key, (n, own) in known.items() if own is not None}
    sums: dict[str, tuple[int, float]] = {}
    for (name, _), (n, own) in pairs.items():
        whole, total = sums.get(name, (0, 0.0))
        sums[name] = (whole + n, total + n * own)
    usual: dict[tuple[str, str], float | None] = {}
    for key in facts:
        whole, total = sums.get(key[0], (0, 0.0))
        n, own = pairs.get(key, (0, 0.0))
        usual[key] = (total - n * own) / (whole - n) if whole > n else None
    return usual


def _reliability(held: Scratch, rated: ir.Table) -> dict[tuple[str, str], tuple[int, float]]:
    """Votes of each rater that others voted beside, and the share of them that is right."""
    votes = held.run(several(rated).select("name", "request_id", "rater_id", "value"))
    found: dict[tuple[str, str], tuple[int, float]] = {}
    for name in votes["name"].unique().to_pylist():
        mine = votes.filter(_equal(votes["name"], name))
        item, _ = dawid_skene.numbered(mine["request_id"])
        rater, names = dawid_skene.numbered(mine["rater_id"])
        value, classes = dawid_skene.numbered(mine["value"])
        k = len(classes)
        if k > MOST_CLASSES or len(names) * k * k > _MOST_CELLS:
            continue
        n, right = dawid_skene.hits(
            dawid_skene.consensus(item, rater, value, k), item, rater, value
        )
        for j, rater_id in enumerate(names):
            found[name, rater_id] = (int(n[j]), float(right[j] / n[j]))
    return found


def _equal(column: Any, value: str) -> Any:
    import pyarrow.compute as pc

    return pc.equal(column, value)


def _row(
    fact: dict[str, Any],
    reliability: tuple[int, float] | None,
    usual: float | None,
    looked_at: int,
) -> dict[str, Any]:
    shared = fact.get("n_shared") or 0
    agreement = fact["agreed"] if shared else None
    low, high = _signs.agreement(fact) if shared else (None, None)
    own = _signs.kappa(fact) or (None, None, None)
    n, right = reliability or (0, None)
    ends = (None, None) if right is None else wilson_of(min(1.0, right), n)
    signs = [
        _signs.regular(fact, looked_at),
        _signs.one_value(fact, looked_at),
        _signs.chance(fact, usual, looked_at),
        _signs.burst(fact, looked_at),
    ]
    reasons = [sign["reason"] for sign in signs if sign["found"]]
    return {
        "rater_id": fact["rater_id"],
        "name": fact["name"],
        "n": fact["n"],
        "n_shared": shared,
        "agreement": agreement,
        "agreement_low": low,
        "agreement_high": high,
        "kappa": own[0],
        "kappa_low": own[1],
        "kappa_high": own[2],
        "n_consensus": n,
        "reliability": right,
        "reliability_low": ends[0],
        "reliability_high": ends[1],
        "signs": signs,
        "n_signs": len(reasons),
        "flagged": len(reasons) >= FLAGGED,
        "reason": "; ".join(reasons) or None,
    }
