"""Whether two builds hold the same tables, whichever engine made them.

Doubles may differ by 1e-12 relative, inside of structs and lists too; everything else not at all.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from workbench.engine import identifier, registered
from workbench.query import Build, open_build

#: Narrow tables with what each has one row of.
KEYS = {
    "inferences": ("request_id",),
    "feedback": ("feedback_id",),
    "clocks": ("source",),
    "attribution": ("feedback_id",),
    "credits": ("feedback_id", "request_id"),
    "labels": ("request_id",),
    "contexts": ("request_id",),
    "enriched_inferences": ("request_id",),
    "enriched_feedback": ("feedback_id",),
    "enriched_steps": ("request_id",),
    "metric_state": ("day", "model_version", "cohort", "bin", "y"),
    "metric_sums": ("metric", "day", "model_version", "cohort"),
    "ledger": ('"table"', "status"),
}
_OF_THE_READING = ("ingest_id", "ingested_at", "row_id", "feedback_row_id")
_LISTED = (
    "SELECT table_name AS name, list(column_name || ' ' || data_type ORDER BY column_index) "
    "AS columns FROM duckdb_columns() WHERE database_name = 'build' AND schema_name = 'narrow' "
    "GROUP BY 1"
)


def differences(one: Path, other: Path) -> list[str]:
    """What differs between the builds in force of two projects; empty when they are equal."""
    with open_build(one) as left, open_build(other) as right:
        tables = [{row["name"]: row["columns"] for row in b.arrow(_LISTED).to_pylist()}
                  for b in (left, right)]  # fmt: skip
        if tables[0] != tables[1]:
            return [f"the tables are {tables[0]} and {tables[1]}"]
        found = [line for name in KEYS if name in tables[0] for line in _of(name, left, right)]
        found += [
            f"{key}: {left.manifest[key]} and {right.manifest[key]}"
            for key in ("as_of", "ledger", "status")
            if left.manifest[key] != right.manifest[key]
        ]
    return found


def _of(name: str, left: Build, right: Build) -> list[str]:
    """What differs in one table."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for side, build in (("a", left), ("b", right)):
            with registered(connection, "rows_of_build", build.stream(f"FROM narrow.{name}")):
                connection.execute(f"CREATE TABLE {side} AS FROM rows_of_build")
        types = connection.execute("SELECT column_name, column_type FROM (DESCRIBE a)").fetchall()
        keys = " AND ".join(f"a.{key} IS NOT DISTINCT FROM b.{key}" for key in KEYS[name])
        counted = ", ".join(
            f"count(*) FILTER ({differ(f'a.{identifier(c)}', f'b.{identifier(c)}', kind)})"
            for c, kind in types
            if c not in _OF_THE_READING
        )
        sizes = "(SELECT count(*) FROM a), (SELECT count(*) FROM b)"
        joined = f"a JOIN b ON {keys}"
        n, m, both, *unequal = connection.execute(
            f"SELECT {sizes}, count(*), {counted} FROM {joined}"
        ).fetchall()[0]
    lines = [] if n == m == both else [f"{name}: {n:,} and {m:,} rows, {both:,} of them in both"]
    columns = [c for c, _ in types if c not in _OF_THE_READING]
    return lines + [
        f"{name}.{column}: {count:,} of {both:,} differ"
        for column, count in zip(columns, unequal, strict=True)
        if count
    ]


def differ(a: str, b: str, kind: str, depth: int = 0) -> str:
    """SQL of whether two values differ."""
    nulls = f"({a} IS NULL) <> ({b} IS NULL)"
    if kind == "DOUBLE":
        near = f"abs({a} - {b}) <= 1e-12 * greatest(abs({a}), abs({b}))"
        # Of what is not finite a difference says nothing.
        return f"({nulls} OR ({a} <> {b} AND NOT coalesce(isfinite({a} - {b}) AND {near}, false)))"
    if "DOUBLE" not in kind:
        return f"({a} IS DISTINCT FROM {b})"
    if kind.endswith("[]"):
        pair = f"p{depth}"
        inner = differ(f"{pair}[1]", f"{pair}[2]", kind[:-2], depth + 1)
        unlike = f"list_filter(list_zip({a}, {b}), lambda {pair}: {inner})"
        return f"({nulls} OR coalesce(len({a}) <> len({b}) OR len({unlike}) > 0, false))"
    fields = duckdb.sql(f"SELECT CAST(NULL AS {kind}) AS s").types[0].children
    parts = [
        differ(f"{a}.{identifier(name)}", f"{b}.{identifier(name)}", str(child), depth)
        for name, child in fields
    ]
    return f"({nulls} OR {' OR '.join(parts)})"
