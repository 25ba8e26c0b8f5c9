"""Takes a slice away as a file: streamed, counted, and whole or not there at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import pyarrow as pa

from workbench import engine
from workbench.datasets.slice import Slice
from workbench.errors import ConfigError, DataError, NotFoundError
from workbench.formats import formats
from workbench.query import Build

#: Key of the file metadata under which a Parquet file describes its slice, as JSON.
SLICE_KEY = "workbench_slice"


def export(
    build: Build,
    what: str | Slice,
    fmt: str,
    path: str | Path,
    *,
    where: str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Write a relation or a slice of `build` to a file.

    Parameters
    ----------
    build
        The build to read.
    what
        Name of a relation, or a slice.
    fmt
        Name of a format.
    path
        The file to write; its folder must exist.
    where
        SQL condition, in addition to the slice's own.
    force
        Replace a file that exists.

    Returns
    -------
    dict
        ``path``, ``rows``, ``bytes``, ``sha256``.

    Raises
    ------
    ConfigError
        If the file exists or the format or a column is not known.
    DataError
        If the file cannot be written, or holds another number of rows than the build says.
    """
    chosen = what if isinstance(what, Slice) else Slice(relation=what)
    if where and where.strip():
        both = f"(\n{chosen.where}\n) AND (\n{where}\n)" if chosen.where else where
        build.expression(where)
        chosen = replace(chosen, where=both)
    formats.get(fmt)
    sql = chosen.sql(build)
    description = {"build": build.id, "id": chosen.id, "slice": asdict(chosen)}
    metadata = {SLICE_KEY: json.dumps(description, ensure_ascii=False, sort_keys=True)}
    return write_file(
        build.stream(sql), fmt, path, rows=chosen.count(build), metadata=metadata, force=force
    )


def write_file(
    reader: pa.RecordBatchReader,
    fmt: str,
    path: str | Path,
    *,
    rows: int | None = None,
    metadata: Mapping[str, str] | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Write all batches of `reader` to a file under a temporary name, then rename it.

    Parameters
    ----------
    reader
        What to write.
    fmt
        Name of a format.
    path
        The file to write.
    rows
        Number of rows that there must be; not checked when None.
    metadata
        Goes into the file where the format has a place for it.
    force
        Replace a file that exists.

    Returns
    -------
    dict
        ``path``, ``rows``, ``bytes``, ``sha256``.
    """
    target = Path(path).expanduser().absolute()
    if target.is_dir():
        raise ConfigError(f"{target} is a folder.", "Name a file in it.")
    if target.exists() and not force:
        raise ConfigError(f"{target} exists already.", "Choose another name, or add --force.")
    if not target.parent.is_dir():
        raise NotFoundError(f"There is no folder {target.parent}.", "Make it first.")
    partial = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("xb") as file:
            hashed = _HashedFile(file)
            written = formats.get(fmt).write(hashed, reader, metadata or {})
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        if rows is not None and written != rows:
            raise DataError(
                f"{written:,} rows were streamed where the build has {rows:,}; no file was made.",
                "Try again; if it happens again, make the build anew with: workbench build",
            )
        partial.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise DataError(
            f"{target} cannot be written: {error.strerror or error}.",
            "Choose a folder that is writable and has room.",
        ) from error
    except (duckdb.Error, pa.ArrowException) as error:
        raise DataError(
            f"The rows cannot be written as {fmt}: {engine.message(error)}", ""
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return {"path": str(target), "rows": written, "bytes": size, "sha256": hashed.hexdigest()}


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
