"""A log's files in the landing folder, and what becomes of those of killed processes."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from workbench import landing_files
from workbench.capture import _counters
from workbench.capture._counters import FILE, START, STREAMS, WRITTEN, Counters, Shared


class Output:
    """Appends lines of one stream to files. It belongs to one thread at a time.

    Parameters
    ----------
    folder
        The landing folder.
    shared
        The counters of the writer.
    stream, output
        Which of its streams and outputs this is.
    """

    def __init__(self, folder: Path, shared: Shared, stream: int, output: int) -> None:
        self._folder = folder / STREAMS[stream]
        self._writer = shared.path.stem
        self._numbers = shared.numbers
        self._place = _counters.output_place(stream, output, 0)
        # Numbers of files are odd for one output and even for the other, and never 0.
        self._next, self._step = output + 1, len(_counters.OUTPUTS)
        self._descriptor: int | None = None
        self._path = self._folder
        self._size = self._rows = 0
        self._since = 0.0

    def append(self, content: bytes, rows: int, *, sync: bool) -> None:
        """Append whole lines.

        Raises
        ------
        OSError
            If they are not all in the file; then none of them is.
        """
        descriptor = self._descriptor if self._descriptor is not None else self._open()
        try:
            landing_files.write_all(descriptor, content)
            if sync:
                os.fsync(descriptor)
        except OSError:
            try:
                os.ftruncate(descriptor, self._size)
            except OSError:
                # The half of a line must not become the beginning of the next one.
                self._descriptor = None
                os.close(descriptor)
            raise
        self._size += len(content)
        self._rows += rows
        self.count(WRITTEN, rows)

    @property
    def is_open(self) -> bool:
        """Whether a file of it has not been published yet."""
        return bool(self._numbers[self._place + FILE])

    def count(self, counter: int, number: int) -> None:
        """Add to one of its counters."""
        self._numbers[self._place + counter] += number

    def due(self, max_bytes: int, max_rows: int, max_age: float) -> bool:
        """Whether the open file is large or old enough to be renamed."""
        return self._descriptor is not None and (
            self._size >= max_bytes
            or self._rows >= max_rows
            or time.monotonic() - self._since >= max_age
        )

    def publish(self) -> None:
        """Make the open file durable and give it the name under which it is read.

        Raises
        ------
        OSError
            If that failed; it can be tried again.
        """
        if self._descriptor is None:
            return
        os.fsync(self._descriptor)
        with suppress(FileNotFoundError):  # somebody took us for dead and has renamed it
            if self._size:
                landing_files.publish(self._path)
            else:
                self._path.unlink()
        os.close(self._descriptor)
        self._descriptor = None
        self._numbers[self._place + FILE] = 0

    def forget(self) -> None:
        """Close a file that belongs to the process that this one was forked from."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        number = self._next
        self._numbers[self._place + START] = self._numbers[self._place + WRITTEN]
        self._numbers[self._place + FILE] = number
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path = landing_files.open_path(self._folder, self._writer, number)
        descriptor = landing_files.create(self._path)
        self._next += self._step
        self._descriptor, self._size, self._rows = descriptor, 0, 0
        self._since = time.monotonic()
        return descriptor


def recover(folder: Path) -> dict[str, Counters]:
    """Publish what killed processes left, and write down what they lost.

    Parameters
    ----------
    folder
        The landing folder.

    Returns
    -------
    dict
        What became of their rows, by stream.
    """
    total = {stream: Counters() for stream in STREAMS}
    for shared in _counters.abandoned(folder):
        found = {}
        for number, stream in enumerate(STREAMS):
            cut_off = 0
            for output in range(len(_counters.OUTPUTS)):
                cut_off += _finish(folder / stream, shared, number, output)
            counted = shared.counters(number, alive=False)
            found[stream] = counted + Counters(cut_off=cut_off)
            total[stream] += found[stream]
        _counters.end(shared, found, "recovered")
    return total


def _finish(folder: Path, shared: Shared, stream: int, output: int) -> int:
    """Publish the file that an output had open, and count its rows; whether a line was cut off."""
    place = _counters.output_place(stream, output, 0)
    number = shared.numbers[place + FILE]
    if not number:
        return 0
    path, cut_off = landing_files.open_path(folder, shared.path.stem, number), 0
    published = landing_files.published_path(path)
    if path.exists():
        rows, cut_off = landing_files.finish(path)
    elif published.exists():
        rows, _ = landing_files.whole_lines(published)
    else:
        return 0
    shared.numbers[place + WRITTEN] = shared.numbers[place + START] + rows
    shared.numbers[place + FILE] = 0
    return cut_off
