"""Signs of a bot: found where they are planted, and not where people are merely alike."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench
from tests.ingest.folder import START, Folder, event, inference, lines
from workbench.raters import _signs

#: People are right this often.
RIGHT = 0.92
PEOPLE = [f"p{n}" for n in range(8)]


def world(seed: int, people: int = 8, items: int = 400) -> list[dict[str, Any]]:
    """Thumbs of people at random times, three on each inference."""
    rng = random.Random(seed)
    rows = []
    for n in range(items):
        truth = rng.random() < 0.6
        for rater in rng.sample(PEOPLE[:people], 3):
            said = truth if rng.random() < RIGHT else not truth
            rows.append(thumb(n, rater, said, rng.randrange(30 * 86_400_000) / 1000))
    return rows


def thumb(n: int, rater: str, value: Any, seconds: float, **more: Any) -> dict[str, Any]:
    row = event(n, feedback_id=f"{rater} {n} {seconds}", rater_id=rater, value=int(value))
    return {**row, "ts": START + 1000 + seconds, **more}


def raters(path: Path, rows: list[dict[str, Any]], least: int = 20) -> dict[str, dict[str, Any]]:
    folder = Folder.make(path / "p", events=0)
    numbers = {int(row["request_id"][1:]) for row in rows}
    folder.write("logs/a.jsonl", lines(inference(n) for n in sorted(numbers)))
    folder.write("events/a.jsonl", lines(rows))
    folder.build()
    return {row["rater_id"]: row for row in workbench.open(folder.path).raters(least=least)}


def found(row: dict[str, Any]) -> set[str]:
    assert row["n_signs"] == sum(sign["found"] for sign in row["signs"])
    assert row["flagged"] == (row["n_signs"] >= 2)
    assert bool(row["reason"]) == bool(row["n_signs"])
    return {sign["sign"] for sign in row["signs"] if sign["found"]}


def test_planted_bots_are_found_each_by_its_signs(tmp_path: Path) -> None:
    rng = random.Random(1)
    rows = world(0, items=600)
    for n in range(200):
        rows.append(thumb(n, "clock", 1, 60.0 * n))
        jitter, flood = 300.0 * n + rng.uniform(-2, 2), 1000 + rng.uniform(0, 20)
        rows.append(thumb(n + 200, "jitter", rng.random() < 0.5, jitter))
        rows.append(thumb(n + 400, "flood", rng.random() < 0.5, flood))
    table = raters(tmp_path, rows)
    assert set(table) == {*PEOPLE, "clock", "jitter", "flood"}
    assert found(table["clock"]) == {"regular_gaps", "one_value", "chance_agreement"}
    assert found(table["jitter"]) == {"regular_gaps", "chance_agreement"}
    assert found(table["flood"]) == {"burst", "chance_agreement"}
    for name in PEOPLE:
        assert not found(table[name]), table[name]["reason"]
        assert table[name]["kappa_low"] > 0.2
        assert table[name]["reliability"] == pytest.approx(RIGHT, abs=0.07)
    assert [*table][:3] == ["clock", "flood", "jitter"] or table["clock"]["n_signs"] == 3
    clock = {sign["sign"]: sign for sign in table["clock"]["signs"]}
    assert (clock["regular_gaps"]["value"], clock["regular_gaps"]["n"]) == (1.0, 199)
    assert (clock["one_value"]["value"], clock["one_value"]["n"]) == (1.0, 200)
    assert clock["chance_agreement"]["value"] == pytest.approx(0.0, abs=1e-12)
    assert "60 s" in table["clock"]["reason"]


def test_agreement_with_others_is_counted_as_one_would_by_hand(tmp_path: Path) -> None:
    rows = [
        *(thumb(n, "a", n < 2, n * 7.1) for n in range(4)),
        *(thumb(n, "b", n < 3, n * 5.3) for n in range(4)),
        *(thumb(n, "c", 1, n * 3.7) for n in range(2)),
        thumb(9, "a", 1, 99.9),
    ]
    table = raters(tmp_path, rows, least=1)
    # a: others agree 2/2, 2/2, 0/1, 1/1; its values 1 1 0 0, the others' shares of 1: 1 1 1 0.
    assert (table["a"]["n"], table["a"]["n_shared"]) == (5, 4)
    assert table["a"]["agreement"] == pytest.approx(3 / 4)
    assert table["a"]["kappa"] == pytest.approx((3 / 4 - 1 / 2) / (1 / 2))
    # c and its companions said 1 only: chance would always agree.
    assert (table["c"]["agreement"], table["c"]["kappa"]) == (1.0, None)


def test_times_that_are_days_or_minutes_are_no_regular_gaps(tmp_path: Path) -> None:
    rows = [{**row, "ts": row["ts"] // 86_400 * 86_400} for row in world(3)]
    for row in raters(tmp_path, rows).values():
        assert not found(row) & {"regular_gaps", "chance_agreement", "one_value"}
        regular = next(sign for sign in row["signs"] if sign["sign"] == "regular_gaps")
        assert (regular["value"], regular["p_value"]) == (None, None)


def test_where_nobody_agrees_nobody_is_blamed_for_it(tmp_path: Path) -> None:
    rng = random.Random(5)
    rows = [{**row, "value": int(rng.random() < 0.5)} for row in world(4)]
    for row in raters(tmp_path, rows).values():
        assert not found(row), row["reason"]


def test_many_honest_raters_are_hardly_ever_under_suspicion(tmp_path: Path) -> None:
    """40 sets of raters would show one sign, by the promise of one in a thousand sets, never."""
    rng = np.random.default_rng(8)
    rows = []
    for seed in range(12):
        shift = 1000 * seed
        for row in world(100 + seed, items=120):
            number = int(row["request_id"][1:]) + shift
            rows.append(
                {
                    **row,
                    "request_id": f"r{number}",
                    "rater_id": f"{seed} {row['rater_id']}",
                    "feedback_id": f"{seed} {row['feedback_id']}",
                    "ts": row["ts"] + float(rng.uniform(0, 1)),
                }
            )
    table = raters(tmp_path, rows)
    assert len(table) == 96
    assert sum(row["n_signs"] for row in table.values()) == 0


def test_the_interval_of_a_rater_holds_the_kappa_of_the_population() -> None:
    """Each of 2,000 draws: one rater beside two others on 120 inferences."""
    rng = np.random.default_rng(1)

    def facts(n: int) -> dict[str, Any]:
        truth = rng.random(n) < 0.5
        own, *others = (truth ^ (rng.random(n) < wrong) for wrong in (0.2, 0.15, 0.15))
        share = np.mean(others, axis=0)
        return {
            "n_shared": n,
            "agreed": float(np.where(own, share, 1 - share).mean()),
            "squares": float((np.where(own, share, 1 - share) ** 2).mean()),
            "expected": float(own.mean() * share.mean() + (1 - own.mean()) * (1 - share.mean())),
        }

    true = _signs.kappa(facts(2_000_000))
    assert true is not None
    inside = 0
    for _ in range(2000):
        _, low, high = _signs.kappa(facts(120)) or (0.0, 0.0, 0.0)
        inside += low <= true[0] <= high
    assert 0.93 <= inside / 2000 <= 0.97, inside
