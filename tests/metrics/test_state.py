"""Kept sums add up: metrics out of them equal those of the rows, also when rows change."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pytest

from tests.macros.conftest import INFERENCES, make_build, some_inferences
from workbench import contract, engine
from workbench.errors import ConfigError, QueryError
from workbench.measure import measure
from workbench.metrics import metrics
from workbench.metrics._pairs import cells
from workbench.query import Build, open_build
from workbench.state import KEYS, combined, measure_quick, measure_state, states

Rows = list[dict[str, Any]]
SIMPLE = [m.name for m in metrics if m.expr is not None
          and not set(m.needs) & set(contract.WIDE_COLUMNS)]  # fmt: skip
BINNED = [m.name for m in metrics if m.state is cells]
DAY = "CAST(ts AT TIME ZONE 'UTC' AS DATE)"


def equal(found: Rows, expected: Rows) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for key in ("metric", "n", "n_labelled", "reason"):
            assert one[key] == other[key], (one, other)
            assert type(one[key]) is type(other[key])
        assert list(one["by"].values()) == list(other["by"].values())
        assert (one["value"] is None) == (other["value"] is None)
        if one["value"] is not None:
            assert math.isclose(one["value"], other["value"], rel_tol=1e-12, abs_tol=1e-14)
        for key in ("low", "high"):
            assert (one[key] is None) == (other[key] is None), (one, other)
            if one[key] is not None:
                assert math.isclose(one[key], other[key], rel_tol=1e-9, abs_tol=1e-12)


@pytest.fixture(scope="module", params=[1, 2])
def build(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    rows = some_inferences(400, request.param)
    if request.param == 2:
        rows[0]["ts"] = None
        # All values of a group alike: its interval must not collapse to what rounding leaves.
        for row in rows:
            if row["model_version"] == "v3" and row["reward"] is not None:
                row["reward"] = 0.1
    with open_build(make_build(tmp_path_factory.mktemp("state"), rows, [])) as opened:
        yield opened


@pytest.mark.parametrize(
    ("by", "of_rows", "where", "where_of_rows"),
    [
        ([], [], None, None),
        (["model_version"], ["model_version"], None, None),
        (["cohort"], ["cohort"], "day >= DATE '2026-02-10'", f"{DAY} >= DATE '2026-02-10'"),
        (
            ["cohort", "date_trunc('week', day)"],
            ["cohort", f"date_trunc('week', {DAY})"],
            "model_version <> 'v2' AND day < DATE '2026-02-20'",
            f"model_version <> 'v2' AND {DAY} < DATE '2026-02-20'",
        ),
        ([], [], "cohort = 'nobody'", "cohort = 'nobody'"),
    ],
    ids=["all", "versions", "cohorts in a window", "crossed", "nothing"],
)
def test_any_window_and_group_equals_the_rows(
    build: Build, by: list[str], of_rows: list[str], where: str | None, where_of_rows: str | None
) -> None:
    names = [*SIMPLE, *BINNED]
    found = measure_state(build, names, by, where)
    equal(found, measure(build, names, of_rows, where_of_rows))
    quick = measure_state(build, ["ece"], by, where, intervals=False)
    assert [row["value"] for row in quick] == [r["value"] for r in found if r["metric"] == "ece"]
    assert {row["low"] for row in quick} == {None}


def test_without_names_the_four_that_say_most(build: Build) -> None:
    names = ["accuracy", "label_coverage", "brier_score", "ece"]
    equal(measure_state(build), measure(build, names))


@pytest.mark.parametrize(
    ("by", "where", "least"),
    [
        ([], None, 0),
        (["(\nmodel_version\n)::VARCHAR"], None, 30),
        (["cohort", "model_version"], " ", 0),
        (["device"], None, 0),
        (["model_version"], "cohort = 'a'", 0),
    ],
)
def test_the_quick_way_equals_the_rows_for_every_metric(
    build: Build, by: list[str], where: str | None, least: int
) -> None:
    names = [*metrics.names()[::-1], "ece(bins=7)"]
    equal(measure_quick(build, names, by, where, least), measure(build, names, by, where, least))


def test_what_needs_the_rows_is_refused(build: Build) -> None:
    for name in ("ece(bins=20)", "ece(bin_rule='guo')", "log_loss_of_nothing", "roc_auc"):
        with pytest.raises(ConfigError):
            measure_state(build, [name])
    with pytest.raises(QueryError):
        measure_state(build, ["ece"], ["device"])


@pytest.mark.parametrize("name", ["metric_state", "metric_sums"])
def test_the_tables_are_those_of_the_contract(build: Build, name: str) -> None:
    declared = {column.name: column.type for column in contract.table(name).columns.values()}
    assert build.columns(name, narrow=True) == declared


class World:
    """States of any rows, by one compiled query."""

    def __init__(self) -> None:
        self.connection = engine.connect()
        self.backend = engine.backend(self.connection)
        columns = ", ".join(f"{engine.identifier(c)} {t}" for c, t in INFERENCES.items())
        self.connection.execute(f"CREATE TABLE given ({columns})")
        self.sql = {
            name: engine.sql_of(state)
            for name, state in states(self.backend.table("given")).items()
        }
        self.made = 0

    def state(self, name: str, rows: Rows) -> ir.Table:
        self.connection.execute("DELETE FROM given")
        if rows:
            with engine.registered(self.connection, "rows", pa.Table.from_pylist(rows)):
                self.connection.execute("INSERT INTO given BY NAME FROM rows")
        self.made += 1
        self.connection.execute(f"CREATE TABLE state_{self.made} AS {self.sql[name]}")
        return self.backend.table(f"state_{self.made}")

    def rows(self, table: ir.Table) -> dict[tuple[Any, ...], dict[str, Any]]:
        keys = [*KEYS, *(name for name in ("bin", "y", "metric") if name in table.columns)]
        found = self.connection.execute(engine.sql_of(table)).to_arrow_table().to_pylist()
        by_key = {tuple(row.pop(key) for key in keys): row for row in found}
        assert len(by_key) == len(found)
        return by_key


@pytest.mark.parametrize("name", ["metric_state", "metric_sums"])
def test_late_feedback_is_a_delta_and_parts_add_up(name: str) -> None:
    world = World()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        before = some_inferences(int(rng.integers(2, 80)), seed)
        after = [dict(row) for row in before]
        late = [i for i in range(len(before)) if rng.random() < 0.3]
        for i in late:
            after[i] |= {"label": "1", "calibration_y": 1.0, "reward": 0.75, "correct": True}
        cut = int(rng.integers(len(before) + 1))
        more = some_inferences(7, 100 + seed)
        whole = world.rows(world.state(name, [*after, *more]))
        parts = [world.state(name, rows) for rows in (before[:cut], before[cut:], more)]
        plus = [*parts, world.state(name, [after[i] for i in late])]
        minus = [world.state(name, [before[i] for i in late])]
        added = world.rows(combined(plus, minus))
        assert set(added) == set(whole)
        for key, sums in whole.items():
            for column, value in sums.items():
                other = float(added[key][column])
                assert math.isclose(other, value, rel_tol=1e-12, abs_tol=1e-12), (key, column)


def test_a_build_without_rows_has_no_sums(tmp_path: Path) -> None:
    with open_build(make_build(tmp_path, [], [])) as build:
        equal(measure_state(build), measure(build, ["accuracy", "label_coverage", "brier_score",
                                                    "ece"]))  # fmt: skip
