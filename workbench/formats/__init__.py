"""File formats for export: one file each, found by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from workbench.errors import ConfigError
from workbench.registry import Registry

if TYPE_CHECKING:  # the names of the formats are asked for where pyarrow is not needed
    import pyarrow as pa

#: Writes all batches of a reader to an open file, with metadata where the format has a place for
#: it, and returns the number of rows written.
Writer = Callable[[BinaryIO, "pa.RecordBatchReader", Mapping[str, str]], int]

#: The same into an empty folder.
FolderWriter = Callable[[Path, "pa.RecordBatchReader", Mapping[str, str]], int]


def _no_file(file: BinaryIO, reader: pa.RecordBatchReader, metadata: Mapping[str, str]) -> int:
    raise ConfigError("This format is a folder, not a file.", "Choose one of a single file.")


@dataclass(frozen=True, kw_only=True)
class Format:
    """How rows are written to a file, or to a folder of files.

    Attributes
    ----------
    suffix
        File name ending, with its dot; empty for a folder.
    media_type
        Media type for downloads.
    about
        One sentence on when to choose it.
    write
        The writer of a file.
    write_folder
        The writer of a folder; None where the format is one file.
    owns
        Regular expression of the paths in a folder that the format writes. A folder that holds
        anything else is not replaced.
    extra
        Optional extra of this package that the format needs.
    """

    suffix: str
    media_type: str
    about: str
    write: Writer = _no_file
    write_folder: FolderWriter | None = None
    owns: str = ""
    extra: str | None = None


formats: Registry[Format] = Registry("workbench.formats", "format", label="format")


def downloads() -> list[str]:
    """Names of the formats that are one file and need no extra: those that a page offers."""
    kinds = {name: formats.get(name) for name in formats.names()}
    return [name for name, kind in kinds.items() if not kind.write_folder and not kind.extra]
