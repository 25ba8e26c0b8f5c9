"""The rules for SQL that people type."""

from __future__ import annotations

import threading
import time

import pytest

from tests.query.conftest import ROWS
from workbench.errors import ExitCode, QueryError, QueryTimeoutError
from workbench.query import Build

SLOW = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = 7"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE inferences",
        "COPY (SELECT 1) TO '/tmp/stolen.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '/tmp/stolen.csv'",
        "ATTACH '/tmp/other.duckdb' AS other",
        "INSERT INTO narrow.inferences SELECT * FROM narrow.inferences",
        "WITH gone AS (DELETE FROM narrow.inferences RETURNING *) SELECT * FROM gone",
        "CREATE TABLE t AS SELECT 1",
        "CREATE TEMP VIEW v AS SELECT 1",
        "SET lock_configuration = false",
        "SET VARIABLE root = '/'",
        "RESET ALL",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CALL pragma_version()",
        "PRAGMA database_list",
        "USE memory",
        "BEGIN",
        "CHECKPOINT",
        "EXPORT DATABASE '/tmp/out'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_parquet('https://example.com/x.parquet')",
        "SELECT * FROM query('DROP TABLE narrow.inferences')",
        "",
        "-- nothing",
        ";",
    ],
)
def test_what_is_not_one_select_over_the_build_is_refused(build: Build, sql: str) -> None:
    with pytest.raises(QueryError):
        build.run(sql)
    assert build.run("SELECT count(*) FROM narrow.inferences").table[0][0].as_py() == ROWS


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT request_id FROM inferences ORDER BY request_id -- the last line", ROWS),
        ("FROM inferences;", ROWS),
        ("SELECT 1; -- done", 1),
        ("SELECT '; --' AS text", 1),
        ("SELECT ';' AS text /* ; */ ;;", 1),
        ("SELECT $$ ; $$", 1),
        ("WITH a AS (SELECT 1 AS x) SELECT * FROM a", 1),
        ("VALUES (1), (2)", 2),
        ("SHOW TABLES", 1),
        ("DESCRIBE inferences", 8),
        ("PIVOT inferences ON model_version IN ('v1', 'v2') USING count(*) GROUP BY correct", 2),
        ("SELECT 1 WHERE false", 0),
    ],
)
def test_every_form_of_select_runs(build: Build, sql: str, rows: int) -> None:
    result = build.run(sql, limit=5000)
    assert result.table.num_rows == rows
    assert not result.truncated
    assert result.sql == sql


def test_a_query_cannot_name_a_variable_of_the_program(build: Build) -> None:
    found = build.run("SELECT current_setting('python_enable_replacements') AS looks").table
    assert found.to_pylist() == [{"looks": False}]


def test_order_survives_the_row_limit(build: Build) -> None:
    result = build.run("SELECT ts FROM inferences ORDER BY ts DESC -- newest first", limit=3)
    times = result.table["ts"].to_pylist()
    assert times == sorted(times, reverse=True)
    assert times[0].isoformat() == "2026-01-01T00:16:39+00:00"


@pytest.mark.parametrize(
    ("limit", "truncated"),
    [(ROWS - 1, True), (ROWS, False), (ROWS + 1, False), (0, True), (None, False)],
)
def test_truncated_is_exact(build: Build, limit: int | None, truncated: bool) -> None:
    result = build.run("FROM inferences", limit=limit)
    assert result.truncated is truncated
    assert result.table.num_rows == (ROWS if limit is None else min(limit, ROWS))


def test_columns_and_types(build: Build) -> None:
    result = build.run("SELECT request_id, features, probabilities FROM inferences LIMIT 1")
    assert result.columns == ("request_id", "features", "probabilities")
    assert result.types == ("VARCHAR", "STRUCT(age DOUBLE, tier VARCHAR)", "DOUBLE[]")


def test_parameters(build: Build) -> None:
    sql = "SELECT count(*) AS n FROM inferences WHERE model_version = $v"
    assert build.run(sql, params={"v": "v1"}).table["n"][0].as_py() == 334
    with pytest.raises(QueryError, match="parameters without a value: v"):
        build.run(sql)


def test_pivot_without_values_says_what_to_write(build: Build) -> None:
    with pytest.raises(QueryError) as caught:
        build.run("PIVOT inferences ON model_version USING count(*)")
    assert "IN ('a', 'b')" in caught.value.hint


def test_errors_are_plain_and_name_candidates(build: Build) -> None:
    with pytest.raises(QueryError) as caught:
        build.run("SELECT\n  confidense\nFROM inferences")
    assert "confidense" in caught.value.message
    assert '"confidence"' in caught.value.message
    assert "line 2" in caught.value.message
    assert "Binder Error" not in caught.value.message
    with pytest.raises(QueryError) as caught:
        build.run("SELECT * FROM inferencs")
    assert caught.value.message == "There is no relation 'inferencs'."
    assert caught.value.hint == "Did you mean 'inferences'?"
    with pytest.raises(QueryError, match="syntax error"):
        build.run("SELEC 1")
    with pytest.raises(QueryError, match="Could not convert"):
        build.run("SELECT request_id::INTEGER FROM inferences")


def test_explain_shows_the_plan_and_runs_nothing(build: Build) -> None:
    result = build.run(f"{SLOW};", explain=True, timeout=5)
    assert result.columns == ("plan",)
    assert "AGGREGATE" in result.table["plan"][0].as_py()
    with pytest.raises(QueryError):
        build.run("COPY (SELECT 1) TO '/tmp/stolen.csv'", explain=True)


def test_timeout_stops_the_query(build: Build) -> None:
    began = time.monotonic()
    with pytest.raises(QueryTimeoutError, match=r"0\.3 s") as caught:
        build.run(SLOW, timeout=0.3)
    assert time.monotonic() - began < 5
    assert caught.value.exit_code == ExitCode.TIMEOUT
    assert build.run("SELECT 1").table.num_rows == 1


def test_cancel_from_another_thread(build: Build) -> None:
    query = build.start(SLOW, timeout=60)
    assert not query.wait(0.2)
    query.cancel()
    with pytest.raises(QueryError, match="cancelled"):
        query.result()
    assert query.done
    assert query.elapsed < 10


def test_cancel_at_once_is_not_lost(build: Build) -> None:
    for _ in range(20):
        query = build.start(SLOW, timeout=60)
        query.cancel()
        with pytest.raises(QueryError, match="cancelled"):
            query.result()


def test_started_query_returns_its_rows(build: Build) -> None:
    query = build.start("SELECT 7 AS seven")
    assert query.result().table["seven"].to_pylist() == [7]
    query.cancel()
    assert query.result().table.num_rows == 1


def test_eight_threads_in_parallel(build: Build) -> None:
    counts: list[int] = []
    errors: list[Exception] = []

    def ask(number: int) -> None:
        try:
            for _ in range(10):
                table = build.table("inferences", narrow=True)
                expression = table.filter(table.model_version == f"v{number % 3 + 1}").count()
                counts.append(build.execute(expression.as_table()).to_pylist()[0].popitem()[1])
                counts.append(sum(b.num_rows for b in build.stream("SELECT * FROM inferences")))
                build.run("FROM inferences", limit=10)
        except Exception as error:  # noqa: BLE001 - a thread's error must reach the assertion
            errors.append(error)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(set(counts)) == [333, 334, ROWS]
    assert len(counts) == 160
