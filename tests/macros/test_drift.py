"""The view of drift against a second definition, and against the command of the same name."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from tests.macros.conftest import make_build, some_inferences
from workbench.drift import drift
from workbench.query import Build, open_build


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return some_inferences(900, seed=3)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> Build:
    return open_build(make_build(tmp_path_factory.mktemp("drift"), rows, []))


def ask(build: Build, sql: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = build.run(sql, limit=None).table.to_pylist()
    return found


def week(row: dict[str, Any]) -> Any:
    year, number, _ = row["ts"].isocalendar()
    return year, number


@pytest.mark.parametrize("column", ["cohort", "channel", "model_version"])
def test_is_the_distance_of_scipy_from_the_first_third(
    many: Build, rows: list[dict[str, Any]], column: str
) -> None:
    counts: dict[Any, Counter[Any]] = defaultdict(Counter)
    for row in rows:
        counts[week(row)][row[column]] += 1
    weeks = sorted(counts)
    first = weeks[: max(len(weeks) // 3, 1)]
    reference = sum((counts[name] for name in first), Counter())
    cells = list({cell for counter in counts.values() for cell in counter})
    expected = [
        jensenshannon([reference[c] for c in cells], [counts[name][c] for c in cells], base=2)
        for name in weeks
    ]
    found = ask(many, f"FROM drift WHERE \"column\" = '{column}' ORDER BY chunk")
    assert [row["reference"] for row in found] == [name in first for name in weeks]
    assert [row["n"] for row in found] == [counts[name].total() for name in weeks]
    assert [row["jensen_shannon"] for row in found] == pytest.approx(expected, rel=1e-9)
    inside = expected[: len(first)]
    assert len(first) > 1
    threshold = np.mean(inside) + 3 * np.std(inside)
    assert found[0]["threshold"] == pytest.approx(threshold)
    assert [row["alert"] for row in found] == [value > threshold for value in expected]


def test_says_what_the_command_says(many: Build) -> None:
    view = ask(many, "FROM drift(every := 'day') WHERE \"column\" = 'cohort' ORDER BY chunk")
    command = drift(many, ["cohort"], every="day")
    assert [row["jensen_shannon"] for row in view] == pytest.approx(
        [row["value"] for row in command]
    )
    assert view[0]["threshold"] == pytest.approx(command[0]["threshold"])


def test_columns_without_a_value_and_rows_without_a_time_are_left_out(tmp_path: Path) -> None:
    rows = some_inferences(60, seed=1)
    for row in rows:
        row["cohort"] = None
    rows[0]["ts"] = None
    with open_build(make_build(tmp_path, rows, [])) as build:
        found = ask(build, "FROM drift")
    assert "cohort" not in {row["column"] for row in found}
    assert {row["n"] for row in found if row["column"] == "channel"} == {59}
    # One chunk is its own reference, and there is nothing to set a threshold by.
    assert {(row["jensen_shannon"], row["threshold"], row["alert"]) for row in found} == {
        (0.0, None, None)
    }
