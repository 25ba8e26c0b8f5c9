"""The point-in-time join against polars' `join_asof` and, where it is installed, Feast's.

200,000 events look for the latest of 2,000,000 facts of their key. All but `prepare` start from the
same rows in memory, each in its own tables and in no order, so each one's time includes the
sorting; all end with a table in memory of every event and the columns of its fact. What is timed:

- `latest`: the helper of the joins, with the columns of the fact that was found
- `as_of`: the whole join of a build, with age, reason and the time when the fact was known
- `prepare`: the facts of a build from the lake: each once, numbered in the order of their times; a
  build pays it once per context, and `as_of` after it
- `polars`: both sides sorted by time, then `join_asof`
- `feast`: `point_in_time_join` of Feast's DuckDB offline store

All take turns, run by run, and must find the same fact for every event. One JSON line per number of
keys gives the least wall and the least CPU seconds of each over the runs; where the machine has
other work to do, the CPU seconds are the ones to compare. Run with the dependency group `bench`;
`make feast` makes an environment that has Feast too.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from workbench import engine, point_in_time
from workbench.build import facts as build_facts
from workbench.build.sources import LakeTable
from workbench.contexts import JoinSpec, contexts
from workbench.project import Context

COLUMNS = ("fact", "balance", "tier", "country")
CONTEXT = Context(
    name="profile",
    source=None,
    join="as_of",
    on=(("user_id", "user"),),
    columns=COLUMNS,
    times={"ts": "since"},
)
SPEC = JoinSpec(
    name="profile",
    keys=(("user_id", "__key_0"),),
    facts=COLUMNS,
    order=build_facts.ORDER,
    times={"ts": "__ts"},
)
#: A time in January, from a hash.
TIME = "TIMESTAMPTZ '2026-01-01 00:00:00+00' + to_microseconds(({} % 2592000000000)::BIGINT)"
Contestant = Callable[[], None]


def world(
    folder: Path, events: int, facts: int, keys: int, threads: int
) -> tuple[duckdb.DuckDBPyConnection, LakeTable]:
    """A connection with `inferences` and `given`, the facts, which are also a lake table."""
    connection = engine.connect()
    connection.execute(f"SET threads = {threads}")
    connection.execute("SET preserve_insertion_order = false")  # as in a build
    connection.execute(
        f"CREATE TABLE given AS SELECT DISTINCT ON (__key_0, __ts) * FROM ("
        f"SELECT 0::BIGINT AS ingest_id, 'user-' || hash(i * 7 + 1) % {keys} AS __key_0, "
        f"{TIME.format('hash(i * 3 + 2)')} AS __ts, i AS fact, "
        "(hash(i + 5) % 1000) / 10 AS balance, (hash(i + 6) % 5)::BIGINT AS tier, "
        f"'c' || hash(i + 9) % 50 AS country FROM range({facts}) t(i)) ORDER BY hash(fact)"
    )
    connection.execute(
        f"CREATE TABLE inferences AS SELECT i AS row_id, 'r' || i AS request_id, "
        f"'user-' || hash(i * 11 + 1) % {keys} AS user_id, "
        f"{TIME.format('hash(i * 13 + 2)')} AS ts FROM range({events}) t(i) ORDER BY hash(i)"
    )
    connection.execute("CREATE SCHEMA narrow")
    connection.execute(
        "CREATE TABLE narrow.readings AS SELECT 0::BIGINT AS ingest_id, true AS live"
    )
    file = folder / f"facts-{keys}.parquet"
    connection.execute(f"COPY given TO {engine.literal(str(file))} (FORMAT parquet)")
    connection.execute(f"SET VARIABLE root = {engine.literal(str(folder) + '/')}")
    table = LakeTable(
        name=CONTEXT.table,
        version=0,
        files=(file.name,),
        columns=("ingest_id", "__key_0", "__ts", *COLUMNS),
    )
    return connection, table


def contestants(
    connection: duckdb.DuckDBPyConnection, table: LakeTable
) -> dict[str, tuple[Contestant, Callable[[], pa.Table]]]:
    """What is timed, and how to read the events and the facts that it found."""
    import polars

    backend = engine.backend(connection)
    inferences, given = backend.table("inferences"), backend.table("given")
    events = polars.from_arrow(connection.sql("FROM inferences").to_arrow_table())
    features = polars.from_arrow(connection.sql("FROM given").to_arrow_table())
    results: dict[str, Any] = {}

    def prepare() -> None:
        build_facts.prepare(connection, CONTEXT, table)

    prepare()
    prepared = backend.table(build_facts.relation(CONTEXT))

    def make(name: str, expression: Any) -> None:
        sql = engine.sql_of(expression)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE out_{name} AS {sql}")

    def read(name: str, fact: str) -> Callable[[], pa.Table]:
        return lambda: connection.sql(
            f"SELECT row_id, {fact} AS fact FROM out_{name} "
            f"WHERE {fact} IS NOT NULL ORDER BY row_id"
        ).to_arrow_table()

    def latest() -> None:
        found = point_in_time.latest(
            inferences.select(__key_0="user_id", __row="row_id", __t="ts"),
            given.select("__key_0", *COLUMNS, __t="__ts", __rank="fact"),
            keys=["__key_0"],
            distinct=True,
            taken=COLUMNS,
        )
        make("latest", inferences.left_join(found, inferences["row_id"] == found["__row"]))

    def as_of() -> None:
        make("as_of", contexts.get("as_of").join(inferences, prepared, SPEC))

    def by_polars() -> None:
        results["polars"] = events.sort("ts").join_asof(
            features.sort("__ts"),
            left_on="ts",
            right_on="__ts",
            by_left="user_id",
            by_right="__key_0",
            strategy="backward",
            check_sortedness=False,
        )

    def read_polars() -> pa.Table:
        found = results["polars"].select("row_id", "fact").drop_nulls().sort("row_id")
        return found.to_arrow()

    timed: dict[str, tuple[Contestant, Callable[[], pa.Table]]] = {
        "latest": (latest, read("latest", "fact")),
        "as_of": (as_of, read("as_of", "profile.fact")),
        "prepare": (prepare, read("as_of", "profile.fact")),
        "polars": (by_polars, read_polars),
    }
    try:
        from feast.infra.offline_stores.ibis import point_in_time_join
    except ImportError:
        return timed

    def by_feast() -> None:
        view = (given, "__ts", "", {"__key_0": "user_id"}, list(COLUMNS), timedelta(0))
        make("feast", point_in_time_join(inferences, [view], event_timestamp_col="ts"))

    return timed | {"feast": (by_feast, read("feast", "fact"))}


def measure(
    timed: dict[str, tuple[Contestant, Callable[[], pa.Table]]], runs: int, feast_runs: int
) -> tuple[dict[str, list[tuple[float, float]]], int]:
    """Wall and CPU seconds of every run, and how many events found a fact."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in timed}
    expected: pa.Table | None = None
    for run in range(runs):
        for name, (contestant, answer) in timed.items():
            if name == "feast" and run >= feast_runs:
                continue
            wall, cpu = time.perf_counter(), time.process_time()
            contestant()
            seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
            found = answer()
            if expected is None:
                expected = found
            if not found.equals(expected):
                sys.exit(f"{name} found other facts than the others")
    return seconds, 0 if expected is None else expected.num_rows


def main() -> int:
    """Measure for each number of keys and print one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--facts", type=int, default=2_000_000)
    parser.add_argument("--keys", type=int, nargs="+", default=[20_000, 2_000])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--feast-runs", type=int, default=1, help="Feast takes up to minutes")
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    os.environ["POLARS_MAX_THREADS"] = str(chosen.threads)  # read when polars is imported
    for keys in chosen.keys:
        with tempfile.TemporaryDirectory() as folder:
            made = world(Path(folder), chosen.events, chosen.facts, keys, chosen.threads)
            timed = contestants(*made)
            seconds, found = measure(timed, chosen.runs, chosen.feast_runs)
        line: dict[str, Any] = {"keys": keys, "found": found, "runs": chosen.runs}
        for place, clock in enumerate(("wall", "cpu")):
            least = {
                name: min(pair[place] for pair in pairs) for name, pairs in seconds.items() if pairs
            }
            line[clock] = {name: round(value, 3) for name, value in least.items()}
            line[f"{clock}_times_latest"] = {
                name: round(least[name] / least["latest"], 2)
                for name in ("polars", "feast")
                if name in least
            }
        print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
