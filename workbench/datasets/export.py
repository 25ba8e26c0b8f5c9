"""Takes a slice away as a file or folder: streamed, counted, and whole or not there at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import pyarrow as pa

from workbench import engine, pieces, progress
from workbench.datasets.slice import Slice
from workbench.errors import ConfigError, DataError, NotFoundError
from workbench.formats import Format, formats
from workbench.query import Build

#: Key of the file metadata under which a Parquet file describes its slice, as JSON.
SLICE_KEY = "workbench_slice"
#: Relations whose rows have a time and, in the lake, texts.
_ENRICHED = ("enriched_inferences", "enriched_feedback")


def export(
    build: Build,
    what: str | Slice,
    fmt: str,
    path: str | Path,
    *,
    where: str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Write a relation or a slice of `build` to a file, or to a folder where the format is one.

    Parameters
    ----------
    build
        The build to read.
    what
        Name of a relation, or a slice.
    fmt
        Name of a format.
    path
        The file or folder to write; the folder around it must exist.
    where
        SQL condition, in addition to the slice's own.
    force
        Replace what exists.

    Returns
    -------
    dict
        ``path``, ``rows``, ``bytes``, ``sha256``, ``stages``; see `write_file`.

    Raises
    ------
    ConfigError
        If the file or folder exists or the format or a column is not known.
    DataError
        If the file cannot be written, or holds another number of rows than the build says.
    """
    chosen = what if isinstance(what, Slice) else Slice(relation=what)
    if where and where.strip():
        both = f"(\n{chosen.where}\n) AND (\n{where}\n)" if chosen.where else where
        build.expression(where)
        chosen = replace(chosen, where=both)
    formats.get(fmt)
    description = {"build": build.id, "id": chosen.id, "slice": asdict(chosen)}
    metadata = {SLICE_KEY: json.dumps(description, ensure_ascii=False, sort_keys=True)}
    return write_file(
        _read(build, chosen), fmt, path, rows=chosen.count(build), metadata=metadata, force=force
    )


def _read(build: Build, chosen: Slice) -> pa.RecordBatchReader:
    """Stream the rows of a slice; if they have texts, so many at once as fit into memory."""
    if chosen.relation not in _ENRICHED or not chosen.reads_texts(build):
        return build.stream(chosen.sql(build))
    cursor = build.cursor()
    narrow = f"narrow.{chosen.relation}"
    parts = pieces.by_time(cursor, narrow)
    if not parts:
        return build.stream(chosen.sql(build))
    if chosen.draws:
        key, drawn = chosen.drawn(build)
        cursor.execute(
            f"CREATE TEMP TABLE drawn_rows AS SELECT d.*, t.ts FROM ({drawn}) d "
            f"JOIN {narrow} t USING ({engine.identifier(key)})"
        )
        queries = [
            (times, chosen.of_drawn(build, key, f"(FROM drawn_rows WHERE {condition})"))
            for condition, times in parts
        ]
    else:
        queries = [(times, chosen.sql(build, among=condition)) for condition, times in parts]
    schema = cursor.execute(f"{queries[0][1]} LIMIT 0").to_arrow_reader(1).schema

    def batches() -> Iterator[pa.RecordBatch]:
        for times, query in queries:
            cursor.execute(f"SET VARIABLE {pieces.TIMES} = {times}")
            yield from cursor.execute(query).to_arrow_reader(engine.BATCH_ROWS)

    return pa.RecordBatchReader.from_batches(schema, batches())


def write_file(
    reader: pa.RecordBatchReader,
    fmt: str,
    path: str | Path,
    *,
    rows: int | None = None,
    metadata: Mapping[str, str] | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Write all batches of `reader` under a temporary name, then rename what was written.

    Parameters
    ----------
    reader
        What to write.
    fmt
        Name of a format.
    path
        The file, or the folder where the format is one.
    rows
        Number of rows that there must be; not checked when None.
    metadata
        Goes into the file where the format has a place for it.
    force
        Replace what exists. A folder is replaced only when it holds nothing that the format
        would not write; for a moment, between two renames, it is not there.

    Returns
    -------
    dict
        ``path``, ``rows``, ``bytes``, ``sha256``, ``stages``. Of a folder the checksum is that of
        the lines ``checksum  path`` of its files in order of their paths, as ``sha256sum`` prints
        them.
    """
    kind = formats.get(fmt)
    target = Path(path).expanduser().absolute()
    _check(kind, fmt, target, force)
    partial = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.partial")
    try:
        with progress.recording() as stages_so_far:
            progress.begin("write", total=rows, unit="rows")
            read = _counted(reader)
            if kind.write_folder is None:
                written, size, digest = _fill_file(kind, partial, read, metadata or {})
            else:
                partial.mkdir()
                written = kind.write_folder(partial, read, metadata or {})
                size, digest = _seal_folder(partial)
            progress.advance(bytes=size)
            stages = stages_so_far()
        if rows is not None and written != rows:
            raise DataError(
                f"{written:,} rows were streamed where the build has {rows:,}; nothing was made.",
                "Try again; if it happens again, make the build anew with: workbench build",
            )
        _publish(partial, target)
    except (OSError, duckdb.Error, pa.ArrowException) as error:
        raise _failed(error, target, fmt) from error
    finally:
        _remove(partial)
    return {
        "path": str(target), "rows": written, "bytes": size, "sha256": digest, "stages": stages,
    }  # fmt: skip


def _failed(error: Exception, target: Path, fmt: str) -> DataError:
    # Out of a stream of Arrow, an error of the engine comes as one of the system.
    if "Out of Memory" in str(error):
        return DataError(
            f"The rows need more memory than there is: {engine.message(error)}",
            f"Raise {engine.MEMORY_LIMIT} where it is set, or take fewer rows or columns.",
        )
    if isinstance(error, OSError):
        return DataError(
            f"{target} cannot be written: {error.strerror or error}.",
            "Choose a folder that is writable and has room.",
        )
    return DataError(f"The rows cannot be written as {fmt}: {engine.message(error)}", "")


def _counted(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The batches of `reader`, counted as they are read."""

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in reader:
            progress.advance(rows=batch.num_rows)
            yield batch

    return pa.RecordBatchReader.from_batches(reader.schema, progress.carried(batches()))


def _check(kind: Format, fmt: str, target: Path, force: bool) -> None:
    if not target.parent.is_dir():
        raise NotFoundError(f"There is no folder {target.parent}.", "Make it first.")
    if kind.write_folder is None and target.is_dir():
        raise ConfigError(f"{target} is a folder.", "Name a file in it.")
    if os.path.lexists(target) and not force:
        raise ConfigError(f"{target} exists already.", "Choose another name, or add --force.")
    if kind.write_folder is None or not os.path.lexists(target):
        return
    if target.is_symlink() or not target.is_dir():
        raise ConfigError(f"{target} is not a folder.", f"{fmt} is a folder: choose another name.")
    for path in target.rglob("*"):
        inner = path.relative_to(target).as_posix()
        if path.is_symlink() or not re.fullmatch(kind.owns, inner):
            raise ConfigError(
                f"{target} holds {inner}, which {fmt} does not write; it was not replaced.",
                "Choose another name.",
            )


def _fill_file(
    kind: Format, path: Path, reader: pa.RecordBatchReader, metadata: Mapping[str, str]
) -> tuple[int, int, str]:
    with path.open("xb") as file:
        hashed = _HashedFile(file)
        written = kind.write(hashed, reader, metadata)
        file.flush()
        os.fsync(file.fileno())
        return written, file.tell(), hashed.hexdigest()


def _seal_folder(folder: Path) -> tuple[int, str]:
    """Bring all of `folder` to the disk; its size and checksum."""
    size = 0
    lines = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            _sync_folder(path)
            continue
        with path.open("rb") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size += path.stat().st_size
        lines.update(f"{digest}  {path.relative_to(folder).as_posix()}\n".encode())
    _sync_folder(folder)
    return size, lines.hexdigest()


def _publish(partial: Path, target: Path) -> None:
    """Rename `partial` to `target`. A folder that is there cannot be renamed over: it gives way."""
    if not target.is_dir():
        partial.replace(target)
    else:
        old = partial.with_suffix(".old")
        target.rename(old)
        try:
            partial.rename(target)
        except OSError:
            old.rename(target)
            raise
        _remove(old)
    _sync_folder(target.parent)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _HashedFile(io.RawIOBase, BinaryIO):
    """Passes what is written on to a file and hashes it on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def write(self, data: Any) -> int:
        self._hash.update(data)
        return self._file.write(data)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()
