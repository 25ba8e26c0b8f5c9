"""Files that another system exported: its importer knows what they mean, nothing is guessed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import duckdb

from workbench import engine
from workbench.importers import Importer, Part, importers
from workbench.importers._records import recognise


def claimed(paths: Sequence[str]) -> dict[str, tuple[Importer, frozenset[str]]]:
    """The files that are exports of known systems: the importer, and the tables they hold."""
    found = {path: recognise(Path(path)) for path in paths if os.path.getsize(path) > 0}
    return {path: claim for path, claim in found.items() if claim is not None}


def stage(
    connection: duckdb.DuckDBPyConnection, name: str, paths: Sequence[str], table: str
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The rows of exported files as a table of the connection; its name and its columns."""
    parts = [
        Part(number=number, path=Path(path), name=Path(path).name)
        for number, path in enumerate(paths)
    ]
    staged = importers.get(name).stage(connection, parts, table)
    own = f"exported_{name}_{table}"
    listed = ", ".join(f"{column.typed} AS {engine.identifier(n)}" for n, column in
                       staged.columns.items())  # fmt: skip
    connection.execute(f"CREATE OR REPLACE TABLE {own} AS SELECT {listed} FROM {staged.relation}")
    return own, tuple(engine.columns_of(connection, own).items())
