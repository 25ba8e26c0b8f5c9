"""What goes wrong between the product and its logs, planted in exact numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.demo.columns import (
    Bools,
    Ints,
    iso,
    joined,
    json_lines,
    pick,
    quoted,
    uuids,
)
from workbench.demo.events import LATE_AFTER, LOAD_TEST, booleans, frame, sent
from workbench.demo.world import DAY, HOUR, MINUTE, VERSIONS, Inferences, Users

# Share of the number of inferences; at least two of each are planted.
SHARES = {
    "early": 0.00415,
    "late": 0.00605,
    "other_model_version": 0.0031,
    "retracted": 0.0026,
    "exact_duplicate": 0.0052,
    "conflicting_duplicate": 0.0021,
    "session": 0.0202,
    "user": 0.0099,
    "ambiguous": 0.0041,
    "unknown_id": 0.0061,
    "out_of_window": 0.0019,
    "not_json": 0.00155,
    "missing_value": 0.00195,
    "bad_value": 0.0016,
    "bad_type": 0.0011,
    "ts_out_of_range": 0.0006,
}
INVALID = ("not_json", "missing_value", "bad_value", "bad_type", "ts_out_of_range")
NEVER = np.iinfo(np.int64).max // 4


def counts(n: int) -> dict[str, int]:
    """How many faults of each sort a demo of `n` inferences has."""
    return {name: max(2, round(share * n)) for name, share in SHARES.items()}


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """The lines of the feedback log in the order in which they were received.

    Attributes
    ----------
    lines
        JSON texts, some of them broken.
    received
        Milliseconds by line.
    accepted
        Events that are neither invalid nor duplicate nor spam and that name their inference.
    retracted
        By accepted event: its sender withdrew it.
    judging
        Events that are attributed, however they were, without the withdrawals.
    withdrawn
        By event of `judging`: milliseconds when its withdrawal was received, or ``NEVER``.
    until
        Milliseconds when the last event that counts was received.
    ledger
        Received events by what becomes of them.
    """

    lines: Any
    received: Ints
    accepted: pa.Table
    retracted: Bools
    judging: pa.Table
    withdrawn: Ints
    until: int
    ledger: dict[str, int]


def spoil(rng: np.random.Generator, users: Users, calls: Inferences, events: pa.Table) -> Feedback:
    """Plant every fault in `events` and write the log."""
    n = counts(len(calls))
    chosen = _choose(rng, events, n)
    events = _altered(rng, calls, events, chosen)
    nameless = _without_id(rng, users, calls, n)
    orphans = _orphans(rng, users, calls, n)
    invalid = _invalid(rng, users, calls, n)
    withdrawals = _withdrawals(rng, users, calls, events.take(pa.array(chosen["retracted"])))
    conflicting = _conflicting(rng, events.take(pa.array(chosen["conflicting_duplicate"])))
    log = pa.concat_tables([events, *nameless, *orphans, *invalid, withdrawals, conflicting])
    lines, received = encode(log), log["received"].to_numpy()
    # A batch is sent again within three days. A line that was torn is written whole at once.
    again = chosen["exact_duplicate"]
    torn = rng.choice(len(events), n["not_json"], replace=False)
    lines = pa.concat_arrays(
        [
            lines,
            lines.take(pa.array(again)),
            pc.utf8_slice_codeunits(lines.take(pa.array(torn)), 0, 90),
        ]
    )
    resent = received[again] + rng.integers(MINUTE, 3 * DAY, len(again))
    received = np.concatenate([received, resent, received[torn] - 1])
    order = np.argsort(received, kind="stable")

    honest = pc.not_equal(pc.fill_null(events["rater"], ""), LOAD_TEST).to_numpy()
    retracted = np.zeros(len(events), np.bool_)
    retracted[chosen["retracted"]] = True
    accepted = events.filter(pa.array(honest))
    by_session, by_user, _ = nameless
    judging = pa.concat_tables([accepted, by_session, by_user])
    withdrawn = np.full(len(events), NEVER)
    withdrawn[chosen["retracted"]] = withdrawals["received"].to_numpy()
    withdrawn = np.r_[withdrawn[honest], np.full(len(judging) - len(accepted), NEVER)]
    counting = pa.concat_tables([accepted, *nameless, *orphans, withdrawals])
    ledger = {
        "received": len(lines),
        "invalid": sum(n[reason] for reason in INVALID),
        "duplicate": n["exact_duplicate"] + n["conflicting_duplicate"],
        "spam": int((~honest).sum()),
        "orphan": n["unknown_id"] + n["out_of_window"],
        "ambiguous": n["ambiguous"],
        "attributed": int(honest.sum()) + n["session"] + n["user"] + n["retracted"],
    }
    return Feedback(
        lines=lines.take(pa.array(order)),
        received=received[order],
        accepted=accepted,
        retracted=retracted[honest],
        judging=judging,
        withdrawn=withdrawn,
        until=int(pc.max(counting["received"]).as_py()),
        ledger=ledger,
    )


def encode(table: pa.Table) -> Any:
    """Lines of the log."""
    at = table["at_text"].combine_chunks()
    return json_lines(
        {
            "event_id": quoted(table["event"]),
            "answer_id": quoted(table["answer"]),
            "conversation": quoted(table["conversation"]),
            "customer": quoted(table["customer"]),
            "signal": quoted(table["signal"]),
            "given": table["given"].combine_chunks(),
            "fixed_answer": quoted(table["fixed"]),
            "note": quoted(table["note"]),
            "by": quoted(table["rater"]),
            "by_kind": quoted(table["rater_kind"]),
            "version": quoted(table["version"]),
            "client": quoted(table["device"]),
            "country": quoted(table["country"]),
            "at": joined('"', pc.coalesce(at, iso(table["at"].to_numpy())), '"'),
            "received": joined('"', iso(table["received"].to_numpy()), '"'),
            "withdraws": quoted(table["withdraws"]),
        }
    )


def _choose(rng: np.random.Generator, events: pa.Table, n: dict[str, int]) -> dict[str, Ints]:
    """Rows for each fault that alters an event; no row gets two."""
    free = ~events["steady"].to_numpy()
    signal = events["signal"].to_numpy(zero_copy_only=False)
    suits = {
        "late": signal == "resolved",
        "early": signal == "thumb",
        "retracted": np.isin(signal, ("resolved", "thumb", "stars")),
        "conflicting_duplicate": signal == "thumb",
        "other_model_version": signal != "dwell",
        "exact_duplicate": np.ones(len(signal), np.bool_),
    }
    chosen = {}
    for name, suitable in suits.items():
        rows = rng.choice(np.flatnonzero(free & suitable), n[name], replace=False)
        free[rows] = False
        chosen[name] = np.sort(rows)
    return chosen


def _altered(
    rng: np.random.Generator, calls: Inferences, events: pa.Table, chosen: dict[str, Ints]
) -> pa.Table:
    """Give chosen events an early time, a late time or the wrong model version."""
    call, at = events["call"].to_numpy(), events["at"].to_numpy().copy()
    received = events["received"].to_numpy().copy()
    early, late = chosen["early"], chosen["late"]
    at[early] = calls.ts[call[early]] - rng.integers(1_000, 10 * MINUTE, len(early))
    at[late] = calls.ts[call[late]] + LATE_AFTER + rng.integers(HOUR, 12 * DAY, len(late))
    received[late] = at[late] + rng.integers(1_000, HOUR, len(late))
    wrong = np.zeros(len(events), np.bool_)
    wrong[chosen["other_model_version"]] = True
    other = pick(VERSIONS, (calls.version[call] + 1) % len(VERSIONS))
    events = _replaced(events, "at", pa.array(at))
    events = _replaced(events, "received", pa.array(received))
    return _replaced(events, "version", pc.if_else(pa.array(wrong), other, events["version"]))


def _replaced(table: pa.Table, name: str, column: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)


def _gaps(group: Ints, ts: Ints) -> tuple[Ints, Ints]:
    """Milliseconds to the call before and to the call after within the same group."""
    order = np.lexsort((np.arange(len(ts)), ts, group))
    step = np.diff(ts[order])
    step = np.where(np.diff(group[order]) == 0, step, NEVER)
    before, after = np.empty_like(ts), np.empty_like(ts)
    before[order] = np.r_[NEVER, step]
    after[order] = np.r_[step, NEVER]
    return before, after


def _thumbs(
    rng: np.random.Generator, users: Users, calls: Inferences, call: Ints, delay: Ints
) -> pa.Table:
    return frame(
        rng,
        "thumb",
        call,
        calls.ts[call] + delay,
        given=booleans(calls.outcome[call]),
        rater=users.name.take(pa.array(calls.user[call])),
    )


def _soon(rng: np.random.Generator, gap: Ints) -> Ints:
    """Draw a time before the next call and within twenty minutes."""
    return (np.minimum(gap, 20 * MINUTE) * rng.uniform(0.1, 0.9, len(gap))).astype(np.int64)


def _without_id(
    rng: np.random.Generator, users: Users, calls: Inferences, n: dict[str, int]
) -> list[pa.Table]:
    """Events that leave the inference out: found by session, found by user, or ambiguous."""
    parts = []
    for name, group in (("session", calls.session), ("user", calls.user)):
        before, after = _gaps(group, calls.ts)
        alone = np.flatnonzero((before > 0) & (after > 5_000) & ~calls.tied & ~calls.silent)
        call = rng.choice(alone, n[name], replace=False)
        table = _thumbs(rng, users, calls, call, _soon(rng, after[call]))
        parts.append(sent(rng, users, calls, table, answer=False, conversation=name == "session"))
    before, after = _gaps(calls.session, calls.ts)
    second = np.flatnonzero(calls.tied & (before == 0) & (after > 5_000))
    call = rng.choice(second, n["ambiguous"], replace=False)
    table = _thumbs(rng, users, calls, call, _soon(rng, after[call]))
    # No version either: it would tell the two answers apart if they came from two models.
    parts.append(
        _replaced(
            sent(rng, users, calls, table, answer=False),
            "version",
            pa.nulls(len(table), pa.string()),
        )
    )
    return parts


def _orphans(
    rng: np.random.Generator, users: Users, calls: Inferences, n: dict[str, int]
) -> list[pa.Table]:
    """Events about an unknown inference, and events too late for the window of their session."""
    call = rng.choice(len(calls), n["unknown_id"], replace=False)
    delay = rng.integers(5_000, 10 * MINUTE, len(call))
    unknown = sent(rng, users, calls, _thumbs(rng, users, calls, call, delay))
    unknown = _replaced(unknown, "answer", uuids(rng, len(call)))
    last = np.flatnonzero(_gaps(calls.session, calls.ts)[1] == NEVER)
    call = rng.choice(last, n["out_of_window"], replace=False)
    delay = rng.integers(2 * HOUR, 9 * HOUR, len(call))
    forgotten = _thumbs(rng, users, calls, call, delay)
    return [unknown, sent(rng, users, calls, forgotten, answer=False, customer=False)]


def _invalid(
    rng: np.random.Generator, users: Users, calls: Inferences, n: dict[str, int]
) -> list[pa.Table]:
    """Events without a value, with stars off the scale, and with times that are none."""
    parts = {}
    for name in INVALID[1:]:
        call = rng.choice(len(calls), n[name], replace=False)
        delay = rng.integers(5_000, HOUR, len(call))
        parts[name] = sent(rng, users, calls, _thumbs(rng, users, calls, call, delay))
    empty = pa.nulls(n["missing_value"], pa.string())
    parts["missing_value"] = _replaced(parts["missing_value"], "given", empty)
    stars = pick(("0", "6", "7", "11"), rng.integers(0, 4, n["bad_value"]))
    parts["bad_value"] = _replaced(parts["bad_value"], "given", stars)
    name = pick(("stars",), np.zeros(n["bad_value"], np.int64))
    parts["bad_value"] = _replaced(parts["bad_value"], "signal", name)
    times = ("2026-03-32T10:00:00Z", "yesterday", "n/a")
    no_time = pick(times, rng.integers(0, len(times), n["bad_type"]))
    parts["bad_type"] = _replaced(parts["bad_type"], "at_text", no_time)
    epoch = pick(("1970-01-01T00:00:00.000Z",), np.zeros(n["ts_out_of_range"], np.int64))
    parts["ts_out_of_range"] = _replaced(parts["ts_out_of_range"], "at_text", epoch)
    return list(parts.values())


def _withdrawals(
    rng: np.random.Generator, users: Users, calls: Inferences, events: pa.Table
) -> pa.Table:
    """One event for each of `events` with which its sender takes it back."""
    n = len(events)
    table = frame(
        rng,
        "withdrawal",
        events["call"].to_numpy(),
        events["received"].to_numpy() + rng.integers(MINUTE, 5 * HOUR, n),
        given=quoted(pick(("given by mistake", "wrong ticket"), rng.integers(0, 2, n))),
        rater=events["rater"],
    )
    return _replaced(sent(rng, users, calls, table), "withdraws", events["event"])


def _conflicting(rng: np.random.Generator, events: pa.Table) -> pa.Table:
    """Repeat ids a little later with the opposite value."""
    later = rng.integers(MINUTE, HOUR, len(events))
    up = pc.equal(events["given"], "false").to_numpy()
    events = _replaced(events, "at", pa.array(events["at"].to_numpy() + later))
    events = _replaced(events, "received", pa.array(events["received"].to_numpy() + later))
    return _replaced(events, "given", booleans(up))
