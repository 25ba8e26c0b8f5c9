"""Context joins: one file each, pure functions of Ibis tables that keep every inference's row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from workbench.formulas import seconds_between
from workbench.project import Context
from workbench.registry import Registry

#: What the value of an option is: ``time`` and ``column`` name source columns.
Kind = Literal["time", "column", "duration", "count", "number", "choice", "text", "aggregates"]
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Option:
    """A key that a join reads in ``[context.NAME]``.

    Attributes
    ----------
    name
        The key.
    kind
        How its value is checked and read.

        ``time``: a source column of times; the lake keeps it as `time_column`. ``column``: a source
        column, or a list of them, that is kept among the facts. ``duration``: a timedelta.
        ``count``: a whole number from 1. ``number``: a float. ``choice``: one of `choices`.
        ``text``: a text. ``aggregates``: a table of names and functions; a tuple of
        `workbench.project.Aggregate`.
    default
        Value where the key is absent.
    required
        Whether the key must be given.
    choices
        Of a choice its values, of aggregates the functions.
    after
        Of a time: an earlier option, which it must come after. It is an end, so it may be absent,
        and a time from 2100 on is none.
    meaning
        One sentence for the documentation.
    """

    name: str
    kind: Kind
    meaning: str
    default: Any = None
    required: bool = False
    choices: tuple[str, ...] = ()
    after: str | None = None


@dataclass(frozen=True, kw_only=True)
class JoinSpec:
    """What a join needs to know of one configured context.

    Attributes
    ----------
    name
        Name of the context, and of the struct column that the join adds.
    keys
        Pairs of inference column and key column of the facts, which is text.
    facts
        Fact columns to take.
    order
        Column that settles ties between facts: a unique whole number, the greatest wins. It grows
        with ``ts``, then with ``known_at``, where the facts have them.
    times
        Column of the facts for each option of kind ``time`` that is configured.
    options
        The other options, read.
    as_of
        Time to which the build knows the world; None without clocks. In a build it is an
        expression, unless the join is of another package.
    computed
        What `ContextJoin.compute` made.
    """

    name: str
    keys: tuple[tuple[str, str], ...]
    facts: tuple[str, ...]
    order: str
    times: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    options: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    as_of: datetime | ir.TimestampScalar | None = None
    computed: ir.Table | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a join that computes outside of the engine gets.

    Attributes
    ----------
    inferences
        The inferences, with the wide columns that the join reads.
    facts
        The facts.
    stream
        Reads a query over these two in batches of about so many rows. One stream is read to its
        end before the next one is asked for.
    folder
        Where results may be kept from one build to the next.
    root
        The project folder, to which paths in the configuration are relative.
    spec
        The context.
    """

    inferences: ir.Table
    facts: ir.Table
    stream: Callable[[ir.Table, int], Iterator[pa.RecordBatch]]
    folder: Path
    root: Path
    spec: JoinSpec


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Which inferences a fact can matter to, among those of its key.

    Attributes
    ----------
    start, end
        The earliest and the latest time of such an inference, over the facts; None for no bound,
        which also takes in inferences without a time. A wider range is never wrong.
    reasons
        Inferences outside of the range for which the context gives one of these reasons.
    """

    start: ir.TimestampValue | None = None
    end: ir.TimestampValue | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Before:
    """Which facts that were known before an inference can matter to it, among those of its key.

    Facts that have no time never do. More facts are never wrong.

    Attributes
    ----------
    last
        So many, those that became known last; None for no such bound.
    span
        Those that became known at most so long before it, the start included; None for no bound.
    """

    last: int | None = None
    span: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class ContextJoin:
    """A way to join facts to inferences.

    Attributes
    ----------
    join
        ``(inferences, facts, spec) -> inferences`` with one struct column more and, for reports,
        `age_column`, `reason_column` and `known_column`.
    options
        The keys that the join reads beside ``source``, ``on`` and ``columns``.
    keys
        Whether ``on`` must be given, may be, or may not.
    source
        ``table``: facts of a source. ``log``: of a source, or with ``from`` of the inference log
        or the feedback. ``none``: there are no facts.
    columns
        What is taken where ``columns`` is absent: all but keys and times, or nothing.
    reads
        Wide inference columns that `join` or `compute` needs.
    problems
        What is wrong with the settings beyond each option by itself, one sentence each.
    refuse
        Query of facts that the settings forbid: ``key`` (text) and ``n``; such a build fails.
    figures
        Query of one row of numbers about the facts and what was computed, for the report.
    compute
        Makes, outside of the engine, the table that the join finds in ``spec.computed``.
    forward
        Whether the join takes what came after the inference, as only one may that says so.
    reach
        What a fact that is new, or is gone, can change; None where it can change everything. What
        a row gets must depend on itself, and on the facts that reach it, alone.
    horizon
        How far before the build's ``as_of`` inferences may change because time goes on; None for
        not at all.
    before
        Which facts from before an inference are enough; None where all are needed.
    shares
        How far apart two inferences of one key may be that share a fact out among them, so that
        one of them matters to the other; None where they do not.
    """

    join: Callable[[ir.Table, ir.Table, JoinSpec], ir.Table]
    options: tuple[Option, ...] = ()
    keys: Literal["required", "optional", "none"] = "required"
    source: Literal["table", "log", "none"] = "table"
    columns: Literal["all", "none"] = "all"
    reads: Callable[[JoinSpec], Sequence[str]] = lambda _: ()
    problems: Callable[[Context], Sequence[str]] = lambda _: ()
    refuse: Callable[[ir.Table, JoinSpec], ir.Table | None] = lambda _facts, _spec: None
    figures: Callable[[ir.Table, JoinSpec], ir.Table | None] = lambda _facts, _spec: None
    compute: Callable[[Inputs], pa.Table | pa.RecordBatchReader] | None = None
    forward: bool = False
    reach: Callable[[ir.Table, JoinSpec], Reach] | None = None
    horizon: Callable[[JoinSpec], timedelta | None] = lambda _: None
    before: Callable[[JoinSpec], Before | None] = lambda _: None
    shares: Callable[[JoinSpec], timedelta | None] = lambda _: None


contexts: Registry[ContextJoin] = Registry("workbench.contexts", "context_join", label="join")

#: Why a context found nothing, or could not say all; a law of every join is to give no other.
REASONS: Mapping[str, str] = {
    "no_key": "The inference does not say whose facts to look for.",
    "no_clock": "The inference has no time, or the build has none.",
    "no_match": "The source has no fact of this key.",
    "too_old": "What was known was older than the tolerance.",
    "not_yet_known": "There are facts, but none was known at the time of the inference.",
    "not_valid": "No fact was valid at the time of the inference.",
    "not_mature": "The horizon has not ended yet: it is too early to say.",
    "no_event": "Nothing happened in that time.",
    "several_matches": "The key has several facts, and none of them is taken.",
    "no_embedding": "The inference has no embedding.",
    "bad_embedding": "The embedding has values that are no numbers, or no direction.",
    "wrong_length": "No document that was known has an embedding of this length.",
    "below_minimum": "No document is as similar as is asked for.",
    "no_output": "The inference has no output.",
    "no_claim": "The answer makes no claim of this kind.",
    "missing_features": "The inference lacks features that the model needs.",
}

#: Read by every join: a fact that was recorded later than the inference may not be used.
KNOWN_AT = Option(
    name="known_at",
    kind="time",
    meaning="column of the time at which a fact was recorded; where it is empty, `ts`",
)


def age_column(name: str) -> str:
    """Column of the age in seconds of a context's facts: of the newest of several."""
    return f"{name}__age"


def reason_column(name: str) -> str:
    """Column of the reason why a context found nothing; NULL where it found something."""
    return f"{name}__reason"


def known_column(name: str) -> str:
    """Column of the time at which all facts of a context were known; NULL where facts have none."""
    return f"{name}__known"


def time_column(option: str) -> str:
    """Column of the facts that holds the times of an option of kind ``time``."""
    return f"__{option}"


def fact_column(facts: ir.Table, name: str) -> ir.Value:
    """The column of the facts that an option names, however it is spelled."""
    return facts[next((c for c in facts.columns if c.lower() == name.lower()), name)]


def span(duration: timedelta) -> ir.IntervalScalar:
    """A duration as an interval, to the microsecond."""
    return ibis.interval(microseconds=round(duration.total_seconds() * 1_000_000))


def available(facts: ir.Table, spec: JoinSpec, happened: str = "ts") -> ir.TimestampValue:
    """From when on each fact could be used: it has happened, and it is known."""
    known = spec.times.get("known_at")
    since = facts[spec.times[happened]]
    return since if known is None else ibis.greatest(since, ibis.coalesce(facts[known], since))


def packed(facts: ir.Table, spec: JoinSpec) -> ir.StructValue:
    """The facts that are taken, as one struct; of facts without columns, that there is one."""
    taken = {name: facts[name] for name in spec.facts}
    return ibis.struct(taken or {"known": ibis.literal(True)})


def has_key(inferences: ir.Table, spec: JoinSpec) -> ir.BooleanValue:
    """Whether an inference has every key."""
    present = [inferences[column].notnull() for column, _ in spec.keys]
    return ibis.and_(ibis.literal(True), *present)


def keyed(inferences: ir.Table, spec: JoinSpec, **columns: ir.Value) -> ir.Table:
    """``__row`` and ``__t`` (the time) of each inference, its keys as text, and `columns`."""
    keys = [inferences[column].cast("string").name(key) for column, key in spec.keys]
    return inferences.select(*keys, __row=inferences["row_id"], __t=inferences["ts"], **columns)


def with_keys(inferences: ir.Table, spec: JoinSpec) -> ir.Table:
    """`inferences` with each key as text in ``__k_KEY``, ``__row`` and ``__t`` (the time)."""
    keys = {f"__k_{key}": inferences[column].cast("string") for column, key in spec.keys}
    return inferences.mutate(**keys, __row=inferences["row_id"], __t=inferences["ts"])


def with_found(
    inferences: ir.Table,
    found: ir.Table,
    facts: ir.Table,
    spec: JoinSpec,
    *,
    reason: Callable[[ir.Table], ir.StringValue],
    since: ir.TimestampValue | None = None,
    known: ir.TimestampValue | None = None,
    usable: Callable[[ir.Table], ir.BooleanValue] = lambda _: ibis.literal(True),
) -> ir.Table:
    """`inferences` with the one fact that was found for each.

    Parameters
    ----------
    found
        ``__row`` and ``__found``: the order of a fact, NULL where there is none; at most one row
        per inference. Its other columns can be used by `reason` and `usable`.
    reason
        Why nothing is taken, over the joined table, in which ``__order`` is not NULL where
        something was found.
    since
        Time of each fact, over `facts`, from which its age counts; it is ``__since`` in the joined
        table. None where facts have no time.
    known
        Time at which each fact was known, over `facts`.
    usable
        Whether the fact that was found may be taken, over the joined table.
    """
    extra = [name for name in found.columns if name not in ("__row", "__found")]
    joined = inferences.left_join(found, inferences["row_id"] == found["__row"]).drop("__row")
    taken = with_taken(joined, facts, spec, reason=reason, since=since, known=known, usable=usable)
    return taken.drop(*extra)


def with_taken(
    joined: ir.Table,
    facts: ir.Table,
    spec: JoinSpec,
    *,
    reason: Callable[[ir.Table], ir.StringValue],
    since: ir.TimestampValue | None = None,
    known: ir.TimestampValue | None = None,
    usable: Callable[[ir.Table], ir.BooleanValue] = lambda _: ibis.literal(True),
) -> ir.Table:
    """Inferences whose ``__found`` is the order of a fact, with that fact in place of it.

    Parameters
    ----------
    joined
        The inferences, with ``__found``, and columns that `reason` and `usable` need.
    facts, spec, reason, since, known, usable
        As of `with_found`.
    """
    time = joined["ts"].type()
    none = ibis.null(time)
    taken = facts.select(
        __order=facts[spec.order].cast("int64"),
        __since=none if since is None else since.cast(time),
        __known=none if known is None else known.cast(time),
        __packed=packed(facts, spec),
    )
    joined = joined.left_join(taken, joined["__found"] == taken["__order"])
    take = joined["__order"].notnull() & usable(joined).fill_null(False)
    struct = joined["__packed"]
    return joined.mutate(
        **{
            spec.name: ibis.ifelse(take, struct, ibis.null(struct.type())),
            age_column(spec.name): ibis.ifelse(
                take, seconds_between(joined["ts"], joined["__since"]), ibis.null("float64")
            ),
            reason_column(spec.name): ibis.ifelse(take, ibis.null("string"), reason(joined)),
            known_column(spec.name): ibis.ifelse(take, joined["__known"], none),
        }
    ).drop("__found", "__order", "__since", "__known", "__packed")
