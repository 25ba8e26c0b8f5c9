"""Rows of a build held in memory for the few queries of one answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import ibis.expr.types as ir
import pyarrow as pa

from workbench.engine import identifier, sql_of
from workbench.query import Build
from workbench.statement import plain_error


@dataclass(frozen=True)
class Scratch:
    """A table of one connection, which nobody else sees.

    Attributes
    ----------
    connection
        The connection that holds it.
    name
        The name of the table.
    """

    connection: duckdb.DuckDBPyConnection
    name: str = "scratch"

    def run(self, query: str | ir.Table) -> pa.Table:
        """Run our own SQL or expression over it."""
        sql = query if isinstance(query, str) else sql_of(query)
        return self.connection.execute(sql).to_arrow_table()


@contextmanager
def scratch(build: Build, sql: str, kind: str = "TABLE") -> Iterator[Scratch]:
    """Hold the rows of our own `sql` as a table, for the length of a block.

    Columns that live in the lake, and windows over all rows, are then read and made once and not
    for each question. A ``VIEW`` holds nothing, which is quicker for few questions about narrow
    columns.

    Raises
    ------
    QueryError
        If an expression that a person typed does not fit the columns.
    """
    held = Scratch(build.cursor())
    try:
        held.connection.execute(f"CREATE TEMP {kind} {identifier(held.name)} AS {sql}")
        yield held
    except duckdb.Error as error:
        raise plain_error(error, sql, build.relation_names) from error
    finally:
        held.connection.close()


def held_table(rows: Scratch) -> ir.Table:
    """The held rows as an expression."""
    import ibis

    schema = ibis.Schema.from_pyarrow(rows.run(f"SELECT * FROM {rows.name} LIMIT 0").schema)
    return ibis.table(schema, name=rows.name)
