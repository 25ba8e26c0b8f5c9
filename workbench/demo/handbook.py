"""The verified handbook of the support team, what it knows as facts, and who quotes it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.demo import texts
from workbench.demo.columns import Bools, Floats, Ints, iso, joined, pick
from workbench.demo.world import DAY, FAULT_VERSION, HOUR, START, TIERS, Inferences

DIMENSIONS = 16
# Titles and texts by topic. The last of each topic was verified while the assistant was in use.
ARTICLES: dict[str, tuple[tuple[str, str], ...]] = {
    "delivery": (
        ("Delivery times", "An order leaves our warehouse and arrives within two working days."),
        ("Tracking", "Open Orders and choose Track to see where the parcel is."),
        ("Delayed parcels", "A parcel that is three days late is sent again free of charge."),
        ("Parcel lockers", "A locker keeps a parcel for seven days and then sends it back."),
    ),
    "refund": (
        ("Refund windows", "The refund window of the Free plan is 14 days, of the Plus plan 30."),
        ("Refund times", "An approved refund shows up at the bank in 3 to 5 days."),
        ("Refund of gifts", "A gift is refunded to the card with which it was bought."),
        ("Refund for Pro", "The refund window of the Pro plan is 60 days."),
    ),
    "login": (
        ("New password", "A link to set a new password is sent by mail and is valid for an hour."),
        ("Two factors", "Lost the second factor? A recovery code opens the account."),
        ("Locked accounts", "After five wrong passwords an account is locked for ten minutes."),
        ("Single sign-on", "Company accounts log in through the page of their company."),
    ),
    "billing": (
        ("Charged twice", "One of two charges is a reservation and will drop off by itself."),
        ("Invoices", "Invoices are under Settings, Billing, and can be corrected for 90 days."),
        ("Value added tax", "Enter the tax number before paying to leave out the tax."),
        ("Failed payments", "A failed payment is tried again after three and after seven days."),
    ),
    "cancel": (
        ("Cancel a plan", "Open Settings, then Plan, and press Cancel plan."),
        ("After cancelling", "A cancelled plan can be used to the end of the paid month."),
        ("Pause a plan", "A plan can be paused for up to three months."),
        ("Delete an account", "Deleting an account removes its data after 30 days."),
    ),
    "bug": (
        ("Crashes", "Update the app and clear its cache; that fixes most crashes."),
        ("Exports", "An export of more than 10,000 rows is sent by mail when it is ready."),
        ("Slow pages", "Switch off browser extensions where pages are slow."),
        ("Offline mode", "Changes made offline are sent when the app is online again."),
    ),
}
PER_TOPIC = 4
_LATE = START + 4 * DAY + 9 * HOUR
# Nobody logged embeddings on the first day.
EMBEDDED_FROM = START + DAY

PLANS = ("Free", "Plus", "Pro", "Team")
WINDOWS = (14, 30, 60)
# The window of the Pro plan came into the graph late, and the Team plan never did.
PRO_KNOWN = START + 4 * DAY + 9 * HOUR
_KNOWLEDGE = """\
subject,predicate,object,recorded_at
Free plan,refund_policy,basic refund,2026-01-05T09:00:00Z
Plus plan,refund_policy,standard refund,2026-01-05T09:00:00Z
Pro plan,refund_policy,extended refund,2026-03-06T09:00:00Z
basic refund,window_days,14,2026-01-05T09:00:00Z
standard refund,window_days,30,2026-01-05T09:00:00Z
extended refund,window_days,60,2026-01-05T09:00:00Z
basic refund,paid_to,voucher,2026-01-05T09:00:00Z
standard refund,paid_to,card,2026-01-05T09:00:00Z
extended refund,paid_to,card,2026-01-05T09:00:00Z
Free plan,price_per_month,0,2026-01-05T09:00:00Z
Plus plan,price_per_month,12,2026-01-05T09:00:00Z
Pro plan,price_per_month,29,2026-01-05T09:00:00Z
"""


@dataclass(frozen=True, kw_only=True)
class Handbook:
    """Articles, topic by topic, and what the calls made of them.

    Attributes
    ----------
    vectors
        Embedding by article.
    verified
        Milliseconds by article.
    article
        By call: the article that the answer was written from; it was verified by then.
    embedding
        By call: the logged embedding of the question, near that of its article.
    embedded
        By call: whether the embedding was logged.
    plan
        By call: position in `PLANS` of the plan whose refund window the answer states, else -1.
    days
        By call: the window that it states.
    """

    vectors: Floats
    verified: Ints
    article: Ints
    embedding: Floats
    embedded: Bools
    plan: Ints
    days: Ints


def make_handbook(rng: np.random.Generator, calls: Inferences) -> tuple[Inferences, Handbook]:
    """Draw the articles and who was told what; the answers that state a refund window do so now."""
    n, topics = len(calls), len(texts.INTENTS)
    centres = _unit(rng.normal(0.0, 1.0, (topics, DIMENSIONS)))
    vectors = np.repeat(centres, PER_TOPIC, axis=0)
    vectors = np.round(_unit(vectors + rng.normal(0.0, 0.15, vectors.shape)), 4)
    number = np.tile(np.arange(PER_TOPIC), topics)
    last = number == PER_TOPIC - 1
    verified = np.where(last, _LATE, START - (60 - 9 * number) * DAY)
    known = np.where(calls.ts >= _LATE, PER_TOPIC, PER_TOPIC - 1)
    article = calls.intent * PER_TOPIC + (rng.random(n) * known).astype(np.int64)
    # Two digits: logs keep embeddings short, and they still find their article.
    embedding = np.round(vectors[article] + rng.normal(0.0, 0.12, (n, DIMENSIONS)), 2)

    english = calls.language == texts.LANGUAGES.index("en")
    states = english & (calls.intent == texts.INTENTS.index("refund")) & ~calls.incident
    plan = np.where(calls.tier >= 0, calls.tier, len(TIERS))
    right = np.asarray([*WINDOWS, 30])[plan]
    wrong = np.asarray([30, 14, 30, 14])[plan]
    # The newest model makes windows up, and a customer who was told a wrong one comes back.
    chance = np.where(calls.version == FAULT_VERSION, 0.2, 0.04) * np.where(calls.outcome, 0.6, 2.0)
    days = np.where(rng.random(n) < chance, wrong, right)
    told = joined(
        " The refund window of the ",
        pick(PLANS, plan),
        " plan is ",
        pc.cast(pa.array(days), pa.string()),
        " days.",
    )
    answer = joined(calls.answer, pc.if_else(pa.array(states), told, ""))
    handbook = Handbook(
        vectors=vectors,
        verified=verified,
        article=article,
        embedding=embedding,
        embedded=calls.ts >= EMBEDDED_FROM,
        plan=np.where(states, plan, -1),
        days=days,
    )
    return replace(calls, answer=answer), handbook


def _unit(vectors: Floats) -> Floats:
    length: Floats = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / length


def names() -> list[str]:
    """Id by article."""
    return [f"hb-{topic}-{number + 1}" for topic in texts.INTENTS for number in range(PER_TOPIC)]


def columns(handbook: Handbook) -> dict[str, Any]:
    """The columns ``article`` and ``embedding`` of the log of inferences."""
    offsets = np.r_[0, np.cumsum(handbook.embedded) * DIMENSIONS].astype(np.int32)
    values = handbook.embedding[handbook.embedded].ravel().astype(np.float32)
    return {
        "article": pick(names(), handbook.article),
        "embedding": pa.ListArray.from_arrays(
            pa.array(offsets), pa.array(values), mask=pa.array(~handbook.embedded)
        ),
    }


def write_handbook(folder: Path, handbook: Handbook) -> None:
    """Write ``handbook.jsonl`` and ``knowledge.csv``."""
    moments = iso(handbook.verified).to_pylist()
    entries = [(topic, title, text) for topic in texts.INTENTS for title, text in ARTICLES[topic]]
    lines = [
        json.dumps(
            {
                "article": name,
                "topic": topic,
                "title": title,
                "text": text,
                "vector": vector,
                "verified_at": moment,
            }
        )
        for name, (topic, title, text), vector, moment in zip(
            names(), entries, handbook.vectors.tolist(), moments, strict=True
        )
    ]
    folder.joinpath("handbook.jsonl").write_text("\n".join(lines) + "\n", "utf-8", newline="\n")
    folder.joinpath("knowledge.csv").write_text(_KNOWLEDGE, "utf-8", newline="\n")
