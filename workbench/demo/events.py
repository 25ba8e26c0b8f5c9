"""The feedback of the demo: what happened, before anything went wrong on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.demo import texts
from workbench.demo.columns import (
    Bools,
    Ints,
    filled,
    joined,
    numbered,
    pick,
    quoted,
    uuids,
    where,
)
from workbench.demo.world import DAY, DEVICES, HOUR, MINUTE, VERSIONS, Inferences, Users, countries

AGENTS = 14
BOT = "agent-11"
BOT_PERIOD = 97_000
LOAD_TEST = "load-test"
SILENT_RATE = 0.03
RATE = 0.52
# A deciding event that comes later than this is called late in the facts of the demo.
LATE_AFTER = 7 * DAY


def make_events(rng: np.random.Generator, users: Users, calls: Inferences) -> pa.Table:
    """All honest events: ids are unique, and every one names an inference that exists.

    ``call`` is the number of the inference, ``at`` and ``received`` are milliseconds, ``given`` is
    a JSON value. What is ``steady`` is given no fault, because a planted fact depends on it.
    """
    table = pa.concat_tables(
        [
            *_resolved(rng, calls),
            _customer_thumbs(rng, users, calls),
            _agent_thumbs(rng, calls),
            _stars(rng, users, calls),
            _dwell(rng, calls),
            _corrections(rng, calls),
            _comments(rng, users, calls),
            _bot(rng, calls),
            _load_test(rng, calls),
        ]
    )
    signed_in = rng.random(len(table)) < 0.7
    return sent(rng, users, calls, table, conversation=signed_in, customer=signed_in)


def sent(
    rng: np.random.Generator,
    users: Users,
    calls: Inferences,
    table: pa.Table,
    *,
    answer: bool = True,
    conversation: bool | Bools = True,
    customer: bool | Bools = True,
) -> pa.Table:
    """Add an id and what the sender says about whom and what is judged."""
    n = len(table)
    call = table["call"].to_numpy()
    rows = pa.array(call)

    def said(mask: bool | Bools, column: Any) -> Any:
        return where(np.broadcast_to(np.asarray(mask, np.bool_), (n,)), column)

    added = {
        "event": uuids(rng, n),
        "answer": said(answer, calls.id.take(rows)),
        "conversation": said(conversation, calls.session_name.take(rows)),
        "customer": said(customer, users.name.take(pa.array(calls.user[call]))),
        # A third of the senders name the version that they judged.
        "version": said(rng.random(n) < 0.33, pick(VERSIONS, calls.version[call])),
        "device": pick(DEVICES, calls.device[call]),
        "country": countries(users).take(pa.array(calls.user[call])),
        "at_text": pa.nulls(n, pa.string()),
        "withdraws": pa.nulls(n, pa.string()),
    }
    for name, column in added.items():
        table = table.append_column(name, column)
    return table


def frame(
    rng: np.random.Generator,
    signal: str,
    call: Ints,
    at: Ints,
    *,
    given: Any = None,
    rater: Any = None,
    kind: str | None = "human",
    fixed: Any = None,
    note: Any = None,
    steady: bool | Bools = False,
) -> pa.Table:
    """Make the events of one signal, as if all arrived soon after they happened."""
    n = len(call)

    def text(column: Any) -> Any:
        if column is None or isinstance(column, str):
            return pa.array(np.full(n, column, dtype=object), pa.string())
        return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column

    return pa.table(
        {
            "signal": text(signal),
            "call": call,
            "at": at,
            "received": at + rng.integers(50, 2 * MINUTE, n),
            "given": text(given),
            "rater": text(rater),
            "rater_kind": text(kind),
            "fixed": text(fixed),
            "note": text(note),
            "steady": np.broadcast_to(np.asarray(steady, np.bool_), (n,)),
        }
    )


def booleans(values: Bools) -> Any:
    """Write truth values as JSON."""
    return pick(("false", "true"), values.astype(np.int64))


def respond(rng: np.random.Generator, calls: Inferences, rate: float) -> Bools:
    """Draw who answers when asked: the silent cohort hardly ever does."""
    silent_rate = rate * SILENT_RATE / RATE
    return rng.random(len(calls)) < np.where(calls.silent, silent_rate, rate)


def _agents(rng: np.random.Generator, n: int, each: int = 1) -> Any:
    """Draw `each` different agents for `n` cases, none of them the bot."""
    first = rng.integers(0, AGENTS - 1, n)
    step = rng.integers(1, 4, n)
    number = (first[:, None] + step[:, None] * np.arange(each)) % (AGENTS - 1)
    honest = np.array([k for k in range(1, AGENTS + 1) if f"agent-{k:02d}" != BOT])
    return numbered("agent-", honest[number.ravel()], 2)


def _hours(rng: np.random.Generator, n: int, median: float, most: float) -> Ints:
    """Draw delays in milliseconds: a long tail of hours, cut off at `most` hours."""
    hours = np.minimum(median * np.exp(rng.normal(0.0, 1.1, n)), most * rng.uniform(0.9, 1.0, n))
    return (hours * HOUR).astype(np.int64)


def _resolved(rng: np.random.Generator, calls: Inferences) -> list[pa.Table]:
    """Whether the ticket was resolved: the deciding signal, known when the ticket is closed."""
    call = np.flatnonzero(respond(rng, calls, RATE))
    outcome = calls.outcome[call]
    at = calls.ts[call] + _hours(rng, len(call), 9.0, 150.0)
    case = rng.random(len(call))
    many, reopened = case < 0.09, (case >= 0.09) & (case < 0.105) & ~outcome
    one = ~many & ~reopened
    single = frame(
        rng,
        "resolved",
        call[one],
        at[one],
        given=_digits(outcome[one]),
        rater=_agents(rng, int(one.sum())),
    )
    # Three agents judge the same answer. Each errs in one case of ten.
    judged = np.repeat(call[many], 3)
    wrong = rng.random(len(judged)) < 0.1
    several = frame(
        rng,
        "resolved",
        judged,
        np.repeat(at[many], 3) + rng.integers(0, 8 * HOUR, len(judged)),
        given=_digits(calls.outcome[judged] ^ wrong),
        rater=_agents(rng, int(many.sum()), 3),
        steady=True,
    )
    # The agent closed the ticket, and had to open it again: the last word counts.
    rater = _agents(rng, int(reopened.sum()))
    closed, again = at[reopened], at[reopened] + rng.integers(HOUR, 12 * HOUR, len(rater))
    twice = [
        frame(rng, "resolved", call[reopened], when, given=given, rater=rater, steady=True)
        for when, given in (
            (closed, _digits(~outcome[reopened])),
            (again, _digits(outcome[reopened])),
        )
    ]
    return [single, several, *twice]


def _digits(values: Bools) -> Any:
    return pick(("0", "1"), values.astype(np.int64))


def _customer_thumbs(rng: np.random.Generator, users: Users, calls: Inferences) -> pa.Table:
    asked = respond(rng, calls, 0.16)
    call = np.flatnonzero(asked & (rng.random(len(calls)) < np.where(calls.outcome, 0.7, 1.0)))
    up = calls.outcome[call] ^ (rng.random(len(call)) < 0.1)
    return frame(
        rng,
        "thumb",
        call,
        calls.ts[call] + rng.integers(3_000, 5 * MINUTE, len(call)),
        given=booleans(up),
        rater=_customer(users, calls, call),
    )


def _customer(users: Users, calls: Inferences, call: Ints) -> Any:
    return users.name.take(pa.array(calls.user[call]))


def _agent_thumbs(rng: np.random.Generator, calls: Inferences) -> pa.Table:
    """Review a sample of answers every week, three agents each."""
    sample = np.flatnonzero(respond(rng, calls, 0.04))
    call = np.repeat(sample, 3)
    up = calls.outcome[call] ^ (rng.random(len(call)) < 0.1)
    at = calls.ts[call] + _hours(rng, len(call), 30.0, 150.0)
    return frame(rng, "thumb", call, at, given=booleans(up), rater=_agents(rng, len(sample), 3))


def _stars(rng: np.random.Generator, users: Users, calls: Inferences) -> pa.Table:
    call = np.flatnonzero(respond(rng, calls, 0.1))
    mean = np.where(calls.outcome[call], 4.3, 2.1)
    stars = np.clip(np.rint(rng.normal(mean, 0.9)), 1, 5).astype(np.int64)
    wrote = where(rng.random(len(call)) < 0.2, _words(calls, call))
    return frame(
        rng,
        "stars",
        call,
        calls.ts[call] + rng.integers(20_000, 6 * HOUR, len(call)),
        given=pick(("1", "2", "3", "4", "5"), stars - 1),
        rater=_customer(users, calls, call),
        note=wrote,
    )


def _dwell(rng: np.random.Generator, calls: Inferences) -> pa.Table:
    """Seconds for which the answer stayed on the screen, logged by the web client."""
    call = np.flatnonzero(respond(rng, calls, 0.25))
    median = np.where(calls.outcome[call], 48.0, 17.0)
    tenths = np.minimum(median * 10 * np.exp(rng.normal(0, 0.7, len(call))), 9_000).astype(np.int64)
    given = joined(
        pc.cast(pa.array(tenths // 10), pa.string()),
        ".",
        pc.cast(pa.array(tenths % 10), pa.string()),
    )
    at = calls.ts[call] + tenths * 100
    return frame(rng, "dwell", call, at, given=given, kind="code")


def _corrections(rng: np.random.Generator, calls: Inferences) -> pa.Table:
    call = np.flatnonzero(respond(rng, calls, 0.06) & ~calls.outcome)
    choices = [texts.CORRECTIONS[language] for language in texts.LANGUAGES]
    text = filled(choices, calls.language[call], calls.ref.take(pa.array(call)))
    at = calls.ts[call] + _hours(rng, len(call), 12.0, 150.0)
    return frame(rng, "correction", call, at, fixed=text, rater=_agents(rng, len(call)))


def _comments(rng: np.random.Generator, users: Users, calls: Inferences) -> pa.Table:
    call = np.flatnonzero(respond(rng, calls, 0.03))
    return frame(
        rng,
        "comment",
        call,
        calls.ts[call] + rng.integers(30_000, DAY, len(call)),
        given=quoted(_words(calls, call)),
        rater=_customer(users, calls, call),
    )


def _words(calls: Inferences, call: Ints) -> Any:
    """Write what a customer says about an answer that helped, or did not."""
    choices = [text for language in texts.LANGUAGES for text in texts.COMMENTS[language]]
    index = 2 * calls.language[call] + calls.outcome[call]
    return filled(choices, index, calls.ref.take(pa.array(call)))


def _bot(rng: np.random.Generator, calls: Inferences) -> pa.Table:
    """Run a script with an agent's account: thumbs up for anything, as regular as a clock."""
    begin = int(np.quantile(calls.ts, 0.72)) // 1000 * 1000
    pool = np.flatnonzero((calls.ts < begin) & (calls.ts >= begin - 3 * DAY))
    call = rng.choice(pool, min(len(pool), len(calls) * 3 // 100, 1_500), replace=False)
    at = begin + BOT_PERIOD * np.arange(len(call))
    return frame(
        rng, "thumb", call, at, given=booleans(np.ones(len(call), np.bool_)), rater=BOT, steady=True
    )


def _load_test(rng: np.random.Generator, calls: Inferences) -> pa.Table:
    call = rng.choice(len(calls), len(calls) * 15 // 1000, replace=False)
    at = calls.ts[call] + rng.integers(500, 5_000, len(call))
    up = booleans(rng.random(len(call)) < 0.5)
    return frame(rng, "thumb", call, at, given=up, rater=LOAD_TEST, kind="code", steady=True)
