"""Whatever is thrown at a build, it finds exactly what was planted, and no row is lost."""

from __future__ import annotations

import gzip
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.ledger.planted import (
    CONFIG,
    PLANTS,
    REFUSED,
    Planted,
    key_of,
    planted,
    write_calls,
    write_lines,
)
from tests.soundness.tables import difference

STATUSES = ("invalid", "duplicate", "spam", "orphan", "ambiguous", "attributed")
#: Relations that must not depend on how the lines came, by key; and what tells how they came.
KEYS = {
    "inferences": "request_id",
    "feedback": "feedback_id",
    "attribution": "feedback_id",
    "labels": "request_id",
    "enriched_inferences": "request_id",
    "enriched_feedback": "feedback_id",
}
PROVENANCE = {"ingested_at", "source_file", "source_row", "raw"}


def rows(project: wb.Workbench, sql: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = project.sql(sql).table.to_pylist()
    return found


def create(folder: Path, format: str) -> wb.Workbench:
    folder.mkdir(parents=True)
    (folder / "workbench.toml").write_text(CONFIG.format(format=format))
    return wb.open(folder)


def check(project: wb.Workbench, p: Planted) -> None:
    """Compare the ledger, and the fate of every line, with what was planted."""
    status = project.status()
    fates: Counter[str] = Counter()
    for (_, fate), n in p.fate.items():
        fates[fate] += n
    quarantined = {reason: fates[reason] for reason in sorted(REFUSED) if fates[reason]}
    expected = {name: fates[name] for name in STATUSES if name != "invalid"}
    expected["invalid"] = sum(quarantined.values())
    assert {name: status[name] for name in STATUSES} == expected
    assert status["received"] == len(p.lines) == sum(expected.values())
    assert status["quarantine"] == quarantined
    assert status["methods"] == dict(p.methods)
    flags = {name: p.flags[name] for name in ("early", "other_model_version", "retracted")}
    assert status["flags"] == flags

    inferences = status["inferences"]
    calls = {name: inferences[name] for name in ("received", "accepted", "invalid", "duplicate")}
    accepted, invalid, duplicate = (p.calls[n] for n in ("accepted", "invalid", "duplicate"))
    assert calls == {
        "received": len(p.inferences),
        "accepted": accepted,
        "invalid": invalid,
        "duplicate": duplicate,
    }
    assert inferences["labelled"] == len(p.labelled)
    assert inferences["unlabelled"] == accepted - len(p.labelled)

    # Every line that came is there once, whole, with what became of it.
    ends = rows(
        project,
        "SELECT raw, reason AS fate FROM quarantine WHERE \"table\" = 'feedback' "
        "UNION ALL SELECT raw, status FROM attribution",
    )
    bad_bytes = [end for end in ends if end["fate"] == "not_utf8"]
    assert all('"feedback_id": "f' in end["raw"] for end in bad_bytes)
    found = Counter((key_of(e["raw"]), e["fate"]) for e in ends if e["fate"] != "not_utf8")
    found["bytes", "not_utf8"] = len(bad_bytes)
    assert found - p.fate == Counter()
    assert p.fate - found == Counter()
    whole = [line.decode() for line in p.lines if b"\xff" not in line]
    raw = [end["raw"] for end in ends if end["fate"] != "not_utf8"]
    assert Counter(raw) == Counter(whole)

    values = rows(project, "SELECT feedback_id, value FROM feedback")
    kept = {row["feedback_id"]: row["value"] for row in values}
    assert {id_: kept[id_] for id_ in p.values} == p.values
    links = rows(project, "SELECT feedback_id, request_id FROM attribution")
    linked = {row["feedback_id"]: row["request_id"] for row in links}
    assert {id_: linked[id_] for id_ in p.found} == p.found

    weights = rows(project, "SELECT feedback_id, sum(weight) AS w FROM credits GROUP BY 1")
    assert {row["w"] for row in weights} <= {1.0}
    assert len(weights) == expected["attributed"] - p.methods["preference"]


def content(project: wb.Workbench, relation: str) -> dict[Any, dict[str, Any]]:
    """The rows of a relation by key, without what tells how they came."""
    found = rows(project, f"SELECT * FROM {relation}")
    return {
        row[KEYS[relation]]: {k: v for k, v in row.items() if k not in PROVENANCE} for row in found
    }


def assert_equal(one: wb.Workbench, other: wb.Workbench) -> None:
    for relation in KEYS:
        left, right = content(one, relation), content(other, relation)
        assert difference(left, right) == [], relation
        assert difference(right, left) == [], relation
    reasons = 'SELECT "table", reason, field, raw FROM quarantine'
    assert Counter(map(repr, rows(one, f"{reasons} WHERE reason <> 'duplicate'"))) == Counter(
        map(repr, rows(other, f"{reasons} WHERE reason <> 'duplicate'"))
    )
    ledger = 'SELECT * FROM ledger ORDER BY "table", status'
    assert rows(one, ledger) == rows(other, ledger)
    left, right = one.status(), other.status()
    assert {**left, "build": 0} == {**right, "build": 0}


def in_one_build(folder: Path, p: Planted, format: str) -> wb.Workbench:
    project = create(folder, format)
    write_calls(folder / f"inferences/all.{format}", p.inferences)
    write_lines(folder / "feedback/all.jsonl", p.lines)
    project.build()
    return project


def in_two_builds(folder: Path, p: Planted, format: str, seed: int) -> wb.Workbench:
    """The same rows in another order, over several files, some of which grow between the builds."""
    shuffled = random.Random(seed)
    lines, calls = list(p.lines), list(p.inferences)
    shuffled.shuffle(lines)
    shuffled.shuffle(calls)
    half, third = shuffled.randrange(1, len(lines)), len(calls) // 3
    project = create(folder, format)
    write_calls(folder / f"inferences/first.{format}", calls[: third + 1])
    names = [f"feedback/{n}.jsonl" for n in range(shuffled.randrange(1, 4))]
    for line in lines[:half]:
        write_lines(folder / shuffled.choice(names), [line])
    project.build()
    # Between the builds inferences arrive that events have waited for, files grow, one is new.
    write_calls(folder / f"inferences/second.{format}", calls[third + 1 :])
    packed: list[bytes] = []
    for line in lines[half:]:
        name = shuffled.choice([*names, None])
        if name is None:
            packed.append(line)
        else:
            write_lines(folder / name, [b"", line, b"  "])
    (folder / "feedback/packed.jsonl.gz").write_bytes(gzip.compress(b"\n".join([*packed, b""])))
    project.build()
    return project


counts = st.fixed_dictionaries({name: st.integers(0, 3) for name in PLANTS})


@settings(
    max_examples=3,
    deadline=None,
    # An example takes seconds; what fails is reported as it was found.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(times=counts, format=st.sampled_from(["jsonl", "parquet"]), seed=st.integers(0, 10**6))
def test_a_build_finds_what_was_planted_however_it_came(
    tmp_path_factory: pytest.TempPathFactory, times: dict[str, int], format: str, seed: int
) -> None:
    p = planted(times)
    folder = tmp_path_factory.mktemp("planted")
    straight = in_one_build(folder / "one", p, format)
    check(straight, p)
    shuffled = in_two_builds(folder / "two", p, format, seed)
    check(shuffled, p)
    assert_equal(straight, shuffled)


def test_an_event_without_id_is_itself_whatever_is_read_with_it(tmp_path: Path) -> None:
    p = Planted()
    event = p.event(p.call(), feedback_id=None)
    p.send(event, "attributed", "request_id")
    project = in_one_build(tmp_path / "it", p, "jsonl")
    p.send(
        p.event("r1", comment="a field that the first file does not have"),
        "attributed",
        "request_id",
    )
    p.send(event, "duplicate")
    write_lines(tmp_path / "it/feedback/second.jsonl", p.lines[1:])
    project.build()
    check(project, p)


def test_five_thousand_events(tmp_path: Path) -> None:
    p = planted(dict.fromkeys(PLANTS, 80))
    assert len(p.lines) > 5000
    project = in_one_build(tmp_path / "big", p, "parquet")
    check(project, p)
    # To build again adds nothing and changes nothing.
    before = {relation: content(project, relation) for relation in KEYS}
    project.build()
    check(project, p)
    assert all(difference(content(project, r), before[r]) == [] for r in KEYS)
