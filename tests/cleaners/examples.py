"""Tables of examples as the cleaners read them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from workbench.cleaners import parse_cleaner
from workbench.project import Cleaning

Example = dict[str, Any]
#: (example_id, reason, kept_id), by example_id.
Dropped = list[tuple[str, str, str | None]]

TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("example_id", pa.string()),
        ("request_id", pa.string()),
        ("ts", TIME),
        ("user_id", pa.string()),
        ("rater_id", pa.string()),
        ("label_ts", TIME),
        ("prompt", pa.string()),
        ("answer", pa.string()),
        ("label", pa.string()),
    ]
)
START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float | None) -> datetime | None:
    return None if seconds is None else START + timedelta(seconds=seconds)


def example(name: object, **columns: Any) -> Example:
    """One example; `ts` and `label_ts` in seconds."""
    times = {key: at(columns[key]) for key in ("ts", "label_ts") if key in columns}
    return {"example_id": str(name), "request_id": f"r{name}"} | columns | times


def write(connection: duckdb.DuckDBPyConnection, rows: Sequence[Example]) -> None:
    """Make the relations `examples` and `records` of `rows`."""
    table = pa.Table.from_pylist(list(rows), schema=SCHEMA)
    connection.register("given_examples", table)
    connection.execute("CREATE OR REPLACE TEMP TABLE examples AS FROM given_examples")
    connection.unregister("given_examples")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE records AS SELECT DISTINCT ON (request_id) request_id, "
        "user_id, prompt AS question, length(answer) AS tokens FROM examples "
        "WHERE request_id IS NOT NULL ORDER BY example_id"
    )


def dropped(
    connection: duckdb.DuckDBPyConnection, call: str, cleaning: Cleaning | None = None
) -> Dropped:
    """What a cleaner leaves out of `examples`."""
    sql = parse_cleaner(call).drop_sql(cleaning or Cleaning())
    found = connection.execute(f"FROM ({sql}) ORDER BY ALL")
    assert [(column[0], str(column[1])) for column in found.description or ()] == [
        ("example_id", "VARCHAR"),
        ("reason", "VARCHAR"),
        ("kept_id", "VARCHAR"),
    ]
    return found.fetchall()
