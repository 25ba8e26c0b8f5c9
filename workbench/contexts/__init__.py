"""Context joins: one file each, pure functions of Ibis tables that keep every inference's row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import ibis.expr.types as ir

from workbench.registry import Registry


@dataclass(frozen=True, kw_only=True)
class JoinSpec:
    """What a join needs to know.

    Attributes
    ----------
    name
        Name of the context, and of the struct column that the join adds.
    keys
        Pairs of inference column and key column of the facts.
    facts
        Fact columns to take.
    time
        Column of the time from which a fact holds; None for a join without time.
    order
        Column that settles ties between facts of one time; the greatest wins.
    tolerance
        Greatest age of a fact.
    """

    name: str
    keys: tuple[tuple[str, str], ...]
    facts: tuple[str, ...]
    time: str | None
    order: str
    tolerance: timedelta | None


@dataclass(frozen=True, kw_only=True)
class ContextJoin:
    """A way to join facts to inferences.

    Attributes
    ----------
    join
        ``(inferences, facts, spec) -> inferences`` with one struct column more, its fields the
        facts and, for reports, ``<name>__age`` (seconds, NULL without time) and
        ``<name>__reason`` (why nothing was found, NULL where something was).
    unique
        Whether the facts must hold at most one row per key.
    """

    join: Callable[[ir.Table, ir.Table, JoinSpec], ir.Table]
    unique: bool = False


contexts: Registry[ContextJoin] = Registry("workbench.contexts", "context_join", label="join")


def age_column(name: str) -> str:
    """Column of the age in seconds of a context's facts."""
    return f"{name}__age"


def reason_column(name: str) -> str:
    """Column of the reason why a context found nothing."""
    return f"{name}__reason"


def keyed(inferences: ir.Table, keys: Sequence[tuple[str, str]]) -> ir.Table:
    """`inferences` with a text column per key, named like the key column of the facts."""
    return inferences.mutate(**{right: inferences[left].cast("string") for left, right in keys})
