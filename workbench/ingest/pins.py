"""Pins of files that are read where they are: what such a file must still be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from workbench.errors import ConfigError, DataError

_MAGIC = b"PAR1"


def pin(path: Path) -> str:
    """SHA-256 of a Parquet file's footer, which has the place and size of every column chunk.

    Raises
    ------
    ConfigError
        If the file is no Parquet.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 8))
        tail = file.read(8)
        length = int.from_bytes(tail[:4], "little")
        if size < 12 or tail[4:] != _MAGIC or length > size - 12:
            raise ConfigError(
                f"{path.name} is not Parquet, and only Parquet can be read in_place.",
                'Set storage = "copy" in [inferences], or write the log as Parquet.',
            )
        file.seek(size - 8 - length)
        return hashlib.sha256(file.read(length + 8)).hexdigest()


def verify(state: Path, pins: Iterable[Mapping[str, str | int]]) -> None:
    """Refuse to go on where a file that is read in place is not what it was.

    Raises
    ------
    DataError
        If one is gone or was written anew.
    """
    for entry in pins:
        name = str(entry["path"])
        path = state / name
        try:
            stat = path.stat()
        except OSError:
            raise changed(name, "is gone") from None
        same = (stat.st_size, stat.st_mtime_ns) == (entry["size"], entry["mtime_ns"])
        if not same and (stat.st_size != entry["size"] or pin(path) != entry["sha"]):
            raise changed(name)


def changed(name: str, what: str = "was written anew") -> DataError:
    """The error about a file whose rows cannot be had any more."""
    return DataError(
        f"{name.removeprefix('../')} {what} since it was read in place: its rows cannot be had.",
        'Put the file back as it was; for files that change, set storage = "copy" in [inferences].',
    )
