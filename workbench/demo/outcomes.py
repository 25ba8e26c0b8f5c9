"""What came of the answers for the business, and what happened around the assistant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.demo.columns import Floats, Ints, instants, pick, where
from workbench.demo.world import DAY, HOUR, INCIDENT, MINUTE, START, Inferences, Users

EVENTS = ("purchase", "ticket_reopened", "ticket_closed")
# The horizons of the demo's settings.
PURCHASE_HORIZON = 21 * DAY
REOPENED_HORIZON = 7 * DAY


@dataclass(frozen=True, kw_only=True)
class Incident:
    """One line of ``incidents.csv``; times in milliseconds."""

    name: str
    kind: str
    severity: str
    begin: int
    end: int


INCIDENTS = (
    Incident(
        name="search index rebuilt",
        kind="maintenance",
        severity="minor",
        begin=START + DAY + 13 * HOUR,
        end=START + DAY + 13 * HOUR + 40 * MINUTE,
    ),
    Incident(
        name="login provider slow",
        kind="incident",
        severity="major",
        begin=START + 8 * DAY + 16 * HOUR,
        end=START + 8 * DAY + 17 * HOUR + 30 * MINUTE,
    ),
    Incident(
        name="public holiday",
        kind="holiday",
        severity="none",
        begin=START + 15 * DAY,
        end=START + 16 * DAY,
    ),
    # On the holiday: where two are valid, the one that began later tells more.
    Incident(
        name="mail queue backlog",
        kind="incident",
        severity="minor",
        begin=START + 15 * DAY + 10 * HOUR,
        end=START + 15 * DAY + 12 * HOUR,
    ),
    Incident(
        name="deploy of v3",
        kind="incident",
        severity="critical",
        begin=INCIDENT[0],
        end=INCIDENT[1],
    ),
    Incident(
        name="payment provider down",
        kind="incident",
        severity="major",
        begin=START + 22 * DAY + 13 * HOUR + 10 * MINUTE,
        end=START + 22 * DAY + 14 * HOUR,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """Events in no order; every attribute is one column.

    Attributes
    ----------
    kind
        Position in `EVENTS`.
    user, session
        Whom the event is about.
    amount
        Of a purchase, in euros.
    at, recorded
        Milliseconds when it happened, and when the business's own systems had it.
    """

    kind: Ints
    user: Ints
    session: Ints
    amount: Floats
    at: Ints
    recorded: Ints


def make_outcomes(rng: np.random.Generator, calls: Inferences) -> Outcomes:
    """Draw what happened after each conversation; its last answer makes it likely or not."""
    last = last_of(calls.session, calls.ts)
    good = calls.outcome[last]
    n = len(last)
    chances = (
        np.where(good, 0.16, 0.04),
        np.where(good, 0.05, 0.30),
        np.where(good, 0.90, 0.25),
    )
    delays = (
        np.minimum(20 * np.exp(rng.normal(0.0, 1.0, n)), 140.0),
        np.minimum(30 * np.exp(rng.normal(0.0, 0.8, n)), 160.0),
        np.minimum(np.where(good, 2.0, 11.0) * np.exp(rng.normal(0.0, 0.7, n)), 150.0),
    )
    happened = [rng.random(n) < chance for chance in chances]
    call = np.concatenate([last[mask] for mask in happened])
    kind = np.repeat(np.arange(len(EVENTS)), [int(mask.sum()) for mask in happened])
    hours = np.concatenate([delay[mask] for delay, mask in zip(delays, happened, strict=True)])
    at = calls.ts[call] + (hours * HOUR).astype(np.int64)
    # One purchase in eight is booked by a partner, whose list comes days or weeks later.
    late = (kind == 0) & (rng.random(len(call)) < 0.125)
    wait = np.where(
        late, rng.integers(2 * DAY, 28 * DAY, len(call)), rng.integers(1_000, HOUR, len(call))
    )
    amount = np.round(19.0 * np.exp(rng.normal(0.0, 0.7, len(call))), 2)
    return Outcomes(
        kind=kind,
        user=calls.user[call],
        session=calls.session[call],
        amount=amount,
        at=at,
        recorded=at + wait,
    )


def last_of(group: Ints, ts: Ints) -> Ints:
    """Rows that are the last of their group; of several at one time the one that stands last."""
    order = np.lexsort((np.arange(len(ts)), ts, group))
    last: Ints = order[np.r_[group[order][1:] != group[order][:-1], True]]
    return last


def write_outcomes(folder: Path, users: Users, calls: Inferences, outcomes: Outcomes) -> None:
    """Write ``outcomes.parquet`` in the order in which the business's systems had it."""
    order = np.argsort(outcomes.recorded, kind="stable")
    kind, purchase = outcomes.kind[order], outcomes.kind[order] == 0
    first = np.zeros(int(calls.session.max()) + 1, np.int64)
    first[calls.session] = np.arange(len(calls))
    conversation = calls.session_name.take(pa.array(first[outcomes.session[order]]))
    table = pa.table(
        {
            "event": pick(EVENTS, kind),
            "customer": users.name.take(pa.array(outcomes.user[order])),
            # The shop does not know what was talked about.
            "conversation": where(~purchase, conversation),
            "amount": pa.array(outcomes.amount[order], mask=~purchase),
            "at": instants(outcomes.at[order]),
            "recorded_at": instants(outcomes.recorded[order]),
        }
    )
    pq.write_table(table, folder / "outcomes.parquet", compression="zstd")


def write_incidents(folder: Path) -> None:
    """Write ``incidents.csv``, the same for every seed."""
    lines = ["name,kind,severity,valid_from,valid_to"]
    for entry in INCIDENTS:
        begin, end = (
            str(np.datetime64(moment, "ms").astype("datetime64[s]")) + "Z"
            for moment in (entry.begin, entry.end)
        )
        lines.append(f"{entry.name},{entry.kind},{entry.severity},{begin},{end}")
    folder.joinpath("incidents.csv").write_text("\n".join(lines) + "\n", "utf-8", newline="\n")
