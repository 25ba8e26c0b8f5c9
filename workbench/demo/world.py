"""The users, sessions and model calls of the demo, and what each answer turned out to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from workbench.demo import texts
from workbench.demo.columns import Bools, Floats, Ints, filled, numbered, pick, uuids

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

START = int(np.datetime64("2026-03-02T00:00:00", "ms").astype(np.int64))  # a Monday
DAYS = 28
VERSIONS = ("v1", "v2", "v3")
DEVICES = ("desktop", "mobile")
TIERS = ("free", "plus", "pro")
AGE_BANDS = ("18-24", "25-34", "35-49", "50-64", "65+")
PLANS = ("monthly", "yearly", "trial")
COUNTRIES = {
    "en": ("US", "GB", "IN"),
    "pt-BR": ("BR", "BR", "PT"),
    "es": ("MX", "ES", "AR"),
    "de": ("DE", "AT", "CH"),
    "fr": ("FR", "CA", "BE"),
}

FAULT_LANGUAGE = texts.LANGUAGES.index("pt-BR")
FAULT_VERSION = VERSIONS.index("v3")
# The canary grows with a deploy on a Friday morning, and that deploy breaks the retrieval index.
INCIDENT = (START + 18 * DAY + 9 * HOUR, START + 18 * DAY + 11 * HOUR)
# Nobody scraped the metrics for forty minutes, so health facts are too old for some calls.
HEALTH_GAP = (START + 9 * DAY + 14 * HOUR, START + 9 * DAY + 14 * HOUR + 40 * MINUTE)
HEALTH_TOLERANCE = 10 * MINUTE

# What the model believes, in log-odds of "resolved".
INTENT_EFFECT = np.array([0.7, 0.3, 0.9, -0.2, 0.5, -0.6])
LANGUAGE_EFFECT = np.array([0.2, 0.1, 0.0, 0.0, -0.1])
VERSION_EFFECT = np.array([-0.2, 0.1, 0.4])
TURN_EFFECT = 0.15

_HOURS = np.array([1, 1, 1, 1, 1, 2, 3, 6, 9, 11, 11, 10, 9, 10, 11, 10, 9, 7, 5, 4, 4, 3, 2, 1])


@dataclass(frozen=True, kw_only=True)
class Users:
    """Users and the history of their profiles.

    Attributes
    ----------
    name
        Id by user.
    language, country, age_band, plan
        Codes by user.
    profile_user, profile_from, profile_tier
        One entry per version of a profile, sorted by user and time. Some users have none.
    """

    name: Any
    language: Ints
    country: Ints
    age_band: Ints
    plan: Ints
    profile_user: Ints
    profile_from: Ints
    profile_tier: Ints

    def tier_at(self, user: Ints, ts: Ints) -> Ints:
        """Look up the tier as it was known at a time; -1 where none was."""
        # One sorted key for (user, time) makes the as-of join a single search.
        span = np.int64(1) << 42
        place = np.searchsorted(
            self.profile_user * span + self.profile_from, user * span + ts, side="right"
        )
        last = np.maximum(place - 1, 0)
        known = (place > 0) & (self.profile_user[last] == user)
        return np.where(known, self.profile_tier[last], -1)


@dataclass(frozen=True, kw_only=True)
class Inferences:
    """The model calls in the order of time; every attribute is one column.

    Attributes
    ----------
    outcome
        Whether the answer resolved the ticket; the logs do not hold it.
    score
        The probability of that which the model logged.
    silent
        The call is of the cohort that hardly ever gives feedback.
    tied
        Another call of the session has the same time.
    """

    id: Any
    ref: Any
    question: Any
    answer: Any
    ts: Ints
    user: Ints
    session: Ints
    session_name: Any
    turn: Ints
    version: Ints
    language: Ints
    intent: Ints
    device: Ints
    tier: Ints
    score: Floats
    outcome: Bools
    incident: Bools
    silent: Bools
    tied: Bools

    def __len__(self) -> int:
        return len(self.ts)


def make_users(rng: np.random.Generator, n: int) -> Users:
    """Draw `n` users; about one in twenty has no profile, and some profiles begin late."""
    language = rng.choice(len(texts.LANGUAGES), n, p=[0.42, 0.22, 0.15, 0.12, 0.09])
    versions = 1 + rng.binomial(2, 0.3, n)
    versions[rng.random(n) < 0.05] = 0
    owner = np.repeat(np.arange(n), versions)
    first = np.r_[True, owner[1:] != owner[:-1]]
    new = rng.random(n) < 0.06
    signed_up = START - rng.integers(1, 400, n) * DAY
    signed_up = np.where(new, START + rng.integers(0, 20 * DAY, n), signed_up)
    changed = START + rng.integers(0, DAYS * DAY, len(owner))
    since = np.where(first, signed_up[owner], np.maximum(changed, signed_up[owner] + DAY))
    order = np.lexsort((since, owner))
    return Users(
        name=numbered("u-", np.arange(n), 5),
        language=language,
        country=rng.integers(0, 3, n),
        age_band=rng.choice(len(AGE_BANDS), n, p=[0.17, 0.29, 0.30, 0.16, 0.08]),
        plan=rng.choice(len(PLANS), n, p=[0.6, 0.28, 0.12]),
        profile_user=owner,
        profile_from=since[order],
        profile_tier=rng.choice(len(TIERS), len(owner), p=[0.5, 0.33, 0.17]),
    )


def make_inferences(rng: np.random.Generator, users: Users, n: int, ties: int) -> Inferences:
    """Draw `n` model calls, `ties` pairs of which have the same session and time."""
    session, turn, ts = _turns(rng, n)
    tied = np.zeros(n, np.bool_)
    seconds = np.flatnonzero((turn > 0) & (turn % 2 == 1))
    chosen = rng.choice(seconds, ties, replace=False)
    ts[chosen] = ts[chosen - 1]
    tied[chosen] = tied[chosen - 1] = True
    order = np.lexsort((turn, session, ts))
    session, turn, ts, tied = session[order], turn[order], ts[order], tied[order]

    sessions = int(session.max()) + 1
    begin = np.full(sessions, np.iinfo(np.int64).max)
    np.minimum.at(begin, session, ts)
    # Some users write often: the power gives the busiest tenth a fifth of all conversations.
    session_user = (len(users.name) * rng.random(sessions) ** 1.4).astype(np.int64)
    user = session_user[session]
    device = rng.binomial(1, 0.52, sessions)[session]
    version = _session_version(rng, begin)[session]
    intent = rng.choice(len(texts.INTENTS), sessions, p=[0.3, 0.2, 0.15, 0.15, 0.1, 0.1])[session]
    language = users.language[user]
    tier = users.tier_at(user, ts)
    incident = (ts >= INCIDENT[0]) & (ts < INCIDENT[1])
    fault = (version == FAULT_VERSION) & (language == FAULT_LANGUAGE)

    logit = (
        INTENT_EFFECT[intent]
        + LANGUAGE_EFFECT[language]
        + VERSION_EFFECT[version]
        - TURN_EFFECT * turn
        + rng.normal(0.0, 1.0, n)
    )
    chance = 1.0 / (1.0 + np.exp(-np.where(fault, logit - 1.3, logit)))
    chance = np.where(incident, 0.15 * chance, chance)
    score = np.round(np.clip(1.0 / (1.0 + np.exp(-logit)), 0.02, 0.98), 4)
    outcome = rng.random(n) < chance

    ref = numbered("T-", rng.integers(10_000, 99_999, sessions), 5).take(pa.array(session))
    failed = incident & (rng.random(n) < 0.5)
    question, answer = _texts(rng, language, intent, turn, failed, ref)
    return Inferences(
        id=uuids(rng, n),
        ref=ref,
        question=question,
        answer=answer,
        ts=ts,
        user=user,
        session=session,
        session_name=numbered("c-", rng.permutation(sessions) + 100_000, 6).take(pa.array(session)),
        turn=turn,
        version=version,
        language=language,
        intent=intent,
        device=device,
        tier=tier,
        score=score,
        outcome=outcome,
        incident=incident,
        silent=(tier == TIERS.index("free")) & (device == DEVICES.index("mobile")),
        tied=tied,
    )


def _turns(rng: np.random.Generator, n: int) -> tuple[Ints, Ints, Ints]:
    """Session number, turn and time of `n` calls, session by session."""
    length = np.minimum(rng.geometric(0.36, n), 8)
    ends = np.cumsum(length)
    count = int(np.searchsorted(ends, n)) + 1
    session = np.repeat(np.arange(count), length[:count])[:n]
    turn = np.arange(n) - (ends[:count] - length[:count])[session]
    weight = np.tile(_HOURS, DAYS).astype(np.float64)
    weight *= np.where((np.arange(DAYS * 24) // 24) % 7 >= 5, 0.5, 1.0)
    first = (INCIDENT[0] - START) // HOUR
    weight[first : first + 2] *= 2.0
    hour = rng.choice(len(weight), count, p=weight / weight.sum())
    begin = START + hour * HOUR + rng.integers(0, HOUR, count)
    gap = rng.integers(15_000, 6 * MINUTE, n)
    gap[turn == 0] = 0
    total = np.cumsum(gap)
    return session, turn, begin[session] + total - total[turn == 0][session]


def _session_version(rng: np.random.Generator, begin: Ints) -> Ints:
    """v2 replaces v1 in the second week; v3 is a canary from day 14, half from the deploy on."""
    day = (begin - START) / DAY
    draw = rng.random(len(begin))
    second = np.clip((day - 6.0) / 6.0, 0.0, 1.0)
    third = np.select([day >= 23, begin >= INCIDENT[0], day >= 14], [0.9, 0.5, 0.1], 0.0)
    return np.where(draw < third, 2, np.where(rng.random(len(begin)) < second, 1, 0))


def _texts(
    rng: np.random.Generator, language: Ints, intent: Ints, turn: Ints, failed: Bools, ref: Any
) -> tuple[Any, Any]:
    pairs = [(name, topic) for name in texts.LANGUAGES for topic in texts.INTENTS]
    topic = language * len(texts.INTENTS) + intent
    opening = [text for name, about in pairs for text in texts.QUESTIONS[name][about]]
    later = [text for name in texts.LANGUAGES for text in texts.FOLLOW_UPS[name]]
    asked = np.where(turn > 0, len(opening) + 2 * language, 2 * topic)
    answers = [texts.ANSWERS[name][about] for name, about in pairs]
    outages = [texts.OUTAGE[name] for name in texts.LANGUAGES]
    told = np.where(failed, len(answers) + language, topic)
    question = filled([*opening, *later], asked + rng.integers(0, 2, len(topic)), ref)
    return question, filled([*answers, *outages], told, ref)


def countries(users: Users) -> Any:
    """Country code by user."""
    names = [name for language in texts.LANGUAGES for name in COUNTRIES[language]]
    return pick(names, 3 * users.language + users.country)
