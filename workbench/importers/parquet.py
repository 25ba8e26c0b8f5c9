"""Parquet files."""

from __future__ import annotations

import glob
from collections.abc import Sequence

import duckdb

from workbench import engine
from workbench.importers import (
    PART,
    RAW,
    ROW,
    End,
    Importer,
    Part,
    Staged,
    StagedColumn,
    refuse,
    refused_table,
    typed_columns,
)

_REFUSED, _ROWS = "parquet_refused", "parquet_rows"


def stage(connection: duckdb.DuckDBPyConnection, parts: Sequence[Part], table: str = "") -> Staged:
    """Stage the rows of files; the same for every table."""
    refused_table(connection, _REFUSED)
    readable: list[Part] = []
    ends: dict[int, End] = {}
    for part in parts:
        try:
            rows = engine.scalar(
                connection,
                f"SELECT sum(num_rows) FROM parquet_file_metadata({engine.literal(_path(part))})",
            )
        except duckdb.Error as error:
            said = engine.message(error).replace(str(part.path), part.name)
            reason = f"unreadable Parquet: {said}"
            refuse(connection, _REFUSED, [(part.number, None, "unreadable_file", None, reason)])
            ends[part.number] = End(offset=0, next_row=1)
            continue
        readable.append(part)
        ends[part.number] = End(offset=part.path.stat().st_size, next_row=int(rows or 0) + 1)
    columns: dict[str, StagedColumn] = {}
    if readable:
        files = engine.list_literal(_path(part) for part in readable)
        source = f"read_parquet({files}, union_by_name = true, filename = '__file')"
        types = engine.columns_of(connection, source)
        types.pop("__file")
        numbers = ", ".join(f"({engine.literal(str(p.path))}, {p.number})" for p in readable)
        listed = "".join(f", s.{engine.identifier(name)}" for name in types)
        connection.execute(
            f"CREATE OR REPLACE VIEW {_ROWS} AS SELECT n.number::INTEGER AS {PART}, "
            f"s.file_row_number + 1 AS {ROW}, NULL::VARCHAR AS {RAW}{listed} "
            f"FROM {source} s JOIN (VALUES {numbers}) n(file, number) ON s.__file = n.file"
        )
        columns = typed_columns(types)
    else:
        connection.execute(
            f"CREATE OR REPLACE VIEW {_ROWS} AS SELECT NULL::INTEGER AS {PART}, "
            f"NULL::BIGINT AS {ROW}, NULL::VARCHAR AS {RAW} WHERE false"
        )
    return Staged(
        relation=_ROWS,
        refused=_REFUSED,
        columns=columns,
        infer=lambda: columns,
        native=True,
        ends=ends,
    )


def _path(part: Part) -> str:
    """The file's path so that DuckDB does not take it for a pattern."""
    return glob.escape(str(part.path))


importer = Importer(
    name="parquet",
    suffixes=(".parquet", ".pq"),
    grows=False,
    stage=stage,
)
