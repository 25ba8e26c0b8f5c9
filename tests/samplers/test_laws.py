"""What holds of every sampler, and what its weights are worth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import ConfigError, DataError
from workbench.samplers import Plan, draw, parse_sampler, samplers

#: Parameters without which a sampler cannot draw.
GIVEN = {"stratified": "by='g'", "importance": "score='loss'", "coverage": "by='g, h'"}
CALLS = [f"{name}({GIVEN.get(name, '')})" for name in samplers.names()] + [
    "stratified(by='g', allocation='proportional')",
    "stratified(by='g', allocation='square_root')",
    "uncertainty(score='entropy', by='g', power=3.0)",
    "uncertainty(scheme='top')",
    "uncertainty(by='g', scheme='sequential')",
    "importance(score='loss', floor=1.0)",
    "diversity(over='[margin, entropy]', k=4, score='entropy')",
    "diversity(method='k_center')",
    "mix(of=\"uncertainty: 1, stratified(by='g', allocation='square_root'): 2, "
    "diversity(k=3): 1, mix(of='reward_extremes: 1'): 1\")",
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
          0.2 + m AS density, chr((97 + (i * i) % 7)::INT) AS g, (m > 0.8)::INT + m AS loss,
          CASE WHEN i % 13 > 0 THEN i % 13 * (i % 5) END AS h,
          CASE WHEN i % 17 > 0 THEN [hash(i * 3) % 100 / 100, hash(i * 5) % 50 / 100]::FLOAT[] END
            AS embedding
        FROM (SELECT i, CASE WHEN i % 20 = 7 AND {noise} > 0
          THEN (hash(i + {noise}) % 1000) / 1000.0 ELSE (hash(i) % 1000) / 1000.0 END AS m
          FROM range({n}) r(i))"""
    )


def rows_of(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    return connection.execute(sql).to_arrow_table()


def fitted(connection: duckdb.DuckDBPyConnection, call: str, n: int | None) -> Plan:
    run = partial(rows_of, connection)
    return parse_sampler(call).plan().fitted(run, "pool", "request_id", n)


def drawn(connection: duckdb.DuckDBPyConnection, call: str, n: int | None, seed: int) -> list[Row]:
    plan, run = parse_sampler(call).plan(), partial(rows_of, connection)
    sql = draw(plan, "pool", "request_id", n, seed, run)
    return list(run(f"FROM ({sql}) ORDER BY request_id").to_pylist())


def drawable(connection: duckdb.DuckDBPyConnection, call: str) -> set[str]:
    """The rows that have what the sampler goes by."""
    plan = parse_sampler(call).plan()
    scores = [part.score or "1.0" for _, part in plan.parts] or [plan.score or "1.0"]
    can = " OR ".join(f"coalesce(isfinite({score}), false)" for score in scores)
    found = connection.execute(f"SELECT request_id FROM pool WHERE {can}").fetchall()
    return {name for (name,) in found}


@pytest.mark.parametrize("call", CALLS)
@given(rows=st.integers(0, 60), n=st.none() | st.integers(0, 80), seed=st.integers(-3, 3))
@settings(max_examples=12, deadline=None)
def test_a_sample_is_a_subset_of_at_most_n_rows(
    connection: duckdb.DuckDBPyConnection, call: str, rows: int, n: int | None, seed: int
) -> None:
    pool(connection, rows)
    can = drawable(connection, call)
    found = drawn(connection, call, n, seed)
    names = {row["request_id"] for row in found}
    assert len(names) == len(found) == (len(can) if n is None else min(n, len(can)))
    assert names <= can
    assert found == drawn(connection, call, n, seed)
    scheme = fitted(connection, call, n).scheme
    for row in found:
        assert 0 < row["random_number"] < 1
        assert math.isfinite(row["sampling_score"])
        chance, weight = row["inclusion_probability"], row["sample_weight"]
        if scheme == "top":
            assert chance is None
            assert weight is None
        elif scheme == "sequential" and chance is None:
            assert weight > 0
        else:
            assert 0 < chance <= 1
            assert weight == pytest.approx(1 / chance, rel=1e-12)


@pytest.fixture(scope="module")
def row_groups(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """A pool in several row groups: they are what threads share out."""
    path = tmp_path_factory.mktemp("row_groups") / "pool.duckdb"
    with duckdb.connect() as opened:
        opened.execute(f"ATTACH '{path}' AS groups (ROW_GROUP_SIZE 2048)")
        opened.execute("USE groups")
        pool(opened, 8_000)
        yield opened


@pytest.mark.parametrize("call", CALLS)
def test_the_number_of_threads_changes_nothing(
    row_groups: duckdb.DuckDBPyConnection, call: str
) -> None:
    found = []
    for threads in (1, 2, 8):
        row_groups.execute(f"SET threads = {threads}")
        found.append(drawn(row_groups, call, 500, 0))
    assert len(found[0]) == 500
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("call", [call for call in CALLS if "top" not in call])
def test_a_sample_stays_where_the_scores_stay(
    connection: duckdb.DuckDBPyConnection, call: str
) -> None:
    pool(connection, 4_000)
    before = {row["request_id"] for row in drawn(connection, call, 400, 0)}
    pool(connection, 4_000, noise=1)
    after = {row["request_id"] for row in drawn(connection, call, 400, 0)}
    assert len(before & after) >= 0.95 * 400
    if "k_center" not in call:  # which has no seed
        assert before != {row["request_id"] for row in drawn(connection, call, 400, 1)}


@pytest.fixture
def one_thread(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """For many small queries, of which each would wait for the other threads."""
    connection.execute("SET threads = 1")
    yield
    connection.execute("RESET threads")


def estimates(connection: duckdb.DuckDBPyConnection, call: str) -> tuple[Any, Any, float]:
    """Sums of weights and of weighted losses in 500 samples, as shares of the pool; the truth."""
    pool(connection, 300)
    run = partial(rows_of, connection)
    plan = fitted(connection, call, 40)
    found = []
    for seed in range(500):
        sql = draw(plan, "pool", "request_id", 40, seed, run)
        sums = "sum(sample_weight), sum(sample_weight * loss)"
        query = f"SELECT {sums} FROM ({sql}) JOIN pool USING (request_id)"
        found.append(connection.execute(query).fetchone() or ())
    weights, losses = np.array(found).T
    can = drawable(connection, call)
    loss = dict(connection.execute("SELECT request_id, loss FROM pool").fetchall())
    truth = float(np.mean([loss[name] for name in can]))
    return weights / len(can), losses / len(can), truth


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    "call",
    [
        "uniform",
        "stratified(by='g')",
        "uncertainty(score='entropy', by='g', power=2.0, floor=0.1)",
        "importance(score='loss')",
        "uncertainty(by='g', floor=0.1, scheme='sequential')",
        "diversity(k=5, score='margin', floor=0.1)",
        "mix(of=\"uncertainty: 2, stratified(by='h'): 1\")",
    ],
)
def test_weights_give_back_the_pool(connection: duckdb.DuckDBPyConnection, call: str) -> None:
    total, ht, truth = estimates(connection, call)
    hajek = ht / total
    error = ht.std(ddof=1) / math.sqrt(len(ht))
    assert error > 0
    # Horvitz-Thompson and LURE are unbiased for every size of the sample.
    assert abs(ht.mean() - truth) <= 2 * error
    # The ratio of Hajek has a bias, at most its spread times that of the sum of the weights, as
    # Hartley and Ross (Nature 174, 1954) have shown.
    bias = hajek.std(ddof=1) * total.std(ddof=1) / total.mean()
    assert abs(hajek.mean() - truth) <= bias + 2 * hajek.std(ddof=1) / math.sqrt(len(hajek))


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


def test_clusters_get_equal_shares(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "CREATE OR REPLACE TABLE pool AS SELECT i::VARCHAR AS request_id, "
        "CASE WHEN i < 190 THEN [0.0, i / 1000] ELSE [9.0, i / 1000] END AS embedding "
        "FROM range(200) r(i)"
    )
    found = drawn(connection, "diversity(k=2)", 16, 0)
    assert sorted(row["inclusion_probability"] for row in found) == [8 / 190] * 8 + [8 / 10] * 8
    # Of two clusters and one row to draw, one cluster would have no chance.
    (only,) = drawn(connection, "diversity(k=2)", 1, 0)
    assert only["inclusion_probability"] == 1 / 200


def test_centers_are_farthest_first(connection: duckdb.DuckDBPyConnection) -> None:
    pool(connection, 400)
    points = dict(
        connection.execute(
            "SELECT request_id, embedding FROM pool WHERE embedding IS NOT NULL"
        ).fetchall()
    )
    found = {
        row["request_id"]: row["sampling_score"]
        for row in drawn(connection, "diversity(method='k_center')", 12, 0)
    }
    centers = sorted(found, key=lambda name: -found[name])
    nearest = [
        min(math.dist(points[name], points[other]) for other in centers[:place])
        for place, name in enumerate(centers)
        if place > 1
    ]
    assert nearest == pytest.approx([found[name] for name in centers[2:]])
    # No row is farther from the centers than they are from each other: at most twice the optimum.
    radius = max(min(math.dist(p, points[c]) for c in centers) for p in points.values())
    assert radius <= min(nearest) + 1e-9


def test_vectors_of_two_lengths_are_refused(connection: duckdb.DuckDBPyConnection) -> None:
    pool(connection, 40)
    with pytest.raises(DataError, match="2 to 3 numbers"):
        drawn(connection, "diversity(over='embedding || [margin][:request_id::INT % 2]')", 5, 0)


def test_coverage_reaches_every_value(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "CREATE OR REPLACE TABLE pool AS SELECT i::VARCHAR AS request_id, "
        "floor(ln(1 + i) * 2)::INT AS a, floor(ln(2000 - i) * 2)::INT AS b, i % 9 AS c "
        "FROM range(2000) r(i)"
    )
    values = connection.execute("SELECT request_id, a, b, c FROM pool").fetchall()
    by_name = {name: set(enumerate(rest)) for name, *rest in values}
    every = set().union(*by_name.values())

    def covered(call: str) -> set[tuple[int, int]]:
        rows = drawn(connection, call, 150, 0)
        return set().union(*(by_name[row["request_id"]] for row in rows))

    assert covered("coverage(by='a, b, c')") == every
    assert len(covered("uniform")) < len(every)


def test_a_mix_of_one_is_that_sampler(connection: duckdb.DuckDBPyConnection) -> None:
    pool(connection, 300)
    alone = drawn(connection, "uncertainty(power=2.0)", 50, 0)
    mixed = drawn(connection, "mix(of='uncertainty(power=2.0): 3')", 50, 0)
    assert [row["request_id"] for row in alone] == [row["request_id"] for row in mixed]
    for one, other in zip(alone, mixed, strict=True):
        assert one["sample_weight"] == pytest.approx(other["sample_weight"], rel=1e-5)


def test_sequential_weights_are_those_of_lure(connection: duckdb.DuckDBPyConnection) -> None:
    """By the formula, over the rows in the order in which they were drawn."""
    pool(connection, 80)
    call = "importance(score='loss + 0.1', scheme='sequential')"
    every = drawn(connection, call, None, 3)
    assert {row["sample_weight"] for row in every} == {1.0}
    every.sort(key=lambda row: -math.log(row["random_number"]) / row["sampling_score"])
    found = {row["request_id"]: row["sample_weight"] for row in drawn(connection, call, 20, 3)}
    assert set(found) == {row["request_id"] for row in every[:20]}
    left = sum(row["sampling_score"] for row in every)
    for m, row in enumerate(every[:20], start=1):
        q = row["sampling_score"] / left
        v = 1 + (80 - 20) / (80 - m) * (1 / ((80 - m + 1) * q) - 1)
        assert found[row["request_id"]] == pytest.approx(v * 80 / 20, rel=1e-5)
        left -= row["sampling_score"]


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
        ("diversity(method='k_center', score='margin')", "k_means"),
        ("mix(of='unifrom: 1')", "uniform"),
        ("mix(of='uniform')", "weights"),
        ("mix(of='uniform: -1')", "weights"),
        ("mix(of='uniform: 1, **{}')", "weights"),
        ("mix(of=\"uncertainty(scheme='top'): 1\")", "by chance"),
    ],
)
def test_what_is_wrong_is_named(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_sampler(text).plan()


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_a_missing_expression_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        parse_sampler(name).plan()
