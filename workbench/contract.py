"""The contract of tables and columns, read from ``sql/schema.sql`` through DuckDB's catalog."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb

#: Version of the feedback payload that senders may write.
FEEDBACK_SCHEMA_VERSION = 1

#: Columns of ``feedback`` that the workbench writes itself; a sender may not set them.
OWN_FEEDBACK_COLUMNS = ("ingested_at", "source_file", "source_row", "raw")

#: Columns of ``inferences`` that are large: kept in the lake only and joined late, by row.
WIDE_COLUMNS = (
    "params",
    "input",
    "output",
    "reasoning",
    "features",
    "probabilities",
    "logits",
    "token_logprobs",
    "ensemble",
    "embedding",
    "scores",
    "choices",
    "attributions",
    "counterfactuals",
    "retrieved",
    "tool_calls",
    "tags",
    "metadata",
)


@dataclass(frozen=True)
class Column:
    """One column of the contract.

    Attributes
    ----------
    name, type
        Name and DuckDB type.
    required
        Whether a row without the value is refused.
    check
        SQL condition that a value must not violate, or None.
    comment
        What the column means.
    """

    name: str
    type: str
    required: bool
    check: str | None
    comment: str


@dataclass(frozen=True)
class Table:
    """One table of the contract, its columns in order."""

    name: str
    comment: str
    columns: MappingProxyType[str, Column]


def bundle_path(relative: str) -> Path:
    """Path of a file that ships with the package: ``sql/...``, ``app.py``, ``.streamlit/...``.

    In a checkout the files stand beside the package; in an installed wheel inside of it.
    """
    package = Path(__file__).resolve().parent
    bundled = package / "_bundle" / relative
    return bundled if bundled.exists() else package.parent / relative


@cache
def tables() -> MappingProxyType[str, Table]:
    """All tables of the contract by name."""
    connection = duckdb.connect()
    connection.execute(bundle_path("sql/schema.sql").read_text(encoding="utf-8"))
    checks = {
        (table, names[0]): expression
        for table, names, expression in connection.execute(
            "SELECT table_name, constraint_column_names, expression FROM duckdb_constraints() "
            "WHERE constraint_type = 'CHECK'"
        ).fetchall()
    }
    comments = dict(
        connection.execute("SELECT table_name, comment FROM duckdb_tables()").fetchall()
    )
    columns: dict[str, dict[str, Column]] = {}
    for table, name, dtype, nullable, comment in connection.execute(
        "SELECT table_name, column_name, data_type, is_nullable, comment FROM duckdb_columns() "
        "WHERE NOT internal ORDER BY table_name, column_index"
    ).fetchall():
        columns.setdefault(table, {})[name] = Column(
            name, dtype, not nullable, checks.get((table, name)), comment or ""
        )
    connection.close()
    return MappingProxyType(
        {
            name: Table(name, comments.get(name) or "", MappingProxyType(entries))
            for name, entries in columns.items()
        }
    )


def table(name: str) -> Table:
    """The table called `name`."""
    return tables()[name]


_JSON_TYPES: dict[str, dict[str, Any]] = {
    "VARCHAR": {"type": "string"},
    "INTEGER": {"type": "integer"},
    "BIGINT": {"type": "integer"},
    "DOUBLE": {"type": "number"},
    "BOOLEAN": {"type": "boolean"},
    "VARCHAR[]": {"type": "array", "items": {"type": "string"}},
    "TIMESTAMP WITH TIME ZONE": {"type": "string", "format": "date-time"},
}


def feedback_json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the feedback payload, made from the contract.

    Returns
    -------
    dict
        The schema of one event as a sender writes it.
    """
    properties: dict[str, Any] = {}
    for column in table("feedback").columns.values():
        if column.name in OWN_FEEDBACK_COLUMNS:
            continue
        entry: dict[str, Any] = {"description": column.comment, **_JSON_TYPES[column.type]}
        allowed = _allowed_values(column.check)
        if allowed:
            entry["enum"] = allowed
        properties[column.name] = entry
    properties["value"] |= {"type": ["string", "number", "boolean"]}
    properties["metadata"] |= {"type": ["string", "object"]}
    properties["schema_version"] = {
        "description": properties["schema_version"]["description"],
        "const": FEEDBACK_SCHEMA_VERSION,
    }
    preference = ["chosen_id", "rejected_id"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:feedback-workbench:feedback:{FEEDBACK_SCHEMA_VERSION}",
        "title": "Feedback event",
        "description": table("feedback").comment,
        "type": "object",
        "properties": properties,
        "required": ["ts"],
        "anyOf": [
            {"required": ["name", "value"]},
            {"required": ["name", "corrected_output"]},
            {"required": ["name", *preference]},
            {"required": ["retracts"]},
        ],
        "additionalProperties": True,
    }


def _allowed_values(check: str | None) -> list[str]:
    if check is None or " IN (" not in check:
        return []
    listed = check.split(" IN (", 1)[1].rstrip(")")
    return [part.strip().strip("'") for part in listed.split(",")]
