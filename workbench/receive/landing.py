"""The landing log: JSON lines, durable when `Landing.commit` returns, published as whole files.

Each stream is a folder. Lines go to a hidden file that is renamed once it is old or large enough;
whoever reads the folder sees whole files only, which never change.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from workbench import landing_files
from workbench.errors import LockedError

STREAMS = ("feedback", "inferences", "traces", "quarantine")
_LOCK = ".receive.lock"
#: A writer publishes within seconds; a file that rests this long has none.
_ABANDONED_SECONDS = 600.0


@dataclass
class _File:
    """A file that is being written; `size` is how much of it is known to be on the disk."""

    path: Path
    descriptor: int
    since: float
    size: int = 0


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """What was left behind by a process that did not end by itself.

    Attributes
    ----------
    files
        Files that were published now.
    cut_off
        Last lines without an end, which were dropped: nobody was told that they are kept.
    """

    files: int = 0
    cut_off: int = 0


class Landing:
    """The log that one process writes. All but the constructor belongs to one thread.

    Parameters
    ----------
    root
        Folder of the streams' folders.
    max_bytes, max_age
        Size and age in seconds at which a file is published.
    clock
        Seconds, never going back.

    Raises
    ------
    LockedError
        If another process receives into the same folder.
    """

    def __init__(
        self,
        root: Path,
        *,
        max_bytes: int = 64 * 1024 * 1024,
        max_age: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.root = root
        self.max_age = max_age
        self._max_bytes = max_bytes
        self._clock = clock
        self._files: dict[str, _File] = {}
        self._left: list[Path] = []
        self._numbers = count()
        for stream in STREAMS:
            (root / stream).mkdir(parents=True, exist_ok=True)
        self._lock = _lock(root)
        self.recovered = _recover(root)

    def commit(self, lines: Mapping[str, Sequence[bytes]]) -> None:
        """Append lines to their streams; on return they are on the disk.

        Raises
        ------
        OSError
            If that could not be made sure of; then none of the lines is kept.
        """
        touched: dict[str, int] = {}
        try:
            for stream, entries in lines.items():
                if entries:
                    content = b"\n".join([*entries, b""])
                    touched[stream] = len(content)
                    landing_files.write_all(self._file(stream).descriptor, content)
            for stream in touched:
                os.fsync(self._files[stream].descriptor)
        except OSError:
            # After a failed fsync the kernel may take unwritten pages for written: such a file
            # is never appended to again.
            for stream in touched:
                if stream in self._files:
                    self._retire(stream)
            raise
        for stream, size in touched.items():
            file = self._files[stream]
            file.size += size
            if file.size >= self._max_bytes:
                self._publish(stream)

    def seconds_to_publication(self) -> float | None:
        """When the next file is old enough to be published; None where none is open."""
        if not self._files and not self._left:
            return None
        oldest = min((file.since for file in self._files.values()), default=self._clock())
        return max(0.0, oldest + self.max_age - self._clock())

    def publish(self, *, everything: bool = False) -> None:
        """Publish the files that are old enough.

        Raises
        ------
        OSError
            If a file cannot be renamed; it is tried again the next time.
        """
        for path in list(self._left):
            landing_files.publish(path)
            self._left.remove(path)
        for stream, file in list(self._files.items()):
            if everything or self._clock() - file.since >= self.max_age:
                self._publish(stream)

    def close(self) -> None:
        """Publish everything and let others receive into the folder."""
        try:
            self.publish(everything=True)
        finally:
            os.close(self._lock)

    def _file(self, stream: str) -> _File:
        if stream not in self._files:
            writer, number = landing_files.writer_name(), next(self._numbers)
            path = landing_files.open_path(self.root / stream, writer, number)
            self._files[stream] = _File(path, landing_files.create(path), self._clock())
        return self._files[stream]

    def _publish(self, stream: str) -> None:
        file = self._files.pop(stream)
        self._left.append(file.path)
        os.close(file.descriptor)
        landing_files.publish(file.path)
        self._left.remove(file.path)

    def _retire(self, stream: str) -> None:
        """Take what was not made durable out of a file, and leave the file to be published."""
        file = self._files.pop(stream)
        with suppress(OSError):
            os.ftruncate(file.descriptor, file.size)
        with suppress(OSError):
            os.close(file.descriptor)
        if file.size:
            self._left.append(file.path)
        else:
            with suppress(OSError):
                file.path.unlink()


def published(root: Path, stream: str) -> list[Path]:
    """The published files of a stream, oldest first."""
    found = (root / stream).rglob(f"*{landing_files.SUFFIX}")
    return sorted(path for path in found if not path.name.startswith("."))


def _lock(root: Path) -> int:
    descriptor = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise LockedError(
            f"Another process receives into {root}.",
            "Stop it, or name another folder with --landing DIR.",
        ) from None
    return descriptor


def _recover(root: Path) -> Recovered:
    """Publish the whole lines of files whose writers are gone."""
    files = cut_off = 0
    for stream in STREAMS:
        for path in landing_files.open_files(root / stream):
            if not _has_writer(path):
                rows, cut = landing_files.finish(path)
                files += rows > 0
                cut_off += cut
    return Recovered(files=files, cut_off=cut_off)


def _has_writer(path: Path) -> bool:
    """Whether the process that a file is named after may still write it.

    The folder is shared with processes that log into it by themselves.
    """
    host, process = landing_files.written_by(path) or ("", 0)
    if host == landing_files.host_name() and not _runs(process):
        return False
    # Of another machine nothing is known, and numbers of processes are given again.
    return time.time() - path.stat().st_mtime < _ABANDONED_SECONDS


def _runs(process: int) -> bool:
    """Whether a process runs that is not this one, which has opened no file yet.

    In a container the numbers begin again, so a killed run may have had this one's.
    """
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
