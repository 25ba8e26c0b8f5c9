"""Which examples are chosen: drawn, split, cleaned, and kept from what is protected."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations, pairwise
from typing import Any

import pytest

from tests.datasets import world
from tests.datasets.world import Row
from tests.ingest.folder import Folder
from workbench.datasets.split import parse_split
from workbench.errors import ConfigError, DataError
from workbench.samplers import samplers

CALLS = {row["request_id"]: row for row in world.calls()}
#: Parameters without which a sampler cannot draw here.
GIVEN = {
    "stratified": "by='model_version'",
    "importance": "score='position'",
    "coverage": "by='model_version, user_id'",
    "mix": "of=\"uniform: 1, stratified(by='model_version'): 1\"",
}


@pytest.mark.parametrize("sampler", samplers.names())
def test_every_sampler_draws_at_most_n_examples_once(built: Folder, sampler: str) -> None:
    chosen = {"sampler": f"{sampler}({GIVEN.get(sampler, '')})", "limit": 25, "seed": 3}
    if sampler == "density_weighted":  # no density was fitted, and it is not taken for 1
        with pytest.raises(DataError, match="105 not_drawn"):
            world.compiled(built, "kto", f"by-{sampler}", **chosen)
        return
    manifest = world.compiled(built, "kto", f"by-{sampler}", **chosen)
    rows = world.rows_of(built, manifest)
    assert len({row["example_id"] for row in rows}) == len(rows) == manifest["rows"] == 25
    for row in rows:
        assert 0 < row["random_number"] < 1
        if row["inclusion_probability"] is not None:
            assert 0 < row["inclusion_probability"] <= 1
            weight = 1 / row["inclusion_probability"]
            assert row["sample_weight"] == pytest.approx(weight, rel=1e-12)


def shares(rows: list[Row]) -> dict[str, float]:
    return {split: n / len(rows) for split, n in Counter(row["split"] for row in rows).items()}


def test_groups_stay_on_one_side_and_the_shares_are_near(built: Folder) -> None:
    split = parse_split("request_id: train=0.5, dev=0.3, test=0.2")
    whole = {"target": "prediction", "split": split}
    rows = world.rows_of(built, world.compiled(built, "sft", "split-rows", **whole))
    for name, share in split.parts:
        spread = (share * (1 - share) / len(rows)) ** 0.5
        assert abs(shares(rows)[name] - share) < 3 * spread
    whole["split"] = parse_split("session_id: train=0.5, test=0.5")
    rows = world.rows_of(built, world.compiled(built, "sft", "split-groups", **whole))
    sides: dict[str, set[str]] = {}
    for row in rows:
        session = CALLS[row["request_id"]].get("session_id")
        assert row["split_group"] == session
        sides.setdefault(session or "none", set()).add(row["split"])
    # What belongs to nobody is no group.
    assert sides.pop("none") == {"train", "test"}
    assert all(len(side) == 1 for side in sides.values())
    assert 0.4 < shares(rows)["train"] < 0.6


def test_the_earliest_are_trained_on(built: Folder) -> None:
    split = parse_split("time: train=0.6, dev=0.2, test=0.2")
    manifest = world.compiled(built, "sft", "split-time", target="prediction", split=split)
    rows = world.rows_of(built, manifest)
    times = {
        name: [CALLS[row["request_id"]]["ts"] for row in rows if row["split"] == name]
        for name in ("train", "dev", "test")
    }
    for before, after in pairwise(times.values()):
        assert max(before) < min(after)
    for name, share in split.parts:
        assert shares(rows)[name] == pytest.approx(share, abs=2 / len(rows))


def test_prompts_that_are_alike_stay_together(built: Folder) -> None:
    split = parse_split("near_duplicates: train=0.5, test=0.5")
    rows = world.rows_of(built, world.compiled(built, "sft(style='text')", "alike", split=split))
    sides: dict[str, set[str]] = {}
    for row in rows:
        sides.setdefault(row["prompt"], set()).add(row["split"])
    assert {len(side) for side in sides.values()} == {1}
    assert set.union(*sides.values()) == {"train", "test"}


def test_the_leak_report_counts_what_is_on_both_sides(built: Folder) -> None:
    split = parse_split("request_id: train=0.5, dev=0.2, test=0.3")
    manifest = world.compiled(built, "tabular", "leaky", split=split)
    rows = world.rows_of(built, manifest)
    told = {(e["kind"], e["between"]): e["rows"] for e in manifest["leaks"]}
    assert leaked(rows) == {key: n for key, n in told.items() if key[0] != "near_same_prompt"}
    # Nothing of it is left where the groups stay together, but the test set has moved.
    again = world.compiled(
        built, "tabular", "leaky", split=parse_split("user_id: train=0.5, dev=0.2, test=0.3"),
        where="session_id IS NOT NULL",
    )  # fmt: skip
    now = {row["example_id"]: row["split"] for row in world.rows_of(built, again)}
    moved = Counter(
        f"{row['split']} before, now {now[row['example_id']]}"
        for row in rows
        if now.get(row["example_id"], row["split"]) != row["split"]
    )
    assert moved
    assert {e["between"]: e["rows"] for e in again["leaks"] if e["kind"] == "moved"} == moved
    assert {e["kind"] for e in again["leaks"]} <= {"moved", "near_same_prompt"}


def leaked(rows: list[Row]) -> dict[tuple[str, str], int]:
    """How many examples of a split have something in common with another one, by its name."""
    told: dict[tuple[str, str], int] = {}
    for one, two in combinations(sorted({row["split"] for row in rows}), 2):
        for kind in ("content", "user_id", "session_id", "trace_id"):
            sides = {
                split: [values(row, kind) for row in rows if row["split"] == split]
                for split in (one, two)
            }
            both = sum(bool(found & set[Any]().union(*sides[two])) for found in sides[one])
            if both:
                told[f"same_{kind}", f"{one} / {two}"] = both
    return told


def values(row: Row, kind: str) -> set[Any]:
    """What an example has of a kind; a pair has that of both of its sides."""
    if kind == "content":
        data = ("age", "plan", "label", "prompt", "chosen", "rejected")
        return {json.dumps([row.get(name) for name in data])}
    calls = [CALLS[row[key]] for key in ("request_id", "other_id") if row.get(key)]
    return {call[kind] for call in calls if call.get(kind) is not None}


def test_the_other_side_of_a_pair_leaks_too(built: Folder) -> None:
    split = parse_split("user_id: train=0.5, test=0.5")
    manifest = world.compiled(built, "dpo", "pairs-leaky", split=split)
    rows = world.rows_of(built, manifest)
    told = {(e["kind"], e["between"]): e["rows"] for e in manifest["leaks"]}
    assert leaked(rows) == {key: n for key, n in told.items() if key[0] != "near_same_prompt"}
    assert ("same_user_id", "test / train") in told
    alone = leaked([{**row, "other_id": None} for row in rows])
    assert ("same_user_id", "test / train") not in alone


def test_a_label_from_the_future_is_told(built: Folder) -> None:
    """All calls of questions were made before the first of them was judged."""
    split = parse_split("time: train=0.7, test=0.3")
    questions = {"where": "session_id IS NOT NULL", "split": split}
    manifest = world.compiled(built, "kto", "future", **questions)
    train = sum(row["split"] == "train" for row in world.rows_of(built, manifest))
    (told,) = [e for e in manifest["leaks"] if e["kind"] == "label_from_the_future"]
    assert (told["between"], told["rows"]) == ("train / test", train)
    # Each run of an agent was judged before the next one began.
    runs = {"where": "trace_id IS NOT NULL", "split": split}
    manifest = world.compiled(built, "stepwise", "no-future", **runs)
    assert "label_from_the_future" not in {e["kind"] for e in manifest["leaks"]}


#: What must not be in any dataset, see `world.CONFIG`.
HIDDEN = ("land ", "band ", "hidden channel")


@pytest.mark.parametrize("training_format", world.FORMATS)
def test_no_format_has_what_is_protected(
    built: Folder, versions: dict[str, Row], training_format: str
) -> None:
    rows = world.rows_of(built, versions[training_format])
    text = repr(rows) + json.dumps(versions[training_format])
    assert not [secret for secret in HIDDEN if secret in text]


def test_what_is_protected_is_in_where_it_is_named(built: Folder) -> None:
    columns = ("features.country", "user.age_band", "channel", "user.tier")
    manifest = world.compiled(built, "tabular", "named", columns=columns, where="features.age > 0")
    for row in world.rows_of(built, manifest):
        call = CALLS[row["request_id"]]
        number = int(call["user_id"][1:])
        assert row["country"] == call["country"]
        assert row["user_age_band"] == f"band {number % 4}"
        assert row["channel"] == "hidden channel"
        assert row["user_tier"] == f"tier {number % 3}"


@pytest.mark.parametrize("by", ["channel", "features.country", "user.age_band || 'x'"])
def test_a_split_by_what_is_protected_does_not_show_it(built: Folder, by: str) -> None:
    split = parse_split(f"{by}: train=0.5, test=0.5")
    manifest = world.compiled(built, "tabular", "audited", split=split, where="features.age > 0")
    rows = world.rows_of(built, manifest)
    assert not [secret for secret in HIDDEN if secret in repr(rows)]
    if "country" in by:
        sides = {(CALLS[row["request_id"]]["country"], row["split"]) for row in rows}
        assert len(sides) == 9
        assert len({split for _, split in sides}) == 2


def test_texts_that_are_protected_make_no_examples(own: Folder) -> None:
    config = world.CONFIG.replace('"channel"]', '"channel", "user_id", "output"]')
    own.write("workbench.toml", config)
    for training_format in ("kto", "sft", "dpo", "reward"):
        with pytest.raises(ConfigError, match="needs input and output"):
            world.compiled(own, training_format)
    manifest = world.compiled(own, "recsys", "anonymous")
    rows = world.rows_of(own, manifest)
    assert {row["user_id"] for row in rows} == {None}
    assert "'u1'" not in repr(rows)
    kept = world.compiled(own, "kto", "allowed", columns=("output",))
    assert kept["rows"] > 0


CLEANING = """
[cleaning.rules.own_staff]
where = "user_id = 'u3'"
[cleaning.patterns.number]
pattern = "Question 9[0-9]*"
action = "mask"
replace = "[MASKED]"
columns = ["prompt"]
[cleaning.patterns.secret]
pattern = "Better answer to 1[0-9]"
action = "drop"
"""


def test_masks_and_rules_are_applied(own: Folder) -> None:
    own.write("workbench.toml", world.CONFIG + CLEANING)
    own.build()
    for training_format in ("sft", "dpo", "kto"):
        manifest = world.compiled(own, training_format)
        rows = world.rows_of(own, manifest)
        users = {CALLS[row["request_id"]]["user_id"] for row in rows}
        assert "u3" not in users
        assert len(users) == 16
        text = repr(rows)
        assert "[MASKED]" in text
        assert "Question 9" not in text
        assert "Better answer to 1" not in text
        assert ("Better answer to 3" in text) == (training_format != "kto")
        reasons = {s["reason"]: -s["rows"] for s in manifest["funnel"] if s["rows"] < 0}
        assert reasons["rule:own_staff"] > 0
        assert reasons.get("pattern:secret", 0) == (0 if training_format == "kto" else 2)
    # Cleaning can be left out, and then says so in the slice.
    whole = world.compiled(own, "kto", "uncleaned", clean=())
    assert whole["rows"] == 105
    assert "Question 9" in repr(world.rows_of(own, whole))


def test_a_budget_of_tokens_is_kept_and_used(built: Folder) -> None:
    whole = world.compiled(built, "kto", "tokens-whole")
    for sampler in (None, "stratified(by='model_version')"):
        chosen = {"where": "session_id IS NOT NULL", "sampler": sampler, "tokens": 900}
        rows = world.rows_of(built, world.compiled(built, "kto", "tokens", **chosen))
        spent = [CALLS[r["request_id"]]["input_tokens"] + 20 for r in rows]
        assert 900 - 36 < sum(spent) <= 900
        # They stand for all that could have been drawn.
        assert sum(row["sample_weight"] for row in rows) == pytest.approx(whole["rows"] - 9)
    assert len(rows) < whole["rows"]


def test_a_target_is_what_an_example_teaches(built: Folder) -> None:
    rows = world.rows_of(built, world.compiled(built, "tabular", "untaught", target="none"))
    assert {row["label"] for row in rows} == {None}
    assert len(rows) == len(CALLS)
    rows = world.rows_of(built, world.compiled(built, "sft", "told", target="prediction"))
    assert {row["messages"][-1]["content"] for row in rows} == {
        call["output"] for call in CALLS.values()
    }
    with pytest.raises(ConfigError, match="kto cannot have the target"):
        world.compiled(built, "kto", "wrong", target="prediction")
