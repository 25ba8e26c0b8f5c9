"""Facts with the time at which they were recorded, from files to the joined context."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from workbench.errors import DataError

CONFIG = """
[project]
name = "bitemporal"
[inferences]
source = "inferences.jsonl"
[feedback]
source = "feedback.jsonl"
[context.profile]
source = "profiles.jsonl"
on = { user_id = "user_id", device = "place" }
columns = ["tier"]
"""
AS_OF = 'join = "as_of"\nts = "since"\nknown_at = "recorded"\n'


def day(number: float | None) -> str | None:
    whole = int(number or 0)
    return (
        None if number is None else f"2026-01-{whole:02}T{round((number - whole) * 24):02}:00:00Z"
    )


def fact(since: float, recorded: float | None, tier: str, **more: Any) -> dict[str, Any]:
    keys = {"user_id": "1", "place": "12", **more}
    return {**keys, "since": day(since), "recorded": day(recorded), "tier": tier}


def tiers(folder: Path, config: str, facts: list[dict[str, Any]]) -> dict[str, str | None]:
    """What each of nine inferences at noon of a day found."""
    folder.mkdir(exist_ok=True)
    (folder / "workbench.toml").write_text(CONFIG + config)
    inferences = [
        {
            "request_id": f"{n}",
            "ts": day(n + 0.5),
            "model_version": "v1",
            "user_id": "1",
            "device": "12",
        }
        for n in range(1, 10)
    ]
    event = {"request_id": "5", "ts": day(6), "name": "thumb", "kind": "binary", "value": 1}
    for name, rows in (("inferences", inferences), ("feedback", [event]), ("profiles", facts)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text)
    built = wb.open(folder)
    built.build()
    rows = built.sql(
        "SELECT request_id, profile.tier AS tier FROM enriched_inferences"
    ).table.to_pylist()
    assert len(rows) == 9
    return {row["request_id"]: row["tier"] for row in rows}


def test_what_was_recorded_later_was_not_known_before(tmp_path: Path) -> None:
    facts = [
        fact(1, 1, "free"),
        fact(3, 6, "gold"),  # recorded three days late
        fact(2, 8, "lost"),  # a late correction of what is past
        fact(1, 1, "other", user_id="11", place="2"),
    ]
    found = tiers(tmp_path, AS_OF, facts)
    assert found == dict.fromkeys("12345", "free") | dict.fromkeys("6789", "gold")


@pytest.mark.parametrize("turned", [False, True])
def test_a_correction_replaces_a_fact_that_does_not_say_when_it_was_recorded(
    tmp_path: Path, turned: bool
) -> None:
    facts = [fact(2, None, "said"), fact(2, 5, "corrected")]
    found = tiers(tmp_path, AS_OF, facts[::-1] if turned else facts)
    expected = dict.fromkeys("234", "said") | dict.fromkeys("56789", "corrected")
    assert found == {"1": None, **expected}


def test_of_facts_that_differ_only_in_content_the_same_wins_in_whatever_order_they_came(
    tmp_path: Path,
) -> None:
    names = ("a", "b", "c")
    winners = {
        tiers(tmp_path / str(n), AS_OF, [fact(2, 2, name) for name in order])["9"]
        for n, order in enumerate(itertools.permutations(names))
    }
    assert len(winners) == 1
    assert winners <= set(names)


@pytest.mark.parametrize(
    ("several", "expected"),
    [
        # One is known from ever, another one from the fourth day on.
        ("first", dict.fromkeys("123456789", "said")),
        ("null", dict.fromkeys("123", "said") | dict.fromkeys("456789")),
    ],
)
def test_a_lookup_of_several(tmp_path: Path, several: str, expected: dict[str, str | None]) -> None:
    config = f'join = "lookup"\nknown_at = "recorded"\nseveral = "{several}"\n'
    facts = [fact(1, 4, "corrected"), fact(1, None, "said")]
    assert tiers(tmp_path, config, facts) == expected


def test_several_are_an_error_unless_configured_otherwise(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1, 12"):
        tiers(tmp_path, 'join = "lookup"\n', [fact(1, 1, "a"), fact(1, 1, "b")])
