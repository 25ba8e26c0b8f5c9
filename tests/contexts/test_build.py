"""Contexts through a whole build: the struct column, the report, and facts that contradict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from workbench.errors import DataError

CONFIG = """
[project]
name = "contexts"
[inferences]
source = "inferences.jsonl"
[feedback]
source = "feedback.jsonl"
[context.profile]
source = "profiles.jsonl"
join = "as_of"
on = "user_id"
ts = "since"
tolerance = "1d"
columns = ["tier"]
[context.device_facts]
source = "devices.jsonl"
join = "lookup"
on = { device = "id" }
columns = ["maker"]
"""
Rows = list[dict[str, Any]]


def write(path: Path, rows: Rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def project(folder: Path, profiles: Rows, devices: Rows) -> wb.Workbench:
    (folder / "workbench.toml").write_text(CONFIG)
    write(
        folder / "inferences.jsonl",
        [
            {
                "request_id": f"r{day}",
                "ts": f"2026-01-{day:02}T12:00:00Z",
                "model_version": "v1",
                "user_id": None if day == 9 else "u",
                "device": "phone" if day % 2 else None,
            }
            for day in range(1, 10)
        ],
    )
    write(
        folder / "feedback.jsonl",
        [
            {
                "request_id": "r5",
                "ts": "2026-01-05T13:00:00Z",
                "name": "thumb",
                "kind": "binary",
                "value": 1,
            }
        ],
    )
    write(folder / "profiles.jsonl", profiles)
    write(folder / "devices.jsonl", devices)
    return wb.open(folder)


PROFILES = [
    {"user_id": "u", "since": "2026-01-03T00:00:00Z", "tier": "free"},
    {"user_id": "u", "since": "2026-01-05T12:00:00Z", "tier": "gold"},
]
DEVICES = [{"id": "phone", "maker": "acme"}, {"id": "phone", "maker": "acme"}]


def test_each_inference_gets_what_was_known_and_each_gap_its_reason(tmp_path: Path) -> None:
    built = project(tmp_path, PROFILES, DEVICES)
    built.build()
    rows = built.sql(
        "SELECT request_id, profile.tier AS tier, device_facts.maker AS maker "
        "FROM enriched_inferences ORDER BY request_id"
    ).table.to_pylist()
    tiers = {row["request_id"]: row["tier"] for row in rows}
    assert tiers == {
        "r1": None, "r2": None, "r3": "free", "r4": None, "r5": "gold", "r6": "gold",
        "r7": None, "r8": None, "r9": None,
    }  # fmt: skip
    assert [row["maker"] for row in rows] == ["acme" if n % 2 else None for n in range(1, 10)]
    report = built.status()["contexts"]
    assert (report["profile"]["matched"], report["profile"]["rows"]) == (3, 9)
    assert report["profile"]["reasons"] == {"no_key": 1, "not_yet_known": 2, "too_old": 3}
    assert report["profile"]["median_age"] == 12 * 3600
    assert report["device_facts"]["reasons"] == {"no_key": 4}


def test_facts_that_contradict_each_other_are_not_looked_up(tmp_path: Path) -> None:
    built = project(tmp_path, PROFILES, [*DEVICES, {"id": "phone", "maker": "other"}])
    with pytest.raises(DataError, match="phone"):
        built.build()


@pytest.mark.parametrize("order", [("a", "b", "c"), ("c", "b", "a"), ("b", "a", "c")])
def test_facts_of_several_types_are_the_same_whatever_came_first(
    tmp_path: Path, order: tuple[str, ...]
) -> None:
    values = {
        "a": {"tier": 5, "size": 1, "since": "2026-01-01T00:00:00Z"},
        "b": {"tier": 5.5, "size": None, "since": "2026-01-02T00:00:00Z"},
        "c": {"tier": 7, "size": "large", "since": "2026-01-03T00:00:00Z"},
    }
    built = project(tmp_path, [], DEVICES)
    config = (tmp_path / "workbench.toml").read_text()
    config = config.replace('"profiles.jsonl"', '"profiles/*.jsonl"').replace('"1d"', '"9d"')
    (tmp_path / "workbench.toml").write_text(config.replace('["tier"]', '["tier", "size"]'))
    (tmp_path / "profiles").mkdir()
    built = wb.open(tmp_path)
    for name in order:
        write(tmp_path / "profiles" / f"{name}.jsonl", [{"user_id": "u", **values[name]}])
        built.build()
    rows = built.sql(
        "SELECT profile.tier AS tier, profile.size AS size FROM enriched_inferences "
        "WHERE request_id IN ('r1', 'r2', 'r3') ORDER BY request_id"
    ).table.to_pylist()
    assert rows == [
        {"tier": 5.0, "size": "1"}, {"tier": 5.5, "size": None}, {"tier": 7.0, "size": "large"}
    ]  # fmt: skip
    assert built.status()["context_quarantine"] == {}
