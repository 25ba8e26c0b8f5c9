"""Counters that outlive their process: numbers in a file that is mapped into memory.

The operating system keeps what was stored there when the process is killed, so whoever comes next
can tell how many rows were accepted and never written.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

STREAMS = ("inferences", "feedback")
#: Who writes rows: the writer's thread, or under the policy "spill" the calls themselves.
OUTPUTS = ("writer", "calls")

FOLDER = ".capture"
_SUFFIX, _ENDED = ".counters", "ended.jsonl"
_VERSION, _SIZE = 1, 256
#: Places of the numbers of a stream, then of each of its outputs.
ACCEPTED, DROPPED = 0, 1
WRITTEN, START, FILE, FAILED, GIVEN_UP = 0, 1, 2, 3, 4
_PER_OUTPUT = 5
_PER_STREAM = 2 + _PER_OUTPUT * len(OUTPUTS)


def place(stream: int, counter: int) -> int:
    """Where a counter of a stream stands."""
    return 1 + stream * _PER_STREAM + counter


def output_place(stream: int, output: int, counter: int) -> int:
    """Where a counter of an output stands.

    Each has one writer, so that none needs a lock. Beside the rows that it has ``WRITTEN`` and
    ``GIVEN_UP`` these are the number of its open ``FILE``, or 0, and how many rows it had written
    at that file's ``START``. The rows in an open file can be counted, so the count is right even
    if the process was killed between writing and counting.
    """
    return 1 + stream * _PER_STREAM + 2 + _PER_OUTPUT * output + counter


@dataclass(frozen=True)
class Counters:
    """What became of the rows that were handed in: accepted = written + dropped + pending + lost.

    Attributes
    ----------
    accepted
        Rows that were handed in.
    written
        Rows in files.
    dropped
        Rows that were given up: there was no room for them, or no disk until the end.
    pending
        Rows that wait for the writer.
    lost
        Rows that were pending when their process was killed.
    failed
        Fields, not rows, that were left out: a hook raised, or the value has no JSON form.
    cut_off
        Halves of lines at the end of files of killed processes; their rows count as lost.
    write_errors
        Writes that failed; they are tried again.
    """

    accepted: int = 0
    written: int = 0
    dropped: int = 0
    pending: int = 0
    lost: int = 0
    failed: int = 0
    cut_off: int = 0
    write_errors: int = 0

    def __add__(self, other: Counters) -> Counters:
        return Counters(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


class Shared:
    """The numbers of one writer. The lock on the file says that the writer lives."""

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path = path
        self._descriptor = descriptor
        self._map = mmap.mmap(-1 if descriptor is None else descriptor, _SIZE)
        self.numbers = memoryview(self._map).cast("Q")

    def counters(self, stream: int, *, alive: bool = True) -> Counters:
        """What became of the rows of a stream."""
        numbers = self.numbers

        def added_up(counter: int) -> int:
            return sum(numbers[output_place(stream, o, counter)] for o in range(len(OUTPUTS)))

        # What leaves comes first: a row that moves meanwhile is then pending, not counted twice.
        written, failed = added_up(WRITTEN), added_up(FAILED)
        dropped = added_up(GIVEN_UP) + numbers[place(stream, DROPPED)]
        accepted = numbers[place(stream, ACCEPTED)]
        rest = accepted - written - dropped
        return Counters(
            accepted=accepted,
            written=written,
            dropped=dropped,
            pending=rest if alive else 0,
            lost=0 if alive else rest,
            failed=failed,
        )

    def close(self) -> None:
        """Give up the lock."""
        self.numbers.release()
        self._map.close()
        if self._descriptor is not None:
            os.close(self._descriptor)

    def lock(self) -> bool:
        """Take the counters over; False where their writer lives, or they are gone."""
        return (
            self._descriptor is not None
            and _lock(self._descriptor)
            and os.fstat(self._descriptor).st_nlink > 0
        )


def create(folder: Path, writer: str) -> Shared:
    """Make the counters of a new writer."""
    home = folder / FOLDER
    path, made = home / (writer + _SUFFIX), home / f"{writer}.new"
    try:
        home.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
        os.ftruncate(descriptor, _SIZE)
        _lock(descriptor)
        # Under its name only once it is locked, so that nobody takes it for that of a dead process.
        made.rename(path)
        shared = Shared(path, descriptor)
    except OSError:
        # Rows can wait in memory for a disk, so counters that do not outlive the process must do.
        shared = Shared(path, None)
    shared.numbers[0] = _VERSION
    return shared


def abandoned(folder: Path) -> Iterator[Shared]:
    """The counters of writers that ended without saying so; each is ours until it is closed."""
    for path in sorted((folder / FOLDER).glob("*" + _SUFFIX)):
        shared = _open(path)
        if shared is None:
            continue
        try:
            if shared.lock():
                yield shared
        finally:
            shared.close()


def end(shared: Shared, found: dict[str, Counters], how: str) -> None:
    """Write down how a writer ended, and remove its counters."""
    entry = {
        "writer": shared.path.name.removesuffix(_SUFFIX),
        "how": how,
        **{stream: vars(counters) for stream, counters in found.items()},
    }
    descriptor = os.open(shared.path.parent / _ENDED, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        os.write(descriptor, json.dumps(entry).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    shared.path.unlink(missing_ok=True)


def ledger(folder: str | Path) -> dict[str, Counters]:
    """What became of all rows that were ever logged into a landing folder.

    Parameters
    ----------
    folder
        The landing folder.

    Returns
    -------
    dict
        Counters of ``inferences`` and of ``feedback``, added up over all processes: those that
        live, those that ended, and those that were killed.
    """
    folder = Path(folder)
    # Those that live come first: one that ends meanwhile is then found in both, and counted once.
    found: dict[str, dict[str, Counters]] = {}
    for path in sorted((folder / FOLDER).glob("*" + _SUFFIX)):
        shared = _open(path)
        if shared is not None:
            alive = not shared.lock()
            found[path.name.removesuffix(_SUFFIX)] = {
                stream: shared.counters(n, alive=alive) for n, stream in enumerate(STREAMS)
            }
            shared.close()
    for entry in _ended(folder):
        found[entry["writer"]] = {
            stream: Counters(**entry[stream]) for stream in STREAMS if stream in entry
        }
    total = {stream: Counters() for stream in STREAMS}
    for counters in found.values():
        for stream, counted in counters.items():
            total[stream] += counted
    return total


def _ended(folder: Path) -> list[dict[str, Any]]:
    path = folder / FOLDER / _ENDED
    if not path.exists():
        return []
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):  # a line that a crash cut off is written again by recovery
            entries.append(json.loads(line))
    return entries


def _open(path: Path) -> Shared | None:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        return Shared(path, descriptor)
    except (ValueError, OSError):  # shorter than it should be: the disk was full
        os.close(descriptor)
        return None


def _lock(descriptor: int) -> bool:
    """Whether the lock is ours now; False where its writer lives, or there are no locks here."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
