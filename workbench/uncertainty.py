"""How unsure the model was, and how often it was wrong there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir

from workbench import formulas
from workbench.engine import identifier
from workbench.measure import RELATION, rows_query
from workbench.metrics import UNCERTAINTY_SCORES, metrics, parse_call
from workbench.query import Build


@dataclass(frozen=True)
class Parts:
    """Rows parted by a score of uncertainty.

    Attributes
    ----------
    rows
        One dict for each part.
    sql
        The query that they come from.
    """

    rows: list[dict[str, Any]]
    sql: str


def scores(build: Build) -> list[str]:
    """Columns of uncertainty that have a value in some row."""
    present = build.columns(RELATION, narrow=True)
    names = [name for name in UNCERTAINTY_SCORES if name in present]
    counted = ", ".join(f"count({identifier(name)}) > 0 AS {identifier(name)}" for name in names)
    found = build.arrow(f"SELECT {counted} FROM narrow.{RELATION}").to_pylist()[0]
    return [name for name in names if found[name]]


def distribution(build: Build, score: str, where: str | None = None, bins: int = 20) -> Parts:
    """Count the rows in ranges of equal width of a score.

    Parameters
    ----------
    build
        The build to read.
    score
        One of `scores`.
    where
        SQL condition of the rows to look at.
    bins
        Number of ranges between the smallest and the largest value.

    Returns
    -------
    Parts
        Of each range with a row, from small to large: ``part`` (from 0), ``first`` and ``last``
        (smallest and largest value in it), ``left`` and ``width`` of the range, ``n``,
        ``n_wrong`` and ``n_right`` (of those that were judged), ``where`` (SQL of its rows).
    """
    table = _rows(build, score, where)
    value = formulas.finite(table[score])
    held = table.select(v=value, correct=table.correct)
    held = held.filter(held.v.notnull())
    over_all = ibis.window()
    held = held.mutate(least=held.v.min().over(over_all), most=held.v.max().over(over_all))
    width = (held.most - held.least) / bins
    place = (width > 0.0).ifelse(((held.v - held.least) / width).floor(), 0.0)
    held = held.mutate(part=ibis.least(place, float(bins - 1)).cast("int64"), width=width)
    counted = held.aggregate(
        by="part",
        first=held.v.min(),
        last=held.v.max(),
        left=held.least.min() + held.part.min() * held.width.min(),
        width=held.width.min(),
        n=held.count(),
        n_wrong=(~held.correct).sum().fill_null(0),
        n_right=held.correct.sum().fill_null(0),
    ).order_by("part")
    return _described(build, counted, score, "true")


def error_rates(build: Build, score: str, where: str | None = None, parts: int = 10) -> Parts:
    """Share of wrong answers from the least sure part of the judged rows to the surest.

    Parameters
    ----------
    build
        The build to read.
    score
        One of `scores`.
    where
        SQL condition of the rows to look at.
    parts
        Number of parts of equal size. Rows with equal scores are in one part, that in which the
        first of them lies, so with rounded scores some are larger and some are missing.

    Returns
    -------
    Parts
        ``part`` (1 is the least sure), ``n``, ``value`` (share of wrong answers), ``low``, ``high``
        (95 %, Wilson), ``first`` and ``last`` (smallest and largest score in it), ``where`` (SQL of
        its rows).
    """
    state = metrics.get("error_detection_auroc").state
    assert state is not None
    # Large means unsure here, whatever the score.
    sums = state(_rows(build, score, where), (), score=score)
    falling = ibis.window(order_by=ibis.desc("score"), preceding=None, following=0)
    placed = sums.mutate(
        before=sums["rows"].sum().over(falling) - sums["rows"], total=sums["rows"].sum().over()
    )
    part = (placed.before * parts / placed.total).floor().cast("int64") + 1
    placed = placed.mutate(part=part, plain=placed.score * UNCERTAINTY_SCORES[score])
    found = placed.aggregate(
        by="part",
        n=placed["rows"].sum(),
        wrong=placed.sy.sum(),
        first=placed.plain.min(),
        last=placed.plain.max(),
    )
    low, high = formulas.wilson(found.wrong, found.n)
    found = found.mutate(value=found.wrong / found.n, low=low, high=high).drop("wrong")
    return _described(build, found.order_by("part"), score, "correct IS NOT NULL")


def _rows(build: Build, score: str, where: str | None) -> ir.Table:
    call = parse_call(f"error_detection_auroc(score={score!r})")
    table = build.query_table(rows_query(build, [call], [], where))
    return table.mutate(weight=ibis.literal(1.0))


def _described(build: Build, expression: ir.Table, score: str, about: str) -> Parts:
    rows = build.execute(expression).to_pylist()
    for row in rows:
        # A sum of whole numbers is a HUGEINT, which comes back as a decimal.
        row |= {name: int(row[name]) for name in ("part", "n", "n_wrong", "n_right") if name in row}
        row["where"] = between(score, [row]) + ("" if about == "true" else f" AND {about}")
    return Parts(rows, build.sql_of(expression))


def between(score: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """SQL of the rows from the smallest to the largest score of neighbouring parts."""
    least, most = min(row["first"] for row in rows), max(row["last"] for row in rows)
    return f"{score} BETWEEN '{least!r}'::DOUBLE AND '{most!r}'::DOUBLE"
