"""Rows of which both the decision and the truth are known: the table of confusions."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

#: Columns that `decided` and `share` read.
NEEDS = ("selected", "positive")


def decided(rows: ir.Table) -> ir.BooleanValue:
    """Whether it is known both what was predicted and what it should have been."""
    return rows.selected.notnull() & rows.positive.notnull()


def no(value: ir.Value) -> ir.BooleanValue:
    """Negate a column, also one that has no type because it has no values."""
    return ~value.cast("boolean")


def share(event: ir.Value, among: ir.Value) -> ir.BooleanValue:
    """`event` in the rows that the share is taken of, NULL elsewhere."""
    return ibis.ifelse(among.cast("boolean"), event.cast("boolean"), ibis.null("boolean"))
