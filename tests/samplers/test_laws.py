"""What holds of every sampler, and what its weights are worth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import ConfigError
from workbench.samplers import draw, parse_sampler, samplers

#: Parameters without which a sampler cannot draw.
GIVEN = {"stratified": "by='g'", "importance": "score='loss'"}
CALLS = [f"{name}({GIVEN.get(name, '')})" for name in samplers.names()] + [
    "stratified(by='g', allocation='proportional')",
    "stratified(by='g', allocation='square_root')",
    "uncertainty(score='entropy', by='g', power=3.0)",
    "uncertainty(scheme='top')",
    "importance(score='loss', floor=1.0)",
]
Row = dict[str, Any]


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def pool(connection: duckdb.DuckDBPyConnection, n: int, noise: int = 0) -> None:
    """A table of `n` rows, some of them without scores; `noise` moves 5 % of the scores."""
    connection.execute(
        f"""CREATE OR REPLACE TABLE pool AS
        SELECT i::VARCHAR AS request_id, m AS margin, m / 2 AS least_confidence,
          CASE WHEN i % 11 = 3 THEN NULL WHEN i % 11 = 4 THEN 'nan'::DOUBLE ELSE m END AS entropy,
          m * m AS disagreement, CASE i % 3 WHEN 0 THEN 0.0 WHEN 1 THEN 1.0 END AS reward,
          0.2 + m AS density, chr((97 + (i * i) % 7)::INT) AS g, (m > 0.8)::INT + m AS loss
        FROM (SELECT i, CASE WHEN i % 20 = 7 AND {noise} > 0
          THEN (hash(i + {noise}) % 1000) / 1000.0 ELSE (hash(i) % 1000) / 1000.0 END AS m
          FROM range({n}) r(i))"""
    )


def drawn(connection: duckdb.DuckDBPyConnection, call: str, n: int | None, seed: int) -> list[Row]:
    sql = draw(parse_sampler(call).plan(), "pool", "request_id", n, seed)
    return connection.execute(f"FROM ({sql}) ORDER BY request_id").to_arrow_table().to_pylist()


@pytest.mark.parametrize("call", CALLS)
@given(rows=st.integers(0, 60), n=st.none() | st.integers(0, 80), seed=st.integers(-3, 3))
@settings(max_examples=25, deadline=None)
def test_a_sample_is_a_subset_of_at_most_n_rows(
    connection: duckdb.DuckDBPyConnection, call: str, rows: int, n: int | None, seed: int
) -> None:
    pool(connection, rows)
    plan = parse_sampler(call).plan()
    score = plan.score or "1.0"
    can = connection.execute(f"SELECT count(*) FROM pool WHERE isfinite({score})").fetchone()
    assert can is not None
    found = drawn(connection, call, n, seed)
    names = {row["request_id"] for row in found}
    assert len(names) == len(found) == (can[0] if n is None else min(n, can[0]))
    assert names <= {str(i) for i in range(rows)}
    assert found == drawn(connection, call, n, seed)
    for row in found:
        assert 0 < row["random_number"] < 1
        assert math.isfinite(row["sampling_score"])
        chance, weight = row["inclusion_probability"], row["sample_weight"]
        if plan.scheme == "top":
            assert chance is None
            assert weight is None
        else:
            assert 0 < chance <= 1
            assert weight == pytest.approx(1 / chance, rel=1e-12)


@pytest.mark.parametrize("call", CALLS)
def test_the_number_of_threads_changes_nothing(
    connection: duckdb.DuckDBPyConnection, call: str
) -> None:
    pool(connection, 30_000)
    found = []
    try:
        for threads in (1, 2, 8):
            connection.execute(f"SET threads = {threads}")
            found.append(drawn(connection, call, 2_000, 0))
    finally:
        connection.execute("RESET threads")
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("call", ["uniform", "uncertainty", "importance(score='loss', power=2.0)"])
def test_a_sample_stays_where_the_scores_stay(
    connection: duckdb.DuckDBPyConnection, call: str
) -> None:
    pool(connection, 20_000)
    before = {row["request_id"] for row in drawn(connection, call, 2_000, 0)}
    pool(connection, 20_000, noise=1)
    after = {row["request_id"] for row in drawn(connection, call, 2_000, 0)}
    assert len(before & after) >= 0.95 * 2_000
    assert before != {row["request_id"] for row in drawn(connection, call, 2_000, 1)}


def estimates(
    connection: duckdb.DuckDBPyConnection, call: str
) -> tuple[np.ndarray, np.ndarray, float]:
    """Horvitz-Thompson and Hajek means of the loss in 500 samples, and the truth."""
    pool(connection, 600)
    score = parse_sampler(call).plan().score or "1.0"
    rows = connection.execute(
        f"SELECT request_id, loss FROM pool WHERE isfinite({score})"
    ).fetchall()
    loss = dict(rows)
    ht, hajek = [], []
    for seed in range(500):
        found = drawn(connection, call, 60, seed)
        weights = np.array([row["sample_weight"] for row in found])
        values = np.array([loss[row["request_id"]] for row in found])
        ht.append(float((weights * values).sum()) / len(loss))
        hajek.append(float((weights * values).sum() / weights.sum()))
    return np.array(ht), np.array(hajek), float(np.mean(list(loss.values())))


@pytest.mark.parametrize(
    "call",
    [
        "uniform",
        "stratified(by='g')",
        "uncertainty(score='entropy')",
        "uncertainty(by='g', power=2.0, floor=0.1)",
        "importance(score='loss')",
    ],
)
def test_weights_give_back_the_pool(connection: duckdb.DuckDBPyConnection, call: str) -> None:
    ht, _, truth = estimates(connection, call)
    # Horvitz-Thompson is unbiased for every size of the sample.
    assert abs(ht.mean() - truth) <= 2 * ht.std(ddof=1) / math.sqrt(len(ht))


def test_hajek_is_near_the_pool(connection: duckdb.DuckDBPyConnection) -> None:
    _, hajek, truth = estimates(connection, "uncertainty(floor=0.1)")
    # A ratio has a bias of order 1/n, far below the spread of one sample.
    assert abs(hajek.mean() - truth) <= 0.15 * hajek.std(ddof=1) + 2 * hajek.std(ddof=1) / 500**0.5


def test_the_top_of_a_score_is_not_the_pool(connection: duckdb.DuckDBPyConnection) -> None:
    pool(connection, 600)
    found = {row["request_id"] for row in drawn(connection, "uncertainty(scheme='top')", 60, 0)}
    loss = dict(connection.execute("SELECT request_id, loss FROM pool").fetchall())
    top = np.array([loss[name] for name in found])
    truth = float(np.mean(list(loss.values())))
    assert top.mean() - truth > 10 * top.std(ddof=1) / math.sqrt(len(top))


def test_equal_sizes_are_a_simple_random_sample(connection: duckdb.DuckDBPyConnection) -> None:
    pool(connection, 200)
    assert {row["inclusion_probability"] for row in drawn(connection, "uniform", 50, 0)} == {0.25}
    sizes = dict(connection.execute("SELECT g, count(*) FROM pool GROUP BY g").fetchall())
    groups = dict(connection.execute("SELECT request_id, g FROM pool").fetchall())
    found = drawn(connection, "stratified(by='g')", 40, 0)
    counts: dict[str, int] = {}
    for row in found:
        counts[groups[row["request_id"]]] = counts.get(groups[row["request_id"]], 0) + 1
    assert max(counts.values()) - min(counts.values()) <= 1
    for row in found:
        group = groups[row["request_id"]]
        assert row["inclusion_probability"] == counts[group] / sizes[group]


def test_a_small_stratum_is_taken_whole(connection: duckdb.DuckDBPyConnection) -> None:
    pool(connection, 100)
    call = "stratified(by='request_id = 7')"
    found = {row["request_id"]: row for row in drawn(connection, call, 30, 0)}
    assert len(found) == 30
    assert found["7"]["inclusion_probability"] == 1


def test_a_score_below_zero_is_refused(connection: duckdb.DuckDBPyConnection) -> None:
    pool(connection, 100)
    with pytest.raises(duckdb.InvalidInputException, match="below 0"):
        drawn(connection, "importance(score='margin - 0.5')", 10, 0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("unifrom", "uniform"),
        ("uncertainty(scor='entropy')", "score"),
        ("uncertainty(score='entropie')", "entropy"),
        ("uncertainty('entropy')", "by name"),
        ("importance(score='loss', floor=0.0)", "0.0001"),
        ("uniform; DROP", "uncertainty"),
    ],
)
def test_what_is_wrong_is_named(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_sampler(text).plan()


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_a_missing_expression_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        parse_sampler(name).plan()
