"""Every query behind the pages of the dashboard, timed in the engine.

``python -m benchmarks.pages --rows 2000000`` builds a world (see `end_to_end.world`) without texts,
runs every page of the dashboard with its usual settings and again with a filter, and times each
query that reaches the engine, from the call until its rows are there. What Python and the browser
make of the rows is not timed. Nothing that a page keeps outlives a round, but queries that several
pages share are asked once in each.

Reported are the median of the rounds per query, and over the queries the median, the 95th
percentile, the worst, and how many take more than 50 ms; where the machine has other work to do,
half of the CPU time is nearer to what two idle processors take. A time counts only if every query
returns the same rows in every round.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa
import streamlit as st
from streamlit.testing.v1 import AppTest

from benchmarks.end_to_end import world
from workbench.query import Build, open_build

ROOT = Path(__file__).parents[1]
PAGES = ("overview", "explore", "reliability", "groups", "uncertainty", "raters", "drift",
         "record", "sql", "slices", "datasets", "export")  # fmt: skip
FILTER = "device = 'web'"
#: Milliseconds that a query may take.
LIMIT = 50


@dataclass
class Asked:
    """One query of a page in one round."""

    page: str
    sql: str
    wall: float = 0.0
    cpu: float = 0.0
    rows: pa.Table | None = None


@dataclass
class Watch:
    """What has been asked since the watch was begun, on whatever cursor."""

    page: str = ""
    asked: list[Asked] = field(default_factory=list)


@dataclass
class Cursor:
    """A cursor that tells a watch how long its statements take."""

    cursor: Any
    watch: Watch

    def execute(self, sql: str, *parameters: Any) -> Cursor:
        self.watch.asked.append(Asked(self.watch.page, sql))
        with timing(self.watch.asked[-1]):
            self.cursor.execute(sql, *parameters)
        return self

    def to_arrow_table(self) -> pa.Table:
        last = self.watch.asked[-1]
        with timing(last):
            last.rows = self.cursor.to_arrow_table()
        return last.rows

    def to_arrow_reader(self, rows: int) -> pa.RecordBatchReader:
        return self.to_arrow_table().to_reader(rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cursor, name)


@contextmanager
def timing(asked: Asked) -> Iterator[None]:
    """Add what a block takes, in milliseconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    asked.wall += 1000 * (time.perf_counter() - wall)
    asked.cpu += 1000 * (time.process_time() - cpu)


def same(one: pa.Table | None, other: pa.Table | None) -> bool:
    """Whether two answers have the same rows, whatever their order.

    Doubles are the same to 1e-12, and by so much where they are small: threads add them up in
    another order each time.
    """
    if one is None or other is None:
        return one is other
    if one.schema != other.schema or one.num_rows != other.num_rows:
        return False
    return one.equals(other) or all(
        known == told and all(math.isclose(*pair, rel_tol=1e-12, abs_tol=1e-12)
                              for pair in zip(doubles, others, strict=True))
        for (known, doubles), (told, others) in zip(parted(one), parted(other), strict=True)
    )  # fmt: skip


def parted(table: pa.Table) -> list[tuple[str, list[float]]]:
    """What is exact in each row, and its doubles; the rows in an order of their own."""
    rows = []
    for row in table.to_pylist():
        doubles: list[float] = []
        rows.append((str(exact(row, doubles)), doubles))
    return sorted(rows)


def exact(value: Any, doubles: list[float]) -> Any:
    """A value without its finite doubles, which are added to a list."""
    if isinstance(value, float) and math.isfinite(value):
        doubles.append(value)
        return float
    if isinstance(value, dict):
        return {key: exact(one, doubles) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [exact(one, doubles) for one in value]
    return value


def plainly(sql: str) -> str:
    """A query with its doubles to nine digits: some are answers to an earlier one."""
    return re.sub(r"\d+\.\d{9,}(e-?\d+)?", lambda found: f"{float(found[0]):.9g}", sql)


def visit(project: Path, request_id: str, watch: Watch) -> None:
    """Run every page, as it is when it is opened, with a filter, and where it shows more."""
    views: list[tuple[str, dict[str, str]]] = [(page, {}) for page in PAGES]
    views += [("explore", {"chart": "calibration"}), ("record", {"request": request_id})]
    views += [(page, {"where": FILTER}) for page in PAGES]
    os.environ["WORKBENCH_PROJECT"] = str(project)
    st.cache_data.clear()
    # What is asked once of a build is asked in each round.
    st.cache_resource.clear()
    for page, given in views:
        watch.page = " ".join([page, *given.values()])
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=3600)
        for name, value in given.items():
            app.query_params[name] = value
        if page == "overview":
            app.run()
        else:
            app.switch_page(str(ROOT / "workbench" / "ui" / "pages" / f"{page}.py")).run()
        if app.exception or app.error:
            sys.exit(f"{watch.page}: {[one.value for one in (*app.exception, *app.error)]}")


def rounds_of(project: Path, rounds: int) -> list[list[Asked]]:
    """What is asked in each round, the first of which warms up and is left out."""
    with open_build(project) as build:
        some = build.arrow("SELECT request_id FROM narrow.enriched_feedback ORDER BY 1 LIMIT 1")
    plain = Build.cursor
    watch = Watch()
    Build.cursor = lambda self: Cursor(plain(self), watch)  # type: ignore[method-assign,assignment,return-value]
    found = []
    for number in range(rounds + 1):
        watch.asked = []
        visit(project, some["request_id"][0].as_py(), watch)
        found.append(watch.asked)
        first, last = found[min(1, number)], found[-1]
        for was, now in zip_longest(first, last):
            if (
                not (was and now)
                or plainly(was.sql) != plainly(now.sql)
                or not same(was.rows, now.rows)
            ):
                differs = (was or now).sql
                sys.exit(f"Round {number} asked something else or got another answer: {differs}")
    return found[1:] or found


def main() -> int:
    """Build, visit, and print one JSON line; with `--worst` the slowest queries before it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worst", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "worlds")
    given = parser.parse_args()
    rounds = rounds_of(
        world.built(given.folder, given.rows, payload=False, storage="in_place"), given.rounds
    )
    queries = [
        Asked(one[0].page, one[0].sql, *(statistics.median(getattr(o, key) for o in one)
                                         for key in ("wall", "cpu")))
        for one in zip(*rounds, strict=True)
    ]  # fmt: skip
    for query in sorted(queries, key=lambda one: -one.cpu)[: given.worst]:
        print(f"-- {query.page}: {query.wall:.1f} ms, CPU {query.cpu:.1f} ms\n{query.sql}\n")
    summary = {}
    for key in ("wall", "cpu"):
        values = [getattr(query, key) for query in queries]
        summary[key] = {
            "p50": round(statistics.median(values), 1),
            "p95": round(statistics.quantiles(values, n=20)[-1], 1),
            "worst": round(max(values), 1),
            "more_than_limit": sum(value > LIMIT for value in values),
        }
    print(json.dumps({"rows": given.rows, "queries": len(queries), "milliseconds": summary}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
