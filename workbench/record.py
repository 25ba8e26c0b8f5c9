"""One inference with everything that was joined to it, without reading those around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.contract import WIDE_COLUMNS
from workbench.engine import dtype, list_literal, literal
from workbench.ingest.mapping import feature_column
from workbench.measure import RELATION
from workbench.query import Build


def record(build: Build, request_id: str) -> dict[str, Any] | None:
    """The row of an inference in ``enriched_inferences``, whole; None if there is no such one.

    In the lake the key is looked for in the filters that its files have for that, and the narrow
    tables are read by number; a row that stayed in its own file is searched for.
    """
    files = [name for name in build.manifest["files"] if name.startswith("lake/inferences/")]
    found = _in_lake(build, files, request_id) if files else None
    if found is not None:
        return found
    rows = build.arrow(f"FROM {RELATION} WHERE request_id = $id", {"id": request_id}).to_pylist()
    return rows[0] if rows else None


def _in_lake(build: Build, files: Sequence[str], request_id: str) -> dict[str, Any] | None:
    paths = list_literal(str(build.root / name) for name in files)
    found = build.arrow(
        f"SELECT row_id, filename FROM read_parquet({paths}, hive_partitioning = false) "
        "WHERE request_id = $id",
        {"id": request_id},
    )
    # Copies that were received later, and rows of readings that count no more, are there too.
    stored = dict(zip(*(found[name].to_pylist() for name in ("row_id", "filename")), strict=True))
    rows = build.arrow(
        f"FROM narrow.{RELATION} WHERE row_id IN ({', '.join(map(str, stored)) or 'NULL'}) "
        "AND request_id = $id",
        {"id": request_id},
    ).to_pylist()
    if not rows:
        return None
    row_id = rows[0]["row_id"]
    columns = build.columns(RELATION)
    features = {feature_column(name): name for name in dtype(columns["features"]).names}
    # Of one file, because every other one would be opened for its columns.
    wide = build.arrow(
        f"SELECT COLUMNS(lambda name: list_contains("
        f"{list_literal(['row_id', *WIDE_COLUMNS, *features])}, name)) FROM "
        f"read_parquet({literal(stored[row_id])}, hive_partitioning = false) "
        f"WHERE row_id = {row_id}"
    ).to_pylist()
    known = rows[0] | wide[0]
    if not features.keys().isdisjoint(known):
        known["features"] = {name: known.get(column) for column, name in features.items()}
    return {name: known.get(name) for name in columns}
