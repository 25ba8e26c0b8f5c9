"""One inference with everything that was joined to it, without reading those around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import duckdb

from workbench import engine, places
from workbench.contract import WIDE_COLUMNS
from workbench.errors import NotFoundError
from workbench.ingest.mapping import feature_column
from workbench.measure import RELATION
from workbench.query import Build


def record(build: Build, request_id: str) -> dict[str, Any] | None:
    """The row of an inference in ``enriched_inferences``, whole; None if there is no such one.

    The narrow tables are read by number, and of the lake one row group.
    """
    own = {*build.manifest["files"]}
    every = build.manifest.get("lake", {}).get("inferences", ())
    files = [str(build.root / name) for name in every if name in own]
    found = _in_lake(build, files, request_id) if files and _has(build, "places") else None
    if found is not None:
        return found
    rows = build.arrow(f"FROM {among(build, [request_id])}").to_pylist()
    return rows[0] if rows else None


def among(build: Build, request_ids: Sequence[str]) -> str:
    """SQL relation of the rows of ``enriched_inferences`` with some ids, for few of them.

    Of rows that stayed in their own files, those files alone are read, from the first of the rows
    to the last: by what the view joins them, each row of all files would be looked at.
    """
    listed = ", ".join(map(engine.literal, request_ids)) or "NULL"
    places = _places_in_files(build, request_ids)
    if not places:
        return f"(FROM {RELATION} WHERE request_id IN ({listed}))"
    numbers = ", ".join(str(row_id) for row_id, _, _ in places)
    rows = [row for _, _, row in places]
    parts = ", ".join(str(part) for part in sorted({part for _, part, _ in places}))
    columns = ", ".join(
        f"{'w' if name in WIDE_COLUMNS else 'n'}.{engine.identifier(name)}"
        for name in build.columns(RELATION)
    )
    return (
        f"(SELECT {columns} FROM (FROM narrow.{RELATION} WHERE row_id IN ({numbers}) "
        f"AND request_id IN ({listed})) n JOIN (FROM narrow.payload WHERE part IN ({parts}) "
        f"AND source_row BETWEEN {min(rows)} AND {max(rows)}) w ON n.row_id = w.row_id)"
    )


def _places_in_files(build: Build, request_ids: Sequence[str]) -> list[tuple[int, int, int]]:
    """Number, place of the file and row in it, of rows with the ids; none if any is elsewhere."""
    pins = build.manifest.get("in_place") or ()
    # A path is from the state folder, a file's name from that of the project.
    parts = {str(pin["path"]).removeprefix("../"): part for part, pin in enumerate(pins)}
    if not (parts and request_ids and _has(build, "payload") and _has(build, "places")):
        return []
    cursor = build.cursor()
    try:
        numbers = ", ".join(map(str, sorted(places.find(cursor, *request_ids)))) or "NULL"
        found = cursor.execute(
            "SELECT row_id, source_file, source_row FROM narrow.inferences "
            f"WHERE row_id IN ({numbers}) ORDER BY row_id"
        ).to_arrow_table()
    finally:
        cursor.close()
    rows = [(row["row_id"], parts.get(row["source_file"]), row["source_row"])
            for row in found.to_pylist()]  # fmt: skip
    known = [(row_id, part, row) for row_id, part, row in rows if part is not None]
    return known if len(known) == len(rows) else []


def _has(build: Build, relation: str) -> bool:
    """Whether the build has a narrow relation: one of an earlier version may lack it."""
    try:
        build.columns(relation, narrow=True)
    except NotFoundError:
        return False
    return True


def _in_lake(build: Build, files: Sequence[str], request_id: str) -> dict[str, Any] | None:
    narrow = _narrow(build, request_id)
    if narrow is None:
        return None
    names: Mapping[str, str] = build.once("features of a record", lambda: _features(build))
    try:
        groups = build.once("row groups of records", lambda: _groups(files))
        wide = _wide(groups, narrow["row_id"], (*WIDE_COLUMNS, *names))
    except OSError:
        # Erasure takes files away from under a build that is open: the engine says it in words.
        return None
    if wide is None:
        return None
    known = narrow | wide
    if any(name in known for name in names):
        known["features"] = {name: known.get(column) for column, name in names.items()}
    return {name: known.get(name) for name in build.columns(RELATION)}


def _narrow(build: Build, request_id: str) -> dict[str, Any] | None:
    """The row of an inference without what the lake has of it."""
    cursor = build.cursor()
    try:
        numbers = places.find(cursor, request_id)
        listed = ", ".join(map(str, numbers)) or "NULL"
        columns = build.once("stored columns of a record", lambda: _stored(cursor))
        rows: list[dict[str, Any]] = cursor.execute(
            f"SELECT {columns} FROM narrow.{RELATION} WHERE row_id IN ({listed}) "
            "AND request_id = $1",
            [request_id],
        ).to_arrow_table().to_pylist()  # fmt: skip
    finally:
        cursor.close()
    return rows[0] if rows else None


def _stored(cursor: duckdb.DuckDBPyConnection) -> str:
    """The columns that hold something; to ask for those that do not takes half of the time."""
    stored = engine.stored_columns(cursor, RELATION, database="build")
    return ", ".join(engine.identifier(name) for name, held in stored.items() if held) or "*"


def _features(build: Build) -> dict[str, str]:
    """Names of the features by their columns in the lake."""
    struct = engine.dtype(build.columns(RELATION)["features"])
    return {feature_column(name): name for name in struct.names}


@dataclass(frozen=True)
class _File:
    """What the footer of a file of the lake says, which never changes.

    Attributes
    ----------
    metadata
        The footer.
    ranges
        Least and greatest ``row_id`` of each row group.
    columns
        Columns that have a value somewhere in the file.
    """

    metadata: Any
    ranges: tuple[tuple[int, int], ...]
    columns: tuple[str, ...]


#: Least and greatest ``row_id`` of a row group, the path of its file, and its number there.
_Group = tuple[int, int, str, int]


def _groups(files: Sequence[str]) -> list[_Group]:
    """The row groups of all files. Rows of one may lie between those of another."""
    return [
        (first, last, path, number)
        for path in files
        for number, (first, last) in enumerate(_file(path).ranges)
    ]


def _wide(groups: Sequence[_Group], row_id: int, wanted: Sequence[str]) -> dict[str, Any] | None:
    """Those of the `wanted` columns that its file has a value of, of one row; None without the row.

    The engine would read as many bytes, and takes as long again to go by the columns that are
    empty.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    for first, last, path, number in groups:
        if first <= row_id <= last:
            known = _file(path)
            names = [name for name in known.columns if name in wanted]
            with pq.ParquetFile(path, metadata=known.metadata) as file:
                # So few bytes are read sooner than threads are awake on a machine that is busy.
                rows = file.read_row_group(number, ["row_id", *names], use_threads=False)
            place = pc.index(rows["row_id"], row_id).as_py()
            if place >= 0:
                return dict(rows.select(names).slice(place, 1).to_pylist()[0])
    return None


@lru_cache(maxsize=64)
def _file(path: str) -> _File:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        metadata = file.metadata
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        leaves = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
        rows = [group.column(leaves.index("row_id")).statistics for group in groups]
        held = []
        for name in file.schema_arrow.names:
            own = [i for i, leaf in enumerate(leaves) if f"{leaf}.".startswith(f"{name}.")]
            empty = not any(_has_values(group.column(i)) for group in groups for i in own)
            if empty and leaves[own[0]] != name:
                # An empty list has no value inside either.
                empty = file.read([name])[name].null_count == metadata.num_rows
            if not empty:
                held.append(name)
    return _File(metadata, tuple((one.min, one.max) for one in rows), tuple(held))


def _has_values(column: Any) -> bool:
    known = column.statistics
    return known is None or not known.has_null_count or known.null_count < column.num_values
