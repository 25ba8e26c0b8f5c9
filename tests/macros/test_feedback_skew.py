"""The view of feedback skew against the function behind ``workbench metrics --skew``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.macros.conftest import make_build, some_inferences
from workbench import response
from workbench.query import Build, open_build

KEYS = ("column_name", "value")


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    rows = some_inferences(300, seed=5)
    return open_build(make_build(tmp_path_factory.mktemp("skew"), rows, []))


def test_is_the_response_rate_by_each_value(build: Build) -> None:
    names = ["model_version", "cohort", "channel", "hour(ts)"]
    table = build.table("enriched_inferences", narrow=True)
    expected = build.execute(response.rates(table, names)).to_pylist()
    found = build.run("FROM feedback_skew", limit=None).table.to_pylist()
    by_key = {tuple(row[key] for key in KEYS): row for row in found}
    assert {row["column_name"] for row in found} == set(names)
    assert len(found) == len(by_key) == len(expected)
    for row in expected:
        assert {**row, "per": None} == pytest.approx(by_key[tuple(row[key] for key in KEYS)])


def test_the_hour_is_that_of_utc_whoever_asks(build: Build, tmp_path: Path) -> None:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'Asia/Tokyo'")
        connection.execute(f"ATTACH '{build.root / build.manifest['file']}' AS b (READ_ONLY)")
        connection.execute("USE b")
        own = connection.execute("FROM feedback_skew").fetchall()
    here = [tuple(row.values()) for row in build.run("FROM feedback_skew").table.to_pylist()]
    assert own == here
