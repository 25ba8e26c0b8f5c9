"""The as_of join against Feast's point-in-time join on the same data.

Feast agrees wherever it promises an answer. It promises none where two facts of one key have the
same time (and the same record time), and it leaves out facts without record time, which here are
known from when they hold; so the data has neither.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.soundness.tables import ARROW, Row, Tables, at, by
from workbench.contexts import JoinSpec, contexts

feast = pytest.importorskip("feast", reason="Feast is not installed: make feast")

SCHEMA = {
    "inferences": {"row_id": "BIGINT", "ts": "TIMESTAMPTZ", "user": "VARCHAR", "item": "VARCHAR"},
    "facts": {
        "user": "VARCHAR",
        "item": "VARCHAR",
        "since": "TIMESTAMPTZ",
        "known": "TIMESTAMPTZ",
        "tier": "VARCHAR",
        "amount": "DOUBLE",
        "nth": "BIGINT",
    },
}
ONE = (("user", "user"),)
TWO = (("user", "user"), ("item", "item"))
SPEC = JoinSpec(
    name="profile", keys=ONE, facts=("tier", "amount"), order="nth", times={"ts": "since"}
)
BITEMPORAL = {"ts": "since", "known_at": "known"}
TTL = {"tolerance": timedelta(seconds=40)}
SPECS = {
    "one key": SPEC,
    "two keys": replace(SPEC, keys=TWO),
    "time to live": replace(SPEC, options=TTL),
    "record times": replace(SPEC, times=BITEMPORAL),
    "all": replace(SPEC, keys=TWO, times=BITEMPORAL, options=TTL),
}
# Texts that are the same when they are glued together: "1" and "12", "11" and "2".
KEYS = ("1", "11", "2", "12", "a", "é", " ")


def world(choose: Callable[[Sequence[Any]], Any], spec: JoinSpec) -> tuple[list[Row], list[Row]]:
    inferences = [
        {
            "row_id": n,
            "ts": at(choose(range(300))),
            "user": choose((None, *KEYS)),
            "item": choose((None, *KEYS)),
        }
        for n in range(1_500)
    ]
    facts = {}
    for _ in range(1_500):
        fact = {
            "user": choose(KEYS),
            "item": choose(KEYS),
            "since": at(choose(range(300))),
            "known": at(choose(range(300))),
            "tier": choose((None, "gold", "free")),
            "amount": choose((None, 1.5, -2.0)),
        }
        time = (fact["since"], fact["known"]) if "known_at" in spec.times else fact["since"]
        facts[(tuple(fact[key] for _, key in spec.keys), time)] = fact
    ordered = sorted(facts.values(), key=lambda fact: (fact["since"], fact["known"]))
    return inferences, [{**fact, "nth": n} for n, fact in enumerate(ordered)]


def by_feast(
    folder: Path, inferences: Sequence[Row], facts: Sequence[Row], spec: JoinSpec
) -> dict[int, Row]:
    """What Feast's DuckDB offline store finds, through its public interface."""
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Float64, String

    schema = pa.schema([(name, ARROW[kind]) for name, kind in SCHEMA["facts"].items()])
    pq.write_table(pa.Table.from_pylist(list(facts), schema=schema), folder / "facts.parquet")
    bitemporal = "known_at" in spec.times
    entities = [
        Entity(name=key, join_keys=[key], value_type=ValueType.STRING) for _, key in spec.keys
    ]
    view = FeatureView(
        name="profile",
        entities=entities,
        ttl=spec.options.get("tolerance"),
        schema=[
            *(Field(name=key, dtype=String) for _, key in spec.keys),
            Field(name="tier", dtype=String),
            Field(name="amount", dtype=Float64),
        ],
        source=FileSource(
            path=str(folder / "facts.parquet"),
            timestamp_field="since",
            created_timestamp_column="known" if bitemporal else None,
        ),
        online=False,
    )
    store = FeatureStore(
        config=RepoConfig(
            project="differential",
            provider="local",
            registry=str(folder / "registry.db"),
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            offline_store={"type": "duckdb"},
            entity_key_serialization_version=3,
        )
    )
    store.apply([*entities, view])
    columns = {"row_id": "row_id", "ts": "event_timestamp"} | {key: key for key, _ in spec.keys}
    asked = pa.Table.from_pylist(
        [{new: row[old] for old, new in columns.items()} for row in inferences]
    ).to_pandas()
    extra = {"filter_by_created_timestamp": True} if bitemporal else {}
    job = store.get_historical_features(
        entity_df=asked, features=["profile:tier", "profile:amount"], **extra
    )
    return by(job.to_arrow().to_pylist(), "row_id")


def by_workbench(inferences: Sequence[Row], facts: Sequence[Row], spec: JoinSpec) -> dict[int, Row]:
    tables = Tables(SCHEMA)
    tables.fill(inferences=inferences, facts=facts)
    join = contexts.get("as_of").join
    rows = tables.run("", lambda: join(tables.table("inferences"), tables.table("facts"), spec))
    return {n: row["profile"] or {} for n, row in by(rows, "row_id").items()}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_as_of_agrees_with_feast(tmp_path: Path, spec: JoinSpec, seed: int) -> None:
    inferences, facts = world(random.Random(seed).choice, spec)
    theirs = by_feast(tmp_path, inferences, facts, spec)
    ours = by_workbench(inferences, facts, spec)
    assert ours.keys() == theirs.keys()
    for n, row in ours.items():
        for name in spec.facts:
            assert row.get(name) == theirs[n][name], (n, name)
    assert 100 < sum(bool(row) for row in ours.values()) < len(ours)


def test_keys_are_not_glued_together(tmp_path: Path) -> None:
    """Neither may give the one pair what belongs to the other."""
    spec = SPECS["two keys"]
    inferences = [
        {"row_id": 0, "ts": at(9), "user": "1", "item": "12"},
        {"row_id": 1, "ts": at(9), "user": "11", "item": "2"},
    ]
    facts = [{"user": "1", "item": "12", "since": at(1), "tier": "right", "amount": 1.0, "nth": 0}]
    ours = by_workbench(inferences, facts, spec)
    assert ours == {0: {"tier": "right", "amount": 1.0}, 1: {}}
    theirs = by_feast(tmp_path, inferences, facts, spec)
    assert [theirs[n]["tier"] for n in (0, 1)] == ["right", None]
