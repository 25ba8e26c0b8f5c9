"""Files on disk as groups of one shape, each readable as one DuckDB relation."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from workbench.errors import DataError, NotFoundError
from workbench.guess.vendors import claimed, stage
from workbench.importers import Importer, importers
from workbench.importers._servers import is_server, server
from workbench.importers.postgres import table_names

#: Rows that are looked at for what a column holds.
SAMPLE_ROWS = 20_000
#: Values that are looked at for keys: whether they repeat, and whether two files share them.
KEY_ROWS = 500_000
_SUFFIXES = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".db": "sqlite",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
}


@dataclass(frozen=True)
class Group:
    """Files of one format and one set of columns.

    Attributes
    ----------
    files
        Absolute paths, sorted.
    written
        What a configuration says to mean exactly these files.
    format
        Name of the format.
    columns
        Column names and DuckDB types, in order.
    staged
        Table that holds the rows of another system's export, under the contract's names.
    aliases
        Whether the files tell second names of calls, too.
    """

    files: tuple[str, ...]
    written: tuple[str, ...]
    format: str
    columns: tuple[tuple[str, str], ...]
    staged: str = ""
    aliases: bool = False

    @property
    def vendor(self) -> bool:
        """Whether the files are another system's export, whose columns need no mapping."""
        return self.staged != ""

    def relation(self, files: Iterable[str] | None = None) -> str:
        """SQL of the relation that holds the rows of `files`, by default of all."""
        return self.staged or reader(self.files if files is None else files, self.format)

    @property
    def title(self) -> str:
        """A short name for messages: the file's, or the first's and how many more."""
        first = Path(self.files[0]).name
        return first if len(self.files) == 1 else f"{first} and {len(self.files) - 1} more"

    @property
    def stem(self) -> str:
        """The first file's name without suffixes and digits."""
        return re.sub(r"[\d_\-. ]+$", "", Path(self.files[0]).name.split(".")[0])

    @property
    def signature(self) -> frozenset[str]:
        """The names of the columns."""
        return frozenset(name for name, _ in self.columns)


def quote(name: str) -> str:
    """Return an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return an SQL text."""
    return "'" + text.replace("'", "''") + "'"


def reader(files: Iterable[str], form: str) -> str:
    """Return SQL of the relation that holds all rows of `files`."""
    paths = [glob.escape(path) for path in files]
    listed = "[" + ", ".join(literal(path) for path in paths) + "]"
    if form == "parquet":
        return f"read_parquet({listed}, union_by_name=true)"
    if form == "jsonl":
        return (
            f"read_json({listed}, format='auto', ignore_errors=true, union_by_name=true, "
            "map_inference_threshold=-1, maximum_object_size=67108864)"
        )
    delimiter = ", delim='\t'" if all(".tsv" in path for path in paths) else ""
    return (
        f"read_csv({listed}, all_varchar=true, header=true, ignore_errors=true, "
        f"union_by_name=true{delimiter})"
    )


def format_of(path: str) -> str | None:
    """Return the format that a file's name promises; None for a file that is not data."""
    name = Path(path).name.lower().removesuffix(".gz")
    return _SUFFIXES.get(Path(name).suffix)


def find(patterns: Sequence[str | Path], base: Path) -> list[tuple[str, list[str]]]:
    """Files of each pattern: a file, a glob or a folder.

    Raises
    ------
    NotFoundError
        If a pattern names nothing, or a folder without data files.
    """
    found = []
    for pattern in patterns:
        if is_server(str(pattern)):
            raise NotFoundError(
                f"init does not look into databases. {server(str(pattern)).name} has: "
                f"{', '.join(table_names(str(pattern))) or 'no tables'}.",
                "Write workbench.toml by hand, with source and table: docs/importers/postgres.md.",
            )
        text = os.path.abspath(os.path.join(base, os.path.expanduser(str(pattern))))
        if os.path.isfile(text):
            files = [text]
        elif os.path.isdir(text):
            files = sorted(
                str(path)
                for path in Path(text).rglob("*")
                if path.is_file() and not _hidden(path, text) and format_of(str(path))
            )
            if not files:
                raise NotFoundError(
                    f"The folder {text} holds no Parquet, JSON or CSV files.",
                    "Name the files or another folder.",
                )
        else:
            files = sorted(
                os.path.abspath(path)
                for path in glob.glob(text, recursive=True)
                if os.path.isfile(path) and format_of(path)
            )
            if not files:
                raise NotFoundError(f"There is no file {text}.", "Check the path.")
        found.append((text, files))
    return found


def _hidden(path: Path, top: str) -> bool:
    return any(part.startswith((".", "_")) for part in path.relative_to(top).parts)


def _exported(
    exports: Mapping[str, tuple[Importer, frozenset[str]]],
    found: Sequence[tuple[str, list[str]]],
    table: str,
    connection: duckdb.DuckDBPyConnection,
) -> list[Group]:
    """The files of other systems that hold rows of `table`, a group for each system."""
    by_system: dict[str, list[str]] = {}
    for path, (importer, tables) in exports.items():
        if table in tables:
            by_system.setdefault(importer.name, []).append(path)
    result = []
    for name, files in by_system.items():
        staged, columns = stage(connection, name, files, table)
        written = _written(files, [(text, paths) for text, paths in found])
        named = any("aliases" in exports[file][1] for file in files)
        result.append(Group(tuple(files), written, name, columns, staged, named))
    return result


def groups(
    patterns: Sequence[str | Path],
    base: Path,
    connection: duckdb.DuckDBPyConnection,
    table: str,
) -> list[Group]:
    """Return the files of `patterns` that may hold rows of `table`, by format and columns.

    Raises
    ------
    NotFoundError
        If a pattern names nothing.
    DataError
        If no file could be read.
    """
    shapes: dict[tuple[str, frozenset[str]], list[str]] = {}
    types: dict[str, tuple[tuple[str, str], ...]] = {}
    failures = []
    found = find(patterns, base)
    paths = list(dict.fromkeys(path for _, files in found for path in files))
    exports = claimed(paths)
    result = _exported(exports, found, table, connection)
    for path in paths:
        if path in exports:
            continue
        form = format_of(path) or "csv"
        if form == "sqlite":
            failures.append(
                f"{path}: a database of no known system. Write workbench.toml by hand, with "
                "table = 'NAME' beside source"
            )
            continue
        if os.path.getsize(path) == 0:
            failures.append(f"{path}: it is empty")
            continue
        try:
            rows = connection.execute(
                f"SELECT column_name, column_type FROM (DESCRIBE FROM {reader([path], form)})"
            ).fetchall()
        except duckdb.Error as error:
            failures.append(f"{path}: {str(error).splitlines()[0]}")
            continue
        if not rows or (form == "jsonl" and [name for name, _ in rows] == ["json"]):
            failures.append(f"{path}: it holds no rows with columns")
            continue
        types[path] = tuple(rows)
        key = _same_shape(shapes, form, path, frozenset(name for name, _ in rows))
        shapes.setdefault(key, []).append(path)
    if not shapes and not result:
        failures += [
            f"{path}: an export of {i.title} without {table}" for path, (i, _) in exports.items()
        ]
        raise DataError(
            "No file could be read:\n" + "\n".join(f"  - {line}" for line in failures[:10]),
            "Check the files; Parquet, JSON lines and CSV are read, plain or gzip, and the exports "
            "of: " + ", ".join(i.title for i in importers if i.title) + ".",
        )
    for (form, _), files in shapes.items():
        merged: dict[str, str] = {}
        for path in files:
            for name, dtype in types[path]:
                merged.setdefault(name, dtype)
        written = _written(files, [(text, paths) for text, paths in found])
        result.append(Group(tuple(files), written, form, tuple(merged.items())))
    return result


def _same_shape(
    shapes: dict[tuple[str, frozenset[str]], list[str]],
    form: str,
    path: str,
    columns: frozenset[str],
) -> tuple[str, frozenset[str]]:
    """Key of the group that a file belongs to: equal columns, or a later file of one series."""
    stem = re.sub(r"[\d_\-. ]+", "", Path(path).name.split(".")[0])
    for (known, signature), files in shapes.items():
        other = re.sub(r"[\d_\-. ]+", "", Path(files[0]).name.split(".")[0])
        alike = len(columns & signature) / len(columns | signature)
        if known == form and alike >= 0.7 and stem == other:
            return known, signature
    return form, columns


def _written(files: list[str], found: list[tuple[str, list[str]]]) -> tuple[str, ...]:
    """Return the shortest patterns that mean exactly `files`: as typed, a glob, or one by one."""
    result: list[str] = []
    left = set(files)
    for text, paths in found:
        mine = [path for path in paths if path in left]
        if not mine:
            continue
        left -= set(mine)
        if len(mine) == len(paths):
            result.append(text)
            continue
        prefix = _common(mine)
        suffix = _common([path[::-1] for path in mine])[::-1]
        pattern = f"{prefix}*{suffix}"
        exact = set(glob.glob(pattern)) == set(mine) and not re.search(r"[*?\[]", prefix + suffix)
        if len(mine) > 1 and exact:
            result.append(pattern)
        else:
            result.extend(mine)
    return tuple(result)


def _common(texts: list[str]) -> str:
    """Return the characters that all texts begin with."""
    low, high = min(texts), max(texts)
    same = (i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b)
    return low[: next(same, len(low))]


def relative(path: str, project_dir: Path) -> str:
    """Return a path as the configuration writes it: relative where inside, with forward slashes."""
    top = os.path.abspath(project_dir)
    if os.path.commonpath([top, path]) == top:
        path = os.path.relpath(path, top)
    return path.replace(os.sep, "/")
