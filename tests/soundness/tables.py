"""Small tables whose rows can be exchanged, so that one compiled query answers many examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa

from workbench import engine

Row = dict[str, Any]
START = datetime(2026, 1, 1, tzinfo=UTC)
ARROW = {
    "VARCHAR": pa.string(),
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
    "DOUBLE": pa.float64(),
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
}


def at(seconds: float | None) -> datetime | None:
    """A time, as seconds from a fixed start."""
    return None if seconds is None else START + timedelta(seconds=seconds)


class Tables:
    """A DuckDB connection with tables of given columns, and queries compiled over them."""

    def __init__(self, tables: Mapping[str, Mapping[str, str]]) -> None:
        self.connection = engine.connect()
        self.connection.execute("SET threads = 1")
        self.tables = tables
        for name, columns in tables.items():
            listed = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
            self.connection.execute(f"CREATE TABLE {name} ({listed})")
        self.backend = engine.backend(self.connection)
        self._compiled: dict[Any, str] = {}

    def table(self, name: str) -> ir.Table:
        return self.backend.table(name)

    def fill(self, **rows: Iterable[Row]) -> None:
        """Replace the rows of the named tables; what a row does not say is NULL."""
        for name, given in rows.items():
            columns = self.tables[name]
            schema = pa.schema([(column, ARROW[kind]) for column, kind in columns.items()])
            full = [{column: row.get(column) for column in columns} for row in given]
            self.connection.execute(f"DELETE FROM {name}")
            with engine.registered(
                self.connection, "given_rows", pa.Table.from_pylist(full, schema=schema)
            ):
                self.connection.execute(f"INSERT INTO {name} SELECT * FROM given_rows")

    def run(self, key: Any, expression: Callable[[], ir.Table]) -> list[Row]:
        """The rows of an expression, which is built and compiled once per key."""
        if key not in self._compiled:
            self._compiled[key] = engine.sql_of(expression())
        return self.connection.execute(self._compiled[key]).to_arrow_table().to_pylist()

    def described(self, key: Any) -> dict[str, str]:
        """The columns and DuckDB types of an expression that was run under `key`."""
        return engine.columns_of(self.connection, f"({self._compiled[key]})")


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
