"""The latest fact at or before a time, by key: the one point-in-time join, on every engine."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from workbench import engine


def latest(
    rows: ir.Table,
    facts: ir.Table,
    *,
    keys: Sequence[str],
    monotone: bool = True,
    distinct: bool = False,
    taken: Sequence[str] = (),
) -> ir.Table:
    """The greatest rank among the facts of the same keys at or before each row's time.

    DuckDB takes its native ASOF join. Other engines lay rows and facts into one sequence by time,
    facts first at equal times, and carry the greatest rank along. Both give the same rows.

    Parameters
    ----------
    rows
        ``__row``, ``__t`` and `keys`. A row without time or without one of the keys finds nothing.
    facts
        ``__rank`` (a whole number), ``__t`` and `keys`.
    keys
        Columns that must be equal; none to compare all rows with all facts.
    monotone
        Whether a fact at a later time always has a greater rank.
    distinct
        Whether no two facts of the same keys have the same time, which spares settling ties.
    taken
        Columns of the fact that are wanted beside its rank, where no two facts have the same rank.

    Returns
    -------
    ir.Table
        ``__row``, ``__found``, the rank, and what is `taken`, for the rows that found something.
    """
    time = rows["__t"].type()
    rows = rows.filter(rows["__t"].notnull(), *[rows[key].notnull() for key in keys])
    facts = facts.mutate(__t=facts["__t"].cast(time), __rank=facts["__rank"].cast("int64"))
    facts = facts.filter(facts["__t"].notnull(), facts["__rank"].notnull())
    if not keys:
        rows, facts = rows.mutate(__all=ibis.literal(1)), facts.mutate(__all=ibis.literal(1))
        keys = ["__all"]
    if engine.is_duckdb(rows) and distinct and monotone:
        return _native_distinct(rows, facts, keys, taken)
    if engine.is_duckdb(rows):
        found = _native(rows, facts, keys, monotone=monotone)
    else:
        found = _portable(rows, facts, keys)
    if not taken:
        return found
    wanted = facts.select(*taken, __of="__rank")
    return found.join(wanted, found["__found"] == wanted["__of"]).drop("__of")


def numbered(
    rows: ir.Table, facts: ir.Table, keys: Sequence[str]
) -> tuple[ir.Table, ir.Table, list[str]]:
    """Rows and facts by a key that is quick to sort by, for `with_latest`.

    Parameters
    ----------
    rows
        `keys` and other columns.
    facts
        `keys` and other columns.
    keys
        Columns that must be equal; none to compare all rows with all facts.

    Returns
    -------
    rows
        All of them, without `keys`; ``__any`` says whether there is a fact of the same keys.
    facts
        Those that have all keys, without `keys`.
    on
        What has taken the place of `keys` in both.
    """
    if not keys:
        rows, facts = rows.mutate(__all=ibis.literal(1)), facts.mutate(__all=ibis.literal(1))
        keys = ["__all"]
    theirs = facts.filter(*[facts[key].notnull() for key in keys]).select(*keys).distinct()
    if engine.is_duckdb(rows):
        # Sorting by whole numbers of four bytes is twice as fast as by texts. The order makes the
        # numbers the same wherever the engine evaluates them again.
        number = ibis.row_number().over(order_by=list(keys)).cast("int32")
        given = {"__key": number}
    else:
        given = {f"__on_{key}": theirs[key] for key in keys}
    theirs = theirs.select(**{f"__of_{key}": theirs[key] for key in keys}, **given)
    every = list(given)

    def by_number(table: ir.Table, how: str) -> ir.Table:
        same = [table[key] == theirs[f"__of_{key}"] for key in keys]
        return table.join(theirs, same, how=how).drop(*keys, *[f"__of_{key}" for key in keys])

    asking = by_number(rows, "left")
    return asking.mutate(__any=asking[every[0]].notnull()), by_number(facts, "inner"), every


def with_latest(rows: ir.Table, facts: ir.Table, on: Sequence[str]) -> ir.Table:
    """Each row with the latest fact at or before its time.

    Parameters
    ----------
    rows, on
        As `numbered` gives them; with ``__row`` and ``__t``.
    facts
        `on`, ``__at``, and the columns that are wanted; at most one fact of a key at one time.

    Returns
    -------
    ir.Table
        As many rows as `rows`, with ``__at`` and what is wanted, NULL where nothing was found;
        without `on`.
    """
    facts = facts.mutate(__at=facts["__at"].cast(rows["__t"].type()))
    facts = facts.rename({f"__f_{key}": key for key in on})
    if engine.is_duckdb(rows):
        # DuckDB takes a row without time for the latest of all: it gets no key.
        timed = {
            k: ibis.ifelse(rows["__t"].notnull(), rows[k], ibis.null(rows[k].type())) for k in on
        }
        rows = rows.mutate(**timed)
        same = [(key, f"__f_{key}") for key in on]
        found = rows.asof_join(facts, on=("__t", "__at"), predicates=same)
        return found.drop(*on, *[f"__f_{key}" for key in on])
    theirs = [f"__f_{key}" for key in on]
    nth = ibis.row_number().over(order_by=[*theirs, "__at"]).cast("int64")
    facts = facts.mutate(__nth=nth)
    ranks = facts.select(**{key: facts[f"__f_{key}"] for key in on}, __t="__at", __rank="__nth")
    latest_of = latest(rows.select(*on, "__row", "__t"), ranks, keys=on).rename(
        __of="__row", __is="__found"
    )
    found = rows.left_join(latest_of, rows["__row"] == latest_of["__of"])
    found = found.left_join(facts, found["__is"] == facts["__nth"])
    return found.drop("__of", "__is", "__nth", *on, *theirs)


def _native_distinct(
    rows: ir.Table, facts: ir.Table, keys: Sequence[str], taken: Sequence[str]
) -> ir.Table:
    asking, facts = _asked(rows, facts, keys)
    facts = facts.select(*taken, __of="__key", __at="__t", __found="__rank")
    return _placed(asking, facts).select("__row", "__found", *taken)


def _native(rows: ir.Table, facts: ir.Table, keys: Sequence[str], *, monotone: bool) -> ir.Table:
    asking, facts = _asked(rows, facts, keys)
    ranks = facts.select("__key", "__t", "__rank")
    if not monotone:
        before = ibis.window(
            group_by="__key", order_by=["__t", "__rank"], preceding=None, following=0
        )
        ranks = ranks.mutate(__rank=ranks["__rank"].max().over(before))
    placed = _placed(asking, ranks.select(__of="__key", __at="__t"))
    placed = placed.select("__row", "__of", "__at")
    # ASOF takes any of several facts at one time: it says the time, and the greatest rank is looked
    # up, once for all rows that ask for it. To sort by the rank as well would take longer.
    wanted = placed.select("__of", "__at").distinct()
    ties = wanted.join(ranks, [wanted["__of"] == ranks["__key"], wanted["__at"] == ranks["__t"]])
    greatest = ties.group_by("__key", "__t").aggregate(__found=ties["__rank"].max())
    same = [placed["__of"] == greatest["__key"], placed["__at"] == greatest["__t"]]
    return placed.join(greatest, same).select("__row", "__found")


def _asked(rows: ir.Table, facts: ir.Table, keys: Sequence[str]) -> tuple[ir.Table, ir.Table]:
    """``__row``, ``__key`` and ``__t``, and those of the facts that have a key of `rows`.

    Sorting by whole numbers of four and of eight bytes is twice as fast as by texts, and facts that
    nobody asks for drop out. The order makes the numbers the same wherever the engine evaluates
    them again.
    """
    asked = rows.select(*keys).distinct()
    numbers = asked.select(
        **{f"__of_{key}": asked[key] for key in keys},
        __key=ibis.row_number().over(order_by=list(keys)).cast("int32"),
    )

    def numbered(table: ir.Table) -> ir.Table:
        return table.join(numbers, [table[key] == numbers[f"__of_{key}"] for key in keys])

    return numbered(rows).select("__row", "__key", "__t"), numbered(facts)


def _placed(asking: ir.Table, facts: ir.Table) -> ir.Table:
    """Each of those who ask with a latest of `facts`, which have ``__of`` and ``__at``."""
    placed = asking.asof_join(facts, on=("__t", "__at"), predicates=[("__key", "__of")])
    return placed.filter(placed["__of"].notnull())


def _portable(rows: ir.Table, facts: ir.Table, keys: Sequence[str]) -> ir.Table:
    number = ibis.null("int64")
    line = rows.select(
        *keys, "__t", __row=rows["__row"].cast("int64"), __rank=number, __side=ibis.literal(1)
    ).union(
        facts.select(*keys, "__t", __row=number, __rank="__rank", __side=ibis.literal(0)),
        distinct=False,
    )
    # Ties within a side need no order: the greatest rank of all facts at a time is carried on.
    before = ibis.window(
        group_by=list(keys),
        order_by=[line["__t"], line["__side"], line["__row"], line["__rank"]],
        preceding=None,
        following=0,
    )
    line = line.mutate(__found=line["__rank"].max().over(before))
    return line.filter(line["__row"].notnull(), line["__found"].notnull()).select(
        "__row", "__found"
    )
