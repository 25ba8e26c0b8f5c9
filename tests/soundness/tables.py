"""Small tables whose rows can be exchanged, so that one compiled query answers many examples."""

from __future__ import annotations

import atexit
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa

from workbench import engine, spark

Row = dict[str, Any]
START = datetime(2026, 1, 1, tzinfo=UTC)
ENGINES = ("duckdb", "spark")
ARROW = {
    "VARCHAR": pa.string(),
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
    "DOUBLE": pa.float64(),
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "BOOLEAN": pa.bool_(),
    "VARCHAR[]": pa.list_(pa.string()),
    "DOUBLE[]": pa.list_(pa.float64()),
    "DOUBLE[][]": pa.list_(pa.list_(pa.float64())),
    "DATE": pa.date32(),
}


def at(seconds: float | None) -> datetime | None:
    """A time, as seconds from a fixed start."""
    return None if seconds is None else START + timedelta(seconds=seconds)


class Tables:
    """Tables of given columns on one engine, and queries compiled over them.

    Parameters
    ----------
    tables
        Columns of each table, by the DuckDB types in `ARROW`.
    engine
        One of `ENGINES`. Both return the same Python values: aware times in UTC, ints, floats,
        dicts and lists.

    Notes
    -----
    A differential test runs on both engines when its fixture does::

        @pytest.fixture(scope="module", params=ENGINES)
        def tables(request: pytest.FixtureRequest) -> Tables:
            return Tables(SCHEMA, engine=request.param)

    Spark is a Spark Connect server in this process. It plans each query anew, a chain of joins for
    up to a second, however few the rows: put many worlds into one pair of tables there, and leave
    the drawing of examples and single cases to DuckDB.
    """

    def __init__(self, tables: Mapping[str, Mapping[str, str]], engine: str = "duckdb") -> None:
        self.tables = tables
        self.name = engine
        self.engine: _DuckDB | _Spark = {"duckdb": _DuckDB, "spark": _Spark}[engine]()
        self._compiled: dict[Any, str] = {}
        self.fill(**dict.fromkeys(tables, ()))

    def table(self, name: str) -> ir.Table:
        return self.engine.backend.table(name)

    def fill(self, **rows: Iterable[Row]) -> None:
        """Replace the rows of the named tables; what a row does not say is NULL."""
        for name, given in rows.items():
            columns = self.tables[name]
            schema = pa.schema([(column, ARROW[kind]) for column, kind in columns.items()])
            full = [{column: row.get(column) for column in columns} for row in given]
            self.engine.replace(name, pa.Table.from_pylist(full, schema=schema))

    def run(self, key: Any, expression: Callable[[], ir.Table]) -> list[Row]:
        """The rows of an expression, which is built and compiled once per key."""
        if key not in self._compiled:
            self._compiled[key] = str(self.engine.backend.compile(expression()))
        return self.engine.read(self._compiled[key]).to_pylist()

    def keep(self, name: str, expression: ir.Table) -> ir.Table:
        """The rows of an expression as a table of their own, as a build keeps them."""
        self.engine.replace(name, self.engine.read(str(self.engine.backend.compile(expression))))
        return self.table(name)

    def described(self, key: Any) -> dict[str, str]:
        """The columns and DuckDB types of an expression that was run under `key`."""
        names = {arrow: kind for kind, arrow in ARROW.items()}
        schema = self.engine.read(self._compiled[key]).schema
        return {column.name: names.get(column.type, str(column.type)) for column in schema}


class _DuckDB:
    def __init__(self) -> None:
        self._connection = engine.connect()
        self._connection.execute("SET threads = 1")
        self.backend = engine.backend(self._connection)

    def replace(self, name: str, rows: pa.Table) -> None:
        with engine.registered(self._connection, "given_rows", rows):
            self._connection.execute(f"CREATE OR REPLACE TABLE {name} AS FROM given_rows")

    def read(self, sql: str) -> pa.Table:
        return self._connection.execute(sql).to_arrow_table()


class _Spark:
    def __init__(self) -> None:
        from pyspark.sql import SparkSession

        self._session = SparkSession.builder.remote(spark_server()).create()
        self.backend = spark.backend(self._session)

    def replace(self, name: str, rows: pa.Table) -> None:
        # A frame without rows has no columns for Spark, so one of NULLs is made and left out.
        some = rows if rows.num_rows else pa.Table.from_pylist([{}], schema=rows.schema)
        self._session.createDataFrame(some).limit(rows.num_rows).createOrReplaceTempView(name)

    def read(self, sql: str) -> pa.Table:
        return self._session.sql(sql).toArrow()


@cache
def spark_server() -> str:
    """Address of a Spark Connect server in this process, which ends with it."""
    os.environ.setdefault("RUST_LOG", "error")
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    atexit.register(server.stop)
    _, port = server.listening_address
    return f"sc://127.0.0.1:{port}"


def by(rows: Sequence[Row], key: str) -> dict[Any, Row]:
    """Rows by their key, which must be unique."""
    result = {row[key]: row for row in rows}
    assert len(result) == len(rows), f"{key} is not unique"
    return result


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal: doubles to 1e-9, everything else identical."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and isinstance(right, float):
        if math.isnan(left) or math.isnan(right):
            return math.isnan(left) and math.isnan(right)
        return math.isclose(left, right, rel_tol=1e-12, abs_tol=1e-9)
    return type(left) is type(right) and bool(left == right)


def difference(found: Mapping[Any, Row], expected: Mapping[Any, Row]) -> list[str]:
    """Where `found` is not `expected`; only the columns that are expected are compared."""
    lines = [f"missing: {key!r}" for key in expected if key not in found]
    lines += [f"too many: {key!r}" for key in found if key not in expected]
    for key, row in expected.items():
        for column, value in row.items():
            if key in found and not same(found[key][column], value):
                lines.append(f"{key!r}.{column}: found {found[key][column]!r}, expected {value!r}")
    return lines
