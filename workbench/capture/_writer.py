"""The queue between the calls and the files, and the thread that empties it.

The calls only append to the queue. They do not wake the thread either, which would cost a system
call each: it looks by itself, every few hundredths of a second. It holds the interpreter's lock for
a few rows at a time and then sleeps, so that a call never waits for it long; the longer the queue,
the more rows it takes at once.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from workbench.capture import _counters
from workbench.capture._columns import FEEDBACK, INFERENCES
from workbench.capture._counters import ACCEPTED, DROPPED, FAILED, GIVEN_UP, STREAMS, Counters
from workbench.capture._encode import Row, Rules, line
from workbench.capture._files import Output, recover
from workbench.capture._ids import READY, restock
from workbench.landing_files import writer_name

#: One row, or what makes the rows of one call on the writer's thread.
Payload = Row | Callable[[], Iterable[Row]]
#: Stream, number of rows and payload; then the key and the time of a row that need not be made any
#: more. They are not in the row, because a dictionary that grows for them costs the call more.
Item = tuple[int, int, Payload, str, int]

WhenFull = Literal["drop", "block", "spill"]
Durability = Literal["batch", "fsync"]

_CONTRACTS = (INFERENCES, FEEDBACK)
_KEYS = ("request_id", "feedback_id")
#: The thread takes so many rows at once, and one more for so many that wait; then it sleeps.
_SLICE, _SLICES, _PAUSE = 8, 32, 50e-6
_BATCH_BYTES = 256 * 1024
#: How long a call may wait for another one that writes to disk itself.
_SPILL_SECONDS = 1.0


@dataclass(frozen=True)
class Settings:
    """How a log writes; `workbench.capture.open` says what each means."""

    folder: Path
    when_full: WhenFull = "drop"
    max_pending: int = 10_000
    block_seconds: float = 1.0
    durability: Durability = "batch"
    flush_seconds: float = 0.05
    max_rows: int = 100_000
    max_bytes: int = 64 * 1024 * 1024
    max_age: float = 30.0
    rules: Rules = field(default_factory=Rules)
    columns: Mapping[str, Any] = field(default_factory=dict)


class Writer:
    """One queue, one thread and the open files of one process.

    The thread never takes `lock`, so that the handler of a signal can hold it and wait for the
    thread; and it can be taken twice, because the handler may interrupt the call that has it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lock = threading.RLock()
        self._limit = settings.max_pending
        self.last_error: Exception | None = None
        self.write_errors = 0
        self._shared = _counters.create(settings.folder, writer_name())
        self._numbers = self._shared.numbers
        self._accepted = tuple(_counters.place(s, ACCEPTED) for s in range(len(STREAMS)))
        self._dropped = tuple(_counters.place(s, DROPPED) for s in range(len(STREAMS)))
        self._queue: deque[Item] = deque()
        self._queued = self._done = 0
        self._closed = self._stop = self._hurry = False
        self._publications = self._published = 0
        self._give_up_at = float("inf")
        self._outputs, self._spills = (
            [Output(settings.folder, self._shared, s, output) for s in range(len(STREAMS))]
            for output in range(len(_counters.OUTPUTS))
        )
        self._spilling = threading.Lock()
        self._hand: list[list[bytes]] = [[] for _ in STREAMS]
        self._in_hand = [0 for _ in STREAMS]
        self._bytes = 0
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="workbench-capture", daemon=True)
        self._thread.start()

    def put(self, stream: int, rows: int, payload: Payload, key: str, now: int) -> None:
        """Hand in rows, or one row but for its key and its time."""
        item = (stream, rows, payload, key, now)
        with self.lock:
            self._numbers[self._accepted[stream]] += rows
            # `_admit` alone would do, at the price of one more call for each row.
            if self._queued + rows - self._done <= self._limit:
                self._queue.append(item)
                self._queued += rows
                return
            if self._admit(item):
                return
        if not self._closed:
            if self.settings.when_full == "block" and self._wait(item):
                return
            if self.settings.when_full == "spill" and self._spill(item):
                return
        with self.lock:
            self._numbers[self._dropped[stream]] += rows

    def counters(self) -> Counters:
        """What became of all rows."""
        with self.lock:
            found = [self._shared.counters(stream) for stream in range(len(STREAMS))]
        return replace(sum(found, Counters()), write_errors=self.write_errors)

    def flush(self, timeout: float, *, publish: bool = False) -> bool:
        """Wait until all rows that were handed in before are in files; whether they are."""
        with self.lock:
            target = self._queued
            if publish:
                self._publications += 1
            publication = self._publications if publish else 0
        deadline = time.monotonic() + timeout
        self._hurry = True
        try:
            while self._done < target or self._published < publication:
                if time.monotonic() > deadline or not self._thread.is_alive():
                    return self._done >= target and self._published >= publication
                self._wake.set()
                time.sleep(0.001)
        finally:
            self._hurry = False
        return True

    @contextmanager
    def frozen(self, timeout: float) -> Iterator[None]:
        """Write and publish everything, and let no call hand in or write more within the block."""
        with self.lock:
            self.flush(timeout, publish=True)
            spilling = self._spilling.acquire(timeout=_SPILL_SECONDS)
            try:
                if spilling:
                    for output in self._spills:
                        with suppress(OSError):  # the next process publishes it
                            output.publish()
                yield
            finally:
                if spilling:
                    self._spilling.release()

    def close(self, timeout: float) -> bool:
        """Write what is left and end; whether everything was written."""
        with self.lock:
            if self._closed:
                return True
            self._closed = True
            self._limit = -1  # no call finds room any more
        self._give_up_at = time.monotonic() + timeout
        self._hurry = self._stop = True
        self._wake.set()
        # The thread itself gives up in time; a disk that hangs is what it may not survive.
        self._thread.join(timeout + 1.0)
        if self._thread.is_alive():
            return False
        left = [sum(item[1] for item in self._queue if item[0] == n) for n in range(len(STREAMS))]
        with self.lock:
            for stream, rows in enumerate(left):
                self._numbers[self._dropped[stream]] += rows + self._in_hand[stream]
            found = {}
            for stream, name in enumerate(STREAMS):
                counted = self._shared.counters(stream)
                # What is pending now is in a call that will find the log closed.
                dropped = counted.dropped + counted.pending
                found[name] = replace(counted, dropped=dropped, pending=0)
        lost = sum(left) + sum(self._in_hand)
        # A file that is still open is left to the next process, and the counters with it.
        if not any(output.is_open for output in (*self._outputs, *self._spills)):
            with suppress(OSError):
                _counters.end(self._shared, found, "closed")
        return not lost

    def forget(self) -> None:
        """Let go of what belongs to the process that this one was forked from."""
        for output in (*self._outputs, *self._spills):
            output.forget()
        self._shared.close()

    def _admit(self, item: Item) -> bool:
        """Queue rows if they have room; where nothing waits any number of them has."""
        rows, waiting = item[1], self._queued - self._done
        if self._closed or (waiting and waiting + rows > self._limit):
            return False
        self._queue.append(item)
        self._queued += rows
        return True

    def _wait(self, item: Item) -> bool:
        """Wait for room."""
        deadline = time.monotonic() + self.settings.block_seconds
        while time.monotonic() < deadline and not self._closed:
            self._wake.set()
            time.sleep(0.001)
            with self.lock:
                if self._admit(item):
                    return True
        return False

    def _spill(self, item: Item) -> bool:
        """Write rows from the call itself, which slows it down to what the disk can take."""
        stream, rows = item[:2]
        lines, failed, _ = self._encode(item)
        # A signal's handler may run in the middle of this, and log: it must not wait for ever.
        if not self._spilling.acquire(timeout=_SPILL_SECONDS):
            return False
        try:
            if self._closed or len(lines) < rows:
                return False
            output = self._spills[stream]
            output.append(b"".join(lines), rows, sync=self.settings.durability == "fsync")
            output.count(FAILED, failed)
        except OSError as error:
            self._failed(error)
            return False
        finally:
            self._spilling.release()
        return True

    def _encode(self, item: Item) -> tuple[list[bytes], int, int]:
        """Lines of a payload, how many fields were left out, and how many rows have no line."""
        stream, number, payload, key, now = item
        lines: list[bytes] = []
        failed = 0
        try:
            if isinstance(payload, dict):
                rows: Iterable[Row] = ({"ts": now, **payload, _KEYS[stream]: key},)
            else:
                rows = payload()
            for row in rows:
                if stream == 0 and self.settings.columns:
                    row = {**self.settings.columns, **row}
                encoded, faults = line(row, _CONTRACTS[stream], self.settings.rules)
                lines.append(encoded)
                failed += faults
        except Exception as error:  # noqa: BLE001 - what is in a row is the user's
            self._failed(error)
        return lines, failed, number - len(lines)

    def _run(self) -> None:
        restock(READY)
        with suppress(OSError):
            recover(self.settings.folder)
        while True:
            self._wake.wait(self.settings.flush_seconds)
            self._wake.clear()
            try:
                self._drain()
                self._publish()
                if self._stop and not self._waiting():
                    return
            except Exception as error:  # noqa: BLE001 - the thread may not die before its process
                self._failed(error)
            if time.monotonic() > self._give_up_at:
                with suppress(OSError):
                    self._publish()
                return

    def _waiting(self) -> bool:
        return self._done < self._queued or self._published < self._publications

    def _drain(self) -> None:
        """Write all that waits.

        Raises
        ------
        OSError
            If a write failed. Its lines are kept in hand, and no more are taken until it works.
        """
        if self._bytes >= _BATCH_BYTES:
            self._write()
        while self._queue:
            items = _SLICE + len(self._queue) // _SLICES
            self._take(items)
            restock(items)
            if self._bytes >= _BATCH_BYTES:
                self._write()
            if self._queue and not self._hurry:
                time.sleep(_PAUSE)
        self._write()

    def _take(self, items: int) -> None:
        for _ in range(min(items, len(self._queue))):
            item = self._queue.popleft()
            lines, failed, without = self._encode(item)
            stream = item[0]
            output = self._outputs[stream]
            output.count(FAILED, failed)
            output.count(GIVEN_UP, without)
            self._hand[stream] += lines
            self._in_hand[stream] += len(lines)
            self._bytes += sum(map(len, lines))
            self._done += without

    def _write(self) -> None:
        for stream, lines in enumerate(self._hand):
            if lines:
                rows = len(lines)
                self._outputs[stream].append(
                    b"".join(lines), rows, sync=self.settings.durability == "fsync"
                )
                self._hand[stream] = []
                self._in_hand[stream] = 0
                self._done += rows
        self._bytes = 0

    def _publish(self) -> None:
        """Give the files that are large or old enough their names, all of them if asked to."""
        settings, asked = self.settings, self._publications
        everything = self._stop or asked > self._published
        limits = settings.max_bytes, settings.max_rows, settings.max_age
        for output in self._outputs:
            if everything or output.due(*limits):
                output.publish()
        if self._spilling.acquire(timeout=_SPILL_SECONDS if everything else 0):
            try:
                for output in self._spills:
                    if everything or output.due(*limits):
                        output.publish()
            finally:
                self._spilling.release()
        self._published = asked

    def _failed(self, error: Exception) -> None:
        self.last_error = error
        self.write_errors += 1
