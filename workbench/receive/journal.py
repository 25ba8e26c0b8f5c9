"""Group commit: requests enter lines, one thread writes them, one fsync answers all who wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from workbench.receive.counters import Counters
from workbench.receive.landing import Landing
from workbench.receive.seen import Seen

Outcome = Literal["accepted", "duplicate", "conflict"]
R = TypeVar("R")


@dataclass(frozen=True)
class Entry:
    """What is to land: its key, the digest of what it says, and its line, if it has one."""

    stream: str
    key: bytes
    content: bytes
    line: bytes | None


@dataclass(eq=False)
class Batch:
    """Lines that become durable together, or not at all; `error` says why not."""

    lines: dict[str, list[bytes]] = field(default_factory=dict)
    keys: list[bytes] = field(default_factory=list)
    size: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)
    error: OSError | None = None


class Journal:
    """The way into the landing log, for one event loop.

    Parameters
    ----------
    landing
        The log; from now on it belongs to the journal's thread.
    seen
        What was received before.
    counters
        Told of every commit.
    max_waiting
        Bytes that may wait for the disk before `busy` is true.

    Attributes
    ----------
    failed
        Why the last commit or publication failed; None where it did not.
    """

    def __init__(
        self,
        landing: Landing,
        seen: Seen,
        counters: Counters,
        *,
        max_waiting: int = 128 * 1024 * 1024,
    ) -> None:
        self.failed: OSError | None = None
        self._landing = landing
        self._seen = seen
        self._counters = counters
        self._max_waiting = max_waiting
        self._collecting = Batch()
        self._writing = 0
        self._pending: dict[bytes, Batch] = {}
        self._wake = asyncio.Event()
        self._closing = False
        self._thread = ThreadPoolExecutor(1, "landing")

    @property
    def busy(self) -> bool:
        """Whether more waits for the disk than should be held in memory."""
        return self._collecting.size + self._writing > self._max_waiting

    def contradicts(self, entry: Entry) -> bool:
        """Whether the entry's key was received with another content."""
        return self._seen.get(entry.key) not in (None, entry.content)

    def enter(self, entries: Sequence[Entry]) -> tuple[list[Outcome], set[Batch]]:
        """Enter what is not known yet.

        Returns
        -------
        tuple
            What becomes of each entry, and the batches to wait for with `durable`. A duplicate of
            what is still on its way to the disk waits for it too.
        """
        outcomes: list[Outcome] = []
        batches: set[Batch] = set()
        for entry in entries:
            known = self._seen.get(entry.key)
            if known is None:
                outcomes.append("accepted")
                self._seen.add(entry.key, entry.content)
                self._pending[entry.key] = self._collecting
                self._collecting.keys.append(entry.key)
                if entry.line is not None:
                    self._append(entry.stream, entry.line)
            else:
                outcomes.append("duplicate" if known == entry.content else "conflict")
            if entry.key in self._pending:
                batches.add(self._pending[entry.key])
        self._wake.set()
        return outcomes, batches

    def quarantine(self, lines: Iterable[bytes]) -> set[Batch]:
        """Enter refused events; the batch to wait for."""
        batch = self._collecting
        for line in lines:
            self._append("quarantine", line)
        self._wake.set()
        return {batch}

    def _append(self, stream: str, line: bytes) -> None:
        self._collecting.lines.setdefault(stream, []).append(line)
        self._collecting.size += len(line)

    async def durable(self, batches: Iterable[Batch]) -> None:
        """Wait until the batches are on the disk.

        Raises
        ------
        OSError
            If one of them could not be written; nothing of it counts as received.
        """
        for batch in batches:
            await batch.done.wait()
            if batch.error is not None:
                raise batch.error

    async def run(self) -> None:
        """Write what is entered until `close` is called."""
        while not self._closing or self._collecting.keys or self._collecting.lines:
            await self._wait()
            self._wake.clear()
            batch, self._collecting = self._collecting, Batch()
            if batch.keys or batch.lines:
                await self._commit(batch)
            if self._landing.seconds_to_publication() == 0:
                await self._try(self._landing.publish)
        await self._try(self._landing.close)
        self._thread.shutdown()

    def close(self) -> None:
        """Let `run` write what waits, publish it and end."""
        self._closing = True
        self._wake.set()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._landing.seconds_to_publication()):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _commit(self, batch: Batch) -> None:
        self._writing = batch.size
        started = time.perf_counter()
        batch.error = await self._try(lambda: self._landing.commit(batch.lines))
        self._writing = 0
        for key in batch.keys:
            del self._pending[key]
            if batch.error is not None:
                self._seen.discard(key)
        self._counters.committed(
            lines=sum(map(len, batch.lines.values())),
            seconds=time.perf_counter() - started,
            failed=batch.error is not None,
        )
        batch.done.set()

    async def _try(self, function: Callable[[], None]) -> OSError | None:
        """Run `function` in the log's thread; the error that it ended with."""
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, function)
        except OSError as error:
            self.failed = error
        else:
            self.failed = None
        return self.failed
