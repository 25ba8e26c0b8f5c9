"""Writes the demo as the files that a product would have: Parquet, JSON lines, CSV and settings."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workbench.demo import texts
from workbench.demo.columns import Ints, instants, pick, uuids
from workbench.demo.dirt import Feedback
from workbench.demo.world import (
    AGE_BANDS,
    DAY,
    DAYS,
    DEVICES,
    FAULT_VERSION,
    HEALTH_GAP,
    HEALTH_TOLERANCE,
    HOUR,
    INCIDENT,
    MINUTE,
    PLANS,
    START,
    TIERS,
    VERSIONS,
    Inferences,
    Users,
    countries,
)

# When each version served calls; a conversation goes on for a while after its version was replaced.
LIVE = (
    (START, START + 12 * DAY + 6 * HOUR),
    (START + 6 * DAY, START + DAYS * DAY + 6 * HOUR),
    (START + 14 * DAY, START + DAYS * DAY + 6 * HOUR),
)
# Rows that the export of a week repeats from the end of the week before, and rows of a logger
# that wrote a percentage where a probability belongs.
REPEATED = 4
PERCENTAGES = 5

_MODELS = """\
version,released,trainer,price_per_1k
v1,2026-01-12,support-team,0.40
v2,2026-03-06,support-team,0.55
v3,2026-03-16,platform-team,0.30
"""


def write_settings(folder: Path) -> None:
    """Write ``workbench.toml`` and ``models.csv``, the same for every seed."""
    settings = resources.files("workbench.demo").joinpath("workbench.toml").read_bytes()
    folder.joinpath("workbench.toml").write_bytes(settings)
    folder.joinpath("models.csv").write_text(_MODELS, encoding="utf-8", newline="\n")


def write_users(folder: Path, users: Users) -> None:
    """Write one row per version of a profile."""
    owner = pa.array(users.profile_user)
    table = pa.table(
        {
            "user_id": users.name.take(owner),
            "valid_from": instants(users.profile_from),
            "tier": pick(TIERS, users.profile_tier),
            "country": countries(users).take(owner),
            "age_band": pick(AGE_BANDS, users.age_band).take(owner),
        }
    )
    pq.write_table(table, folder / "users.parquet", compression="zstd")


def write_health(rng: np.random.Generator, folder: Path) -> None:
    """Write the error rate and latency of each version, minute by minute."""
    minutes = [_minutes(version) for version in range(len(VERSIONS))]
    version = np.repeat(np.arange(len(VERSIONS)), [len(part) for part in minutes])
    minute = np.concatenate(minutes)
    broken = (minute >= INCIDENT[0]) & (minute < INCIDENT[1])
    error_rate = np.where(broken, 0.38, 0.004) * rng.uniform(0.8, 1.2, len(minute))
    latency = np.where(broken, 9_000.0, 1_900.0) * rng.uniform(0.85, 1.15, len(minute))
    table = pa.table(
        {
            "version": pick(VERSIONS, version),
            "minute": instants(minute),
            "error_rate": np.round(error_rate, 4),
            "p95_latency": np.round(latency),
        }
    )
    pq.write_table(table, folder / "health.parquet", compression="zstd")


def health_matched(calls: Inferences) -> int:
    """Count the calls that have a health fact of their version that is not too old."""
    matched = 0
    for version in range(len(VERSIONS)):
        minute, ts = _minutes(version), calls.ts[calls.version == version]
        place = np.searchsorted(minute, ts, side="right")
        age = ts - minute[np.maximum(place - 1, 0)]
        matched += int(((place > 0) & (age <= HEALTH_TOLERANCE)).sum())
    return matched


def _minutes(version: int) -> Ints:
    minute = np.arange(LIVE[version][0], LIVE[version][1], MINUTE)
    return minute[(minute < HEALTH_GAP[0]) | (minute >= HEALTH_GAP[1])]


def write_inferences(
    rng: np.random.Generator,
    folder: Path,
    users: Users,
    calls: Inferences,
    added: Mapping[str, Any],
) -> tuple[dict[str, int], pa.Table]:
    """Write one Parquet file per week, with the columns in `added`.

    Returns
    -------
    tuple
        The ledger of the inferences, and those that are accepted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = _inference_table(rng, users, calls)
    for name, column in added.items():
        table = table.append_column(name, column)
    week = np.minimum((calls.ts - START) // (7 * DAY), DAYS // 7 - 1)
    ends = np.searchsorted(week, np.arange(DAYS // 7), side="right")
    starts = np.r_[0, ends[:-1]]
    repeated = 0
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        part = table.slice(start - min(REPEATED, start), end - start + min(REPEATED, start))
        repeated += int(min(REPEATED, start))
        if number == 0:
            part = pa.concat_tables([part, _percentages(rng, table)])
        pq.write_table(part, folder / f"2026-W{10 + number}.parquet", compression="zstd")
    ledger = {
        "received": len(calls) + repeated + PERCENTAGES,
        "invalid": PERCENTAGES,
        "duplicate": repeated,
        "accepted": len(calls),
    }
    return ledger, table


def _inference_table(rng: np.random.Generator, users: Users, calls: Inferences) -> pa.Table:
    n = len(calls)
    slow = np.where(calls.incident, 6.0, 1.0)
    fast = np.array([1.0, 1.1, 0.6])[calls.version]
    latency = 900.0 * slow * fast * np.exp(rng.normal(0.0, 0.45, n))
    asked = pc.utf8_length(calls.question).to_numpy()
    told = pc.utf8_length(calls.answer).to_numpy()
    probabilities = np.column_stack([np.round(1.0 - calls.score, 4), calls.score])
    return pa.table(
        {
            "id": calls.id,
            "created": instants(calls.ts),
            "version": pick(VERSIONS, calls.version),
            "rollout": pick(("stable", "canary"), (calls.version == FAULT_VERSION).astype(int)),
            "customer": users.name.take(pa.array(calls.user)),
            "conversation": calls.session_name,
            "client": pick(DEVICES, calls.device),
            "language": pick(texts.LANGUAGES, calls.language),
            "plan": pick(PLANS, users.plan).take(pa.array(calls.user)),
            "n_turns": calls.turn + 1,
            "question_chars": pc.cast(pa.array(asked), pa.int64()),
            "intent": pick(texts.INTENTS, calls.intent),
            "question": calls.question,
            "answer": calls.answer,
            "p_resolved": calls.score,
            "class_probs": pa.ListArray.from_arrays(
                pa.array(np.arange(n + 1, dtype=np.int32) * 2), pa.array(probabilities.ravel())
            ),
            "latency": np.round(latency, 1),
            "tokens_in": (180 + 60 * calls.turn + asked // 4).astype(np.int64),
            "tokens_out": (told // 4).astype(np.int64),
        }
    )


def _percentages(rng: np.random.Generator, table: pa.Table) -> pa.Table:
    """Repeat calls of the team's own smoke test whose score is not a probability."""
    part = table.slice(0, PERCENTAGES)
    nobody: Any = pa.nulls(PERCENTAGES, pa.string())
    for name, column in {
        "id": uuids(rng, PERCENTAGES),
        "customer": nobody,
        "conversation": nobody,
        "p_resolved": np.round(rng.uniform(40.0, 99.0, PERCENTAGES), 1),
    }.items():
        part = part.set_column(part.column_names.index(name), name, pa.array(column))
    return part


def write_feedback(folder: Path, feedback: Feedback) -> None:
    """Write the older log, which was rotated and compressed, and the one in use."""
    folder.mkdir(parents=True, exist_ok=True)
    rotated = int(np.searchsorted(feedback.received, START + 16 * DAY))
    for name, lines in {
        "2026-03-a.jsonl.gz": feedback.lines[:rotated],
        "2026-03-b.jsonl": feedback.lines[rotated:],
    }.items():
        data = ("\n".join(lines.to_pylist()) + "\n").encode()
        # A fixed time in the header: the same seed gives the same bytes.
        data = gzip.compress(data, compresslevel=6, mtime=0) if name.endswith(".gz") else data
        folder.joinpath(name).write_bytes(data)
