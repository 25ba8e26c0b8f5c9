"""One hour of new data on a large project: a build of the last build against a build of everything.

``python -m benchmarks.refresh --rows 1000000 --shape skew`` makes a world (see
`benchmarks.end_to_end.world`) and holds back its last hour: the calls, events, orders and profiles
of that hour, and of all earlier ones one event, order and profile in two thousand, which come
late. It builds the rest, lets the hour arrive, and builds again; then it builds a project of the
same files that was never built. Each is ``workbench build`` in a process of its own. A time counts
only where both builds hold the same rows, cell by cell; doubles to 1e-12. The third time is
that of a build with nothing new. One JSON line: wall and CPU seconds, the seconds that importing
duckdb and ibis takes, and what part of the full build the refresh took.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from benchmarks.end_to_end import world
from benchmarks.end_to_end.__main__ import Run, measured
from workbench.build.ledger import GRAINS

_LAST_HOUR, _END = (
    f"{world.START} + to_microseconds({world.DAYS * world.DAY - before})"
    for before in (world.HOUR, 0)
)
#: The time by which each source's rows are new, and a key by which some of them are late.
_SOURCES = {
    "logs": ("ts", None),
    "feedback": ("ts", "feedback_id || name"),
    "orders": ("ordered_at", "order_id"),
    "profiles": ("valid_from", "user_id || valid_from"),
    "health": ("minute", None),
}
_RELATIONS = (
    "inferences", "feedback", "attribution", "credits", "labels", "enriched_inferences",
    "enriched_feedback", "contexts", "metric_state", "metric_sums", "ledger",
)  # fmt: skip
#: What is one row for each of them.
_KEYS = {**GRAINS, "contexts": "request_id"}
_TOOL = str(Path(sys.executable).parent / "workbench")
#: Numbers that a project gives its rows.
_OWN = ("ingested_at", "row_id", "feedback_row_id", "ingest_id", "source_file", "source_row")


def split(folder: Path, made: Path) -> None:
    """Write the sources of `made` as files of before the last hour, and of what came in it."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        for source, (time, key) in _SOURCES.items():
            late = "false" if key is None else f"hash({key}) % 2000 = 0"
            new = f"({time} >= {_LAST_HOUR} OR {late})"
            happened = f"{time} < {_END}"
            (folder / source).mkdir(parents=True)
            (folder / "held" / source).mkdir(parents=True)
            files = (
                sorted((made / "logs").glob("*"))
                if source == "logs"
                else [made / f"{source}.parquet"]
            )
            for file in files:
                rows = f"read_parquet('{file}')"
                for condition, place in ((f"NOT {new}", folder), (new, folder / "held")):
                    target = place / source / f"{file.stem}-{place.name}.parquet"
                    found = f"FROM {rows} WHERE {condition} AND {happened}"
                    if connection.execute(f"SELECT count(*) {found}").fetchone() == (0,):
                        continue
                    connection.execute(
                        f"COPY (SELECT * {found}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
                    )


def _configure(folder: Path, storage: str) -> None:
    text = world.CONFIG.format(storage=storage).replace("logs/*.parquet", "logs")
    for source in _SOURCES:
        text = text.replace(f'"{source}.parquet"', f'"{source}"')
    (folder / "workbench.toml").write_text(text)


def _build(folder: Path) -> Run:
    return measured([[_TOOL, "build", "--project", str(folder)]])


def _equal(one: Path, other: Path) -> None:
    """Stop where the builds in force of two projects differ."""
    with duckdb.connect() as connection:
        for name, folder in (("a", one), ("b", other)):
            state = folder / ".workbench"
            file = state / json.loads((state / "current").read_text())["file"]
            connection.execute(f"ATTACH '{file}' AS {name} (READ_ONLY)")
        for relation in _RELATIONS:
            found = connection.sql(f"FROM a.narrow.{relation}")
            leaves = {
                sql: kind
                for name, dtype in zip(found.columns, found.types, strict=True)
                if name not in _OWN
                for sql, kind in _leaves(f'"{name}"', dtype)
            }
            # What is added up in another order may differ in its last digits.
            key = _KEYS.get(relation)
            sums = [
                sql
                for sql, kind in leaves.items()
                if kind == "double" and (key or relation.startswith("metric"))
            ]
            same = ", ".join(sql for sql in leaves if sql not in sums)
            sides = [
                connection.execute(
                    f"SELECT count(*), sum(hash({same})) FROM {side}.narrow.{relation}"
                ).fetchone()
                for side in "ab"
            ]
            if sides[0] != sides[1]:
                sys.exit(f"{relation} differs: {sides}")
            if key and sums:
                other = " OR ".join(
                    f"coalesce(abs(a.{sql} - b.{sql}) > 1e-12 * greatest(abs(a.{sql}), "
                    f"abs(b.{sql})), a.{sql} IS DISTINCT FROM b.{sql})"
                    for sql in sums
                )
                pairs = f"a.narrow.{relation} a JOIN b.narrow.{relation} b USING ({key})"
                n = connection.execute(f"SELECT count(*) FROM {pairs} WHERE {other}").fetchone()
                if n != (0,):
                    sys.exit(f"Numbers of {relation} differ in {n} rows.")
                continue
            for name in sums:
                query = f"SELECT {name} FROM {{}}.narrow.{relation} ORDER BY {same}, 1"
                a, b = (
                    np.ma.filled(
                        connection.execute(query.format(side)).fetchnumpy()[name.strip('"')], -1
                    )
                    for side in "ab"
                )
                if not np.allclose(a, b, rtol=1e-12, atol=1e-12):
                    sys.exit(f"{relation}.{name} differs.")


def _leaves(sql: str, dtype: Any) -> Iterator[tuple[str, str]]:
    """SQL and kind of what a column holds: of a struct whether it is there, and of its fields."""
    if dtype.id != "struct":
        yield sql, dtype.id
        return
    yield f"({sql} IS NULL)", "boolean"
    for name, child in dtype.children:
        yield from _leaves(f'{sql}."{name}"', child)


def main() -> None:
    """Make the world, build, refresh, compare, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shape", choices=list(world.SHAPES), default="even")
    parser.add_argument("--payload", action="store_true", help="with prompts and answers")
    parser.add_argument("--storage", choices=["in_place", "copy"], default="in_place")
    parser.add_argument("--folder", type=Path, help="where worlds are kept from run to run")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        part = "full" if given.payload else "narrow"
        made = (given.folder or base) / f"{given.rows}-{given.shape}-{part}"
        shape = world.SHAPES[given.shape]
        world.write(made, given.rows, shape, payload=given.payload, storage=given.storage)
        folder, whole = base / "refreshed", base / "whole"
        split(folder, made)
        _configure(folder, given.storage)
        first = _build(folder)
        held = folder / "held"
        for source in _SOURCES:
            for file in (held / source).iterdir():
                file.rename(folder / source / file.name)
        refreshed = _build(folder)
        nothing = _build(folder)
        made_of = json.loads((folder / ".workbench" / "current").read_text())
        if made_of["refreshed"] is None:
            sys.exit("The build was not made of the last one.")
        shutil.copytree(folder, whole, ignore=shutil.ignore_patterns(".workbench", "held"))
        full = _build(whole)
        _equal(folder, whole)
        imports = measured([[sys.executable, "-c", "import duckdb, ibis; ibis.duckdb"]])
        runs = {"first": first, "refresh": refreshed, "nothing": nothing, "full": full}
        print(
            json.dumps(
                {
                    "rows": given.rows,
                    "shape": given.shape,
                    "part": part,
                    **{name: vars(run) for name, run in runs.items()},
                    "imports": vars(imports),
                    "stages": made_of["seconds"],
                    "refresh_of_full": round(
                        (refreshed.wall - imports.wall) / (full.wall - imports.wall), 4
                    ),
                    "nothing_beyond_imports": round(nothing.wall - imports.wall, 3),
                }
            )
        )


if __name__ == "__main__":
    main()
