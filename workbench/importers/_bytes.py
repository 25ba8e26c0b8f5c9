"""Reading bytes: plain or gzip, from an offset, to the end or to where the file breaks off."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

BLOCK_BYTES = 4 * 1024 * 1024
#: What is said of a file that is damaged.
DAMAGED = "damaged gzip: its checksum does not fit"
_GZIP_MAGIC = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


class Stream:
    """Bytes of a file from an offset on, uncompressed, without a byte-order mark.

    Parameters
    ----------
    path
        The file. Whether it is gzip is told by its first bytes, not by its name.
    offset
        Uncompressed bytes to skip.

    Attributes
    ----------
    position
        Uncompressed bytes read so far, the skipped ones included.
    broken
        Whether a compressed stream ended before its end.
    damaged
        Whether a compressed stream is not what was written: none of it can be trusted, for a
        changed byte shows only in the checksum at the end.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._file: BinaryIO = path.open("rb")
        self.gzip = self._file.read(2) == _GZIP_MAGIC
        self._file.seek(0)
        self._source: BinaryIO | gzip.GzipFile = (
            gzip.GzipFile(fileobj=self._file) if self.gzip else self._file
        )
        self.broken = False
        self.damaged = False
        self.position = 0
        self._pending = b""
        self._skip(offset)

    def _skip(self, offset: int) -> None:
        if offset == 0:
            first = self._read(3)
            while len(first) < 3 and (more := self._read(3 - len(first))):
                first += more
            if first == _BOM:
                self.position = len(_BOM)
            else:
                self._pending = first
        elif not self.gzip:
            self._file.seek(offset)
            self.position = offset
        else:
            while self.position < offset and (
                block := self._read(min(BLOCK_BYTES, offset - self.position))
            ):
                self.position += len(block)

    def _read(self, size: int) -> bytes:
        try:
            return self._source.read1(size)  # type: ignore[union-attr]
        except EOFError:
            self.broken = True
        except (gzip.BadGzipFile, zlib.error):
            self.damaged = True
        return b""

    def read(self, size: int = BLOCK_BYTES) -> bytes:
        """The next bytes, at most `size`; empty at the end."""
        block, self._pending = self._pending[:size], self._pending[size:]
        if not block and not (self.broken or self.damaged):
            block = self._read(size)
        self.position += len(block)
        return block

    def blocks(self) -> Iterator[bytes]:
        """All remaining bytes, block by block."""
        while block := self.read():
            yield block

    def close(self) -> None:
        """Close the file."""
        self._source.close()
        self._file.close()


def decode(array: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Turn binary values into text.

    Parameters
    ----------
    array
        Values of type ``large_binary``.

    Returns
    -------
    tuple of pyarrow.Array
        The text, where undecodable bytes became U+FFFD, and whether each value had any.
    """
    try:
        text = array.cast(pa.large_string())
        return text, pa.array([False]).take(pa.array([0] * len(array), pa.int32()))
    except pa.ArrowInvalid:
        values = array.to_pylist()
        decoded = [None if v is None else v.decode("utf-8", "replace") for v in values]
        text = pa.array(decoded, pa.large_string())
        return text, pc.not_equal(text.cast(pa.large_binary()), array).fill_null(False)
