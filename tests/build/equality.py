"""Whether two builds are equal: the same but for build ids and the time of reading.

Doubles may differ by 1e-12 relative, everything else not at all.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from workbench.query import Build, open_build

#: Relations by what orders their rows.
RELATIONS = {
    "inferences": "request_id",
    "feedback": "feedback_id",
    "quarantine": '"table", source_file, source_row, reason, raw',
    "attribution": "feedback_id",
    "credits": "feedback_id, request_id",
    "labels": "request_id",
    "ledger": '"table", status',
    "enriched_inferences": "request_id",
    "enriched_feedback": "feedback_id",
    "enriched_steps": "request_id",
    "narrow.contexts": "request_id",
    "narrow.metric_state": "day, model_version, cohort, bin, y",
    "narrow.metric_sums": "metric, day, model_version, cohort",
    "narrow.clocks": "source",
}

#: Rows are numbered as they were read; each has its place.
_PLACES = """
    SELECT count(*) AS n FROM (
        (FROM narrow.places EXCEPT ALL
         SELECT (hash(request_id) >> 32)::UINTEGER, row_id FROM narrow.inferences)
        UNION ALL
        (SELECT (hash(request_id) >> 32)::UINTEGER, row_id FROM narrow.inferences
         EXCEPT ALL FROM narrow.places))
"""

_TABLES = "SELECT table_name AS name FROM duckdb_tables() WHERE schema_name = 'narrow'"


def content(build: Build, relation: str) -> pa.Table:
    """All rows of a relation in a fixed order; nested values as JSON."""
    columns = build.arrow(f"DESCRIBE {relation}").to_pylist()
    selected = []
    for column in columns:
        name, dtype = f'"{column["column_name"]}"', column["column_type"]
        if name in ('"ingested_at"', '"row_id"'):
            continue
        nested = dtype.endswith("]") or dtype.startswith("STRUCT")
        selected.append(f"CAST(to_json({name}) AS VARCHAR) AS {name}" if nested else name)
    order = RELATIONS[relation]
    return build.arrow(f"SELECT {', '.join(selected)} FROM {relation} ORDER BY {order}")


def differences(one: Path, other: Path, atol: float = 0.0) -> list[str]:
    """What differs between the builds in force of two projects; empty when they are equal.

    Doubles may differ by `atol` as well.
    """
    found = []
    with open_build(one) as left, open_build(other) as right:
        names = {f"narrow.{row['name']}" for row in left.arrow(_TABLES).to_pylist()}
        for relation in RELATIONS:
            if relation.startswith("narrow.") and relation not in names:
                continue
            a, b = content(left, relation), content(right, relation)
            if a.schema != b.schema or len(a) != len(b):
                found.append(f"{relation}: {len(a)} and {len(b)} rows, {a.schema}, {b.schema}")
                continue
            found += [
                f"{relation}.{name}" for name in a.column_names if not _same(a[name], b[name], atol)
            ]
        for side, build in (("one", left), ("other", right)):
            if n := build.arrow(_PLACES)["n"][0].as_py():
                found.append(f"{n} places of the {side}")
        for key in ("as_of", "ledger", "status"):
            if left.manifest[key] != right.manifest[key]:
                found.append(f"{key}: {left.manifest[key]} and {right.manifest[key]}")
    return found


def _same(a: pa.ChunkedArray, b: pa.ChunkedArray, atol: float) -> bool:
    if not pa.types.is_floating(a.type):
        return bool(a.equals(b))
    if not a.is_null().equals(b.is_null()):
        return False
    numbers = (a.drop_null().to_numpy(), b.drop_null().to_numpy())
    return bool(np.allclose(*numbers, rtol=1e-12, atol=atol, equal_nan=True))
