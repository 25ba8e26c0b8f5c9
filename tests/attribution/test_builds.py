"""Aliases, credits and clocks in a project: from files to the ledger and the labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.ingest.folder import PLAIN, START, Folder, event, inference, lines
from workbench.configuration import load
from workbench.errors import ConfigError

ALIASES = (
    PLAIN
    + """
[aliases]
source = "aliases.csv"
columns = { alias = "response_id", request_id = "id" }
"""
)
STATUSES = ("invalid", "duplicate", "spam", "attributed", "ambiguous", "orphan")


def table(rows: Sequence[tuple[str, str]]) -> str:
    return "response_id,id\n" + "".join(f"{alias},{id_}\n" for alias, id_ in rows)


def fates(folder: Folder) -> dict[str, tuple[Any, ...]]:
    rows = folder.ask(
        "SELECT feedback_id, status, method, request_id, n_candidates, reason FROM attribution"
    )
    return {row[0]: row[1:] for row in rows}


def test_the_ledger_holds_with_aliases_and_an_orphan_is_found_when_its_alias_comes(
    tmp_path: Path,
) -> None:
    folder = Folder.make(tmp_path / "p", ALIASES)
    folder.write(
        "logs/a.jsonl", lines(inference(n, trace_id="t" if n < 3 else None) for n in range(6))
    )
    named = ("resp-4", "resp-two", "span", "later", "nobody", "r5")
    folder.write(
        "events/first.jsonl",
        lines(
            [
                *(event(n, request_id=name) for n, name in enumerate(named)),
                event(0, request_id="resp-4"),
                event(7, request_id="resp-4", value="bad"),
                {
                    "feedback_id": "pair", "ts": START + 99, "name": "better",
                    "kind": "preference", "chosen_id": "resp-4", "rejected_id": "r0",
                },
            ]
        ),
    )  # fmt: skip
    pairs = [("resp-4", "r4"), ("resp-4", "r4"), ("resp-two", "r1"), ("resp-two", "r2")]
    pairs += [("span", "t"), ("r5", "r0"), ("nobody", "x"), ("", "r1")]
    folder.write("aliases.csv", table(pairs))
    folder.build()
    assert fates(folder) == {
        "f0": ("attributed", "alias", "r4", 1, None),
        "f1": ("ambiguous", "alias", None, 2, "several_of_alias"),
        "f2": ("attributed", "trace", "r2", 3, None),
        "f3": ("orphan", None, None, 0, "unknown_request_id"),
        "f4": ("orphan", None, None, 0, "unknown_request_id"),
        "f5": ("attributed", "request_id", "r5", 1, None),
        "pair": ("attributed", "preference", None, 1, None),
    }
    assert folder.ask(
        "SELECT chosen_request_id, rejected_request_id FROM attribution WHERE feedback_id = 'pair'"
    ) == [("r4", "r0")]
    status = folder.status()
    assert status["received"] == 9 == sum(status[name] for name in STATUSES)
    assert status["context_quarantine"] == {"aliases": {"missing_value": 1}}
    assert len(folder.ask("SELECT * FROM aliases")) == 6

    folder.append("aliases.csv", "later,r3\n")
    folder.build()
    assert fates(folder)["f3"] == ("attributed", "alias", "r3", 1, None)
    status = folder.status()
    assert status["received"] == 9 == sum(status[name] for name in STATUSES)


@pytest.mark.parametrize(
    ("credit", "rewards"),
    [
        ("last", {"r0": None, "r1": 0.0, "r2": 1.0}),
        ("uniform", {"r0": 1.0, "r1": 1 / 4, "r2": 1.0}),
        ("discounted", {"r0": 1.0, "r1": (2 / 7) / (1 + 2 / 7), "r2": 1.0}),
    ],
)
def test_labels_weigh_events_by_their_credit(
    tmp_path: Path, credit: str, rewards: dict[str, float | None]
) -> None:
    crediting = f'[attribution]\ncredit = "{credit}"\ndiscount = 0.5\n'
    folder = Folder.make(tmp_path / "p", PLAIN + crediting)
    folder.write("logs/a.jsonl", lines(inference(n, session_id="s") for n in range(3)))
    whole = event(0, request_id=None, scope="conversation", session_id="s", value=1)
    folder.write("events/first.jsonl", lines([whole, event(1, value=0)]))
    folder.build()
    found = dict(folder.ask("SELECT request_id, reward FROM enriched_inferences"))
    assert found == {
        key: None if value is None else pytest.approx(value, abs=1e-12)
        for key, value in rewards.items()
    }
    # One row per attributed event all the same, with its own reward.
    assert sorted(folder.ask("SELECT feedback_id, request_id, reward FROM enriched_feedback")) == [
        ("f0", "r2", 1.0),
        ("f1", "r1", 0.0),
    ]


def test_a_correction_is_compared_with_each_output_that_it_is_credited_to(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "p", PLAIN + '[attribution]\ncredit = "uniform"\n')
    outputs = ("right", "wrong", "right")
    folder.write(
        "logs/a.jsonl", lines(inference(n, trace_id="t", output=o) for n, o in enumerate(outputs))
    )
    fix = {"feedback_id": "fix", "name": "fix", "ts": START + 60, "corrected_output": "right"}
    folder.write("events/first.jsonl", lines([{**fix, "scope": "trace", "trace_id": "t"}]))
    folder.build()
    assert sorted(folder.ask("SELECT request_id, reward FROM labels")) == [
        ("r0", 1.0), ("r1", 0.0), ("r2", 1.0)
    ]  # fmt: skip
    assert folder.ask("SELECT request_id, reward FROM enriched_feedback") == [("r2", 1.0)]


@pytest.mark.parametrize("clock_skew", ["report", "correct"])
def test_a_clock_is_corrected_only_when_asked(tmp_path: Path, clock_skew: str) -> None:
    attribution = f'[attribution]\nfallback = ["session"]\nclock_skew = "{clock_skew}"\n'
    folder = Folder.make(tmp_path / "p", PLAIN + attribution)
    folder.write("logs/a.jsonl", lines(inference(n, session_id=f"s{n}") for n in range(30)))
    # A phone that is an hour behind, and two seconds from the answer to the thumb.
    phone = [
        event(n, ts=START + n + 2 - 3600, received_at=START + n + 4, device_type="phone")
        for n in range(25)
    ]
    nameless = event(
        27, request_id=None, session_id="s27", ts=START + 29 - 3600, device_type="phone"
    )
    folder.write("events/first.jsonl", lines([*phone, nameless]))
    folder.build()
    (clock,) = folder.status()["clocks"]
    assert clock == {
        "source": "device_type=phone", "n": 25, "low": -3602.0, "high": -3598.0,
        "skew": -3598.0, "reason": None,
    }  # fmt: skip
    found = fates(folder)["f27"]
    flags = folder.ask("SELECT DISTINCT delay, early FROM attribution WHERE method = 'request_id'")
    stored = folder.ask("SELECT count(*) FROM feedback WHERE epoch(ts) < 1772323200")
    assert stored == [(26,)]
    if clock_skew == "correct":
        assert found[:3] == ("attributed", "session", "r27")
        assert flags == [(0.0, False)]
    else:
        assert found[0] == "orphan"
        assert flags == [(-3598.0, True)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[attribution]\ncredit = "even"', "attribution.credit = 'even' is not known"),
        ("[attribution]\ndiscount = 0", "attribution.discount = 0 must be a number above 0"),
        ("[attribution]\ndiscount = 1.01", "attribution.discount = 1.01"),
        ("[attribution]\ndiscount = true", "attribution.discount = True"),
        ('[attribution]\nclock_skew = "fix"', "attribution.clock_skew = 'fix' is not known"),
        ('[aliases]\ncolumns = { alias = "a" }', "[aliases] has no source"),
        ('[aliases]\nsource = "a.csv"\ncolumns = { allias = "a" }', "unknown key 'allias'"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "workbench.toml").write_text(PLAIN + text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert says in str(caught.value)


def test_aliases_that_are_not_mapped_are_asked_for(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "p", PLAIN + '[aliases]\nsource = "aliases.csv"\n')
    folder.write("logs/a.jsonl", lines([inference(0)]))
    folder.write("aliases.csv", table([("x", "r0")]))
    with pytest.raises(ConfigError, match="alias is mandatory and not mapped"):
        folder.build()
