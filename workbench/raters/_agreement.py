"""How far raters agree, signal by signal, as rows in the form of all metrics."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import ibis.expr.types as ir

from workbench.agreement import (
    LEVELS,
    Floats,
    alone,
    alpha,
    cohen,
    events,
    fits,
    fleiss,
    interval,
    pair_counts,
    ratings,
    several,
    shared,
    unit_patterns,
    units_of,
)
from workbench.engine import identifier
from workbench.errors import ConfigError, suggest
from workbench.query import Build
from workbench.scratch import Scratch, held_table, scratch

RELATION = "enriched_feedback"
READS = (
    "feedback_id", "request_id", "name", "kind", "value", "rater_id", "feedback_ts", "retracted",
    "n_events",
)  # fmt: skip
ALPHAS = {level: f"krippendorff_alpha(level='{level}')" for level in LEVELS}
NAMES = ("fleiss_kappa", "cohen_kappa", *ALPHAS.values())
#: Signals of this kind are on a scale; values of others are names, whatever they look like.
_SCALED = "rating"


def feedback(build: Build, where: str | None = None) -> ir.Table:
    """The columns of ``enriched_feedback`` that raters are measured by."""
    condition = build.expression(where) if where and where.strip() else None
    listed = ", ".join(identifier(name) for name in READS)
    relation = build.narrowest(RELATION, listed, *([condition] if condition else []))
    if relation.startswith("narrow."):
        # The number of an inference is put in order in half the time of its id.
        listed = listed.replace('"request_id"', 'row_id AS "request_id"')
    filtered = f" WHERE {condition}" if condition else ""
    return build.query_table(f"SELECT {listed} FROM {relation}{filtered}")


def chosen(only: Sequence[str]) -> tuple[str, ...]:
    """The measures that are asked for; ``krippendorff_alpha`` alone is the nominal one.

    Raises
    ------
    ConfigError
        If there is no such measure.
    """
    found = []
    for text in _calls(only):
        bare = "".join(text.split()).replace('"', "'")
        name = ALPHAS["nominal"] if bare in ("krippendorff_alpha", "krippendorff_alpha()") else bare
        if name not in NAMES:
            raise ConfigError(f"There is no measure of agreement {text!r}.", suggest(bare, NAMES))
        found.append(name)
    return tuple(dict.fromkeys(found))


def _calls(only: Sequence[str]) -> Iterable[str]:
    """The calls in texts that may hold several, by commas outside of brackets."""
    for text in only:
        yield from (part for part in re.split(r",(?![^(]*\))", text) if part.strip())


def agreement(
    build: Build, only: Sequence[str] = (), where: str | None = None, least: int = 10
) -> list[dict[str, Any]]:
    """How far raters agree beyond chance, by signal, and by pair of raters.

    Parameters
    ----------
    build
        The build to read.
    only
        Some of ``fleiss_kappa``, ``cohen_kappa`` and ``krippendorff_alpha(level='nominal')``,
        ``'ordinal'``, ``'interval'``, ``'ratio'``. When empty: all, but the levels of numbers only
        for signals of kind rating.
    where
        SQL condition over ``enriched_feedback``.
    least
        Pairs of raters with fewer common inferences have no row; of more than 2,000 pairs, those
        have one that have most in common.

    Returns
    -------
    list of dict
        ``metric``; ``by``: ``name`` of the signal, and ``rater_a`` and ``rater_b`` for Cohen's
        kappa; ``value`` with its bootstrap interval ``low``, ``high`` (NULL where all draws are
        equal); ``n`` inferences in it; ``n_labelled`` inferences with a value of that signal by any
        rater; ``n_raters``; ``reason``: ``empty`` without two ratings of one inference,
        ``single_class`` where only one value occurs, ``not_applicable`` where values are no numbers
        of that level.
    """
    names = chosen(only)
    rows = feedback(build, where)
    found = []
    single = {row["name"]: row["n"] for row in build.execute(alone(rows)).to_pylist()}
    with scratch(build, build.sql_of(ratings(shared(rows)))) as held:
        together = held_table(held)
        signals = _signals(held, rows, together)
        patterns = _by_name(held.run(unit_patterns(together)).to_pylist())
        if not names or "cohen_kappa" in names:
            found += _pairs(held, together, least)
    for signal, facts in signals.items():
        units = units_of(patterns.get(signal, ()))
        n = int(units.n.sum()) + units.single + single.get(signal, 0)
        both = {"n_labelled": n, "n_raters": facts["n_raters"]}
        by = {"name": signal}
        for name in names or _usual(facts["kind"]):
            if name == "fleiss_kappa":
                of, value = fleiss(units)
                found.append(_row(name, by, of.n, value) | both)
            elif name != "cohen_kappa":
                level = next(level for level, full in ALPHAS.items() if full == name)
                row = _row(name, by, units.n, alpha(units, level)) | both
                if row["reason"] and not fits(units, level):
                    row["reason"] = "not_applicable"
                found.append(row)
    return sorted(found, key=lambda row: (NAMES.index(row["metric"]), *row["by"].values()))


def counts(build: Build, where: str | None = None, least: int = 10) -> list[ir.Table]:
    """What the engine counts for `agreement`: equal units, and pairs of values of two raters."""
    rows = feedback(build, where)
    together = ratings(shared(rows))
    return [alone(rows), unit_patterns(together), pair_counts(together, least)]


def _usual(kind: str | None) -> Iterable[str]:
    levels = LEVELS if kind == _SCALED else ("nominal",)
    return ("fleiss_kappa", *(ALPHAS[level] for level in levels))


def _by_name(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["name"], []).append(row)
    return found


def _signals(held: Scratch, said: ir.Table, together: ir.Table) -> dict[str, dict[str, Any]]:
    """Kind of each signal, and how many raters gave a value that another rater could meet."""
    kinds = said.group_by("name").agg(kind=said.kind.min())
    met = several(together)
    raters = met.group_by("name").agg(n_raters=met.rater_id.nunique())
    named = events(said).select("name").distinct()
    rows = named.left_join(kinds, "name").left_join(raters, "name")
    rows = rows.select("name", "kind", n_raters=rows.n_raters.fill_null(0)).order_by("name")
    return {row["name"]: row for row in held.run(rows).to_pylist()}


def _pairs(held: Scratch, rated: ir.Table, least: int) -> list[dict[str, Any]]:
    columns = ("name", "rater_a", "rater_b")
    cells = pair_counts(rated, least).order_by(*columns, "value_a", "value_b")

    def pair(row: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(row[name] for name in columns)

    found = []
    for key, group in groupby(held.run(cells).to_pylist(), key=pair):
        n, value = cohen(list(group))
        row = _row("cohen_kappa", dict(zip(columns, key, strict=True)), n, value, at_once=True)
        found.append(row | {"n_labelled": row["n"], "n_raters": 2})
    return found


def _row(
    metric: str,
    by: Mapping[str, Any],
    n: Floats,
    value: Callable[[Floats], Any],
    at_once: bool = False,
) -> dict[str, Any]:
    units = int(n.sum())
    found = float(value(n)) if units else math.nan
    low = high = None
    if math.isfinite(found):
        low, high = interval(n, value, at_once=at_once)
    return {
        "metric": metric,
        "by": dict(by),
        "value": found if math.isfinite(found) else None,
        "low": low,
        "high": high,
        "n": units,
        "n_labelled": None,
        "reason": None if math.isfinite(found) else "single_class" if units else "empty",
        "n_raters": None,
    }
