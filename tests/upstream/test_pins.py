"""Each test pins a fault of a dependency that the code works around.

A test fails on the day the fault is gone, and its message says what may then be deleted.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import duckdb
import ibis
import ibis.backends.duckdb
import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from packaging.requirements import Requirement


def requirement(package: str, of: str) -> Requirement:
    """What `of` declares about `package`."""
    declared = [Requirement(line) for line in requires(of) or ()]
    return next(entry for entry in declared if entry.name == package)


def scalar(sql: str) -> object:
    row = duckdb.connect().execute(sql).fetchone()
    assert row is not None
    return row[0]


def test_ibis_allows_a_duckdb_on_which_it_breaks():
    assert ibis.__version__.startswith("12."), (
        "another ibis: try it with duckdb 2 and drop the bound `duckdb<2`"
    )
    assert requirement("duckdb", "ibis-framework").specifier.contains("2.0.0"), (
        "ibis bounds duckdb itself: our bound `duckdb<2` may go"
    )


def test_ibis_calls_a_method_that_duckdb_2_removed():
    source = inspect.getsource(ibis.backends.duckdb)
    assert "fetch_arrow_table" in source or "fetch_record_batch" in source, (
        "ibis no longer needs duckdb 1: drop `duckdb<2` and the warning filters in pyproject.toml"
    )


def test_ibis_allows_a_sqlglot_that_renders_drop_without_a_name():
    assert requirement("sqlglot", "ibis-framework").specifier.contains("30.18.0"), (
        "ibis bounds sqlglot itself: our bound `sqlglot<30.18` may go"
    )


def test_ibis_cannot_wrap_a_locked_connection():
    connection = duckdb.connect()
    connection.execute("SET lock_configuration = true")
    with pytest.raises(duckdb.InvalidInputException, match="locked"):
        ibis.duckdb.from_connection(connection)
    # When this passes, `engine.locked_backend` may go.


def test_a_second_query_on_an_ibis_connection_cuts_a_stream_without_an_error():
    rows = 200_000
    backend = ibis.duckdb.connect()
    backend.raw_sql(f"CREATE TABLE numbers AS SELECT range AS n FROM range({rows})")
    stream = backend.table("numbers").to_pyarrow_batches(chunk_size=10_000)
    received = stream.read_next_batch().num_rows
    backend.raw_sql("SELECT 1")
    received += sum(batch.num_rows for batch in stream)
    assert received < rows, (
        "streams survive another query: a cursor of their own and the row count may go"
    )


def test_a_setting_of_the_time_zone_does_not_reach_cursors():
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'Pacific/Kiritimati'")
    row = connection.cursor().execute("SELECT current_setting('TimeZone')").fetchone()
    assert row != ("Pacific/Kiritimati",), (
        "cursors inherit a plain SET: SET GLOBAL in workbench.engine may go"
    )


def test_fetching_a_timestamptz_needs_pytz():
    code = """
import sys

class NoPytz:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pytz":
            raise ImportError(name)

sys.meta_path.insert(0, NoPytz())
import duckdb

duckdb.sql("SELECT TIMESTAMPTZ '2024-01-01 00:00:00+00'").fetchall()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0, "the dependency on pytz may go"
    assert "pytz" in done.stderr


def test_read_json_counts_a_broken_line_as_a_row_of_nulls(tmp_path: Path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"a": 1}\nbroken\n{"a": 2}\n')
    query = (
        "SELECT a FROM read_json($path, format = 'newline_delimited', ignore_errors = true, "
        "columns = {a: 'BIGINT'})"
    )
    rows = duckdb.connect().execute(query, {"path": str(path)}).fetchall()
    assert rows == [(1,), (None,), (2,)], "ingest may leave broken lines to read_json"


def test_a_cast_of_a_fraction_to_an_integer_rounds():
    assert scalar("SELECT TRY_CAST('1.5' AS BIGINT)") == 2, (
        "the check that an integer is exact before it is cast may go"
    )


def test_from_json_turns_a_bad_element_into_null():
    assert scalar("""SELECT from_json('[1, "x"]', '["DOUBLE"]')""") == [1.0, None], (
        "from_json refuses bad elements: the comparison of NULL elements may go"
    )


def test_a_check_constraint_cannot_hold_a_lambda():
    with pytest.raises(duckdb.NotImplementedException, match="CHECK"):
        duckdb.connect().execute(
            "CREATE TABLE t (p DOUBLE[] CHECK (len(list_filter(p, lambda x: x < 0)) = 0))"
        )
    # When this passes, the checks of lists in sql/schema.sql may look at each element.


def test_delta_commits_a_transaction_that_is_already_there(tmp_path: Path):
    for _ in range(2):
        write_deltalake(
            tmp_path,
            pa.table({"a": [1]}),
            mode="append",
            commit_properties=CommitProperties(app_transactions=[Transaction("file", 1)]),
        )
    assert len(DeltaTable(tmp_path).file_uris()) == 2, (
        "Delta refuses a repeated transaction: the question for it in workbench.lake may go"
    )


def test_delta_truncates_a_fraction_when_it_merges_schemas(tmp_path: Path):
    write_deltalake(tmp_path, pa.table({"a": pa.array([1], pa.int64())}))
    late = pa.table({"a": pa.array([2.7], pa.float64())})
    write_deltalake(tmp_path, late, mode="append", schema_mode="merge")
    assert scalar(f"SELECT max(a) FROM read_parquet('{tmp_path}/*.parquet')") == 2, (
        "merging schemas keeps or refuses the value: Delta may add the lake's columns by itself"
    )


def test_delta_lets_old_versions_expire_unless_told_otherwise(tmp_path: Path):
    write_deltalake(tmp_path, pa.table({"a": [1]}))
    assert "delta.logRetentionDuration" not in DeltaTable(tmp_path).metadata().configuration, (
        "Delta declares a retention: look again at the table properties in workbench.lake"
    )


def test_duckdb_finds_the_last_fact_for_a_row_without_time_in_an_outer_asof_join():
    sql = (
        "SELECT count(f.v) FROM (SELECT NULL::INTEGER AS t, 1 AS k FROM range(1000)) r "
        "ASOF LEFT JOIN (SELECT CAST(i AS INTEGER) AS t, 1 AS k, i AS v FROM range(1000) s(i)) f "
        "ON r.k = f.k AND r.t >= f.t"
    )
    assert scalar(sql) == 1000, (
        "fixed: with_latest in workbench.point_in_time need not take keys away"
    )
