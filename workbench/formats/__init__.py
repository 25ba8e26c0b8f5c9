"""File formats for export: one file each, found by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa

from workbench.registry import Registry

#: Writes all batches of a reader to an open file, with metadata where the format has a place for
#: it, and returns the number of rows written.
Writer = Callable[[BinaryIO, pa.RecordBatchReader, Mapping[str, str]], int]


@dataclass(frozen=True, kw_only=True)
class Format:
    """How rows are written to a file.

    Attributes
    ----------
    suffix
        File name ending, with its dot.
    media_type
        Media type for downloads.
    about
        One sentence on when to choose it.
    write
        The writer.
    """

    suffix: str
    media_type: str
    about: str
    write: Writer


formats: Registry[Format] = Registry("workbench.formats", "format", label="format")
