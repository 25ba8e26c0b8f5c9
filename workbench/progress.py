"""How far a long run is, and what each of its stages took.

Whoever works says `begin`, `step` and `advance`; that costs next to nothing and does nothing where
nobody asked for it with `recording`. Only where a run is shown are the engine's queries watched.
"""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")

#: Seconds between two looks at a run.
PERIOD = 0.1
_STATM = "/proc/self/statm"


@dataclass
class Stage:
    """One stage of a run.

    Attributes
    ----------
    name
        What it does.
    unit
        What `total` counts: ``rows`` or ``bytes``; None where it counts steps.
    total
        How much there is to do; None where nobody knows.
    rows, bytes
        What went through it so far; None where it is not counted.
    seconds
        How long it took, once it has ended.
    peak_memory
        Greatest resident memory of the process during it, in bytes.
    """

    name: str
    unit: str | None = None
    total: float | None = None
    rows: int | None = None
    bytes: int | None = None
    seconds: float | None = None
    peak_memory: int | None = None
    _steps: int = 1
    _done: float = 0.0
    _weight: float = 0.0
    _part: tuple[int, int] = (0, 1)
    _most: float = 0.0
    _connection: duckdb.DuckDBPyConnection | None = field(default=None, repr=False)
    _started: float = field(default_factory=time.perf_counter)
    _high: int = 0

    @property
    def elapsed(self) -> float:
        """Seconds since it began, or that it took."""
        return time.perf_counter() - self._started if self.seconds is None else self.seconds

    @property
    def fraction(self) -> float | None:
        """How much of it is done, between 0 and 1; None where nobody knows. It never falls."""
        if self.seconds is not None:
            return 1.0
        if not self.total:
            return None
        part, parts = self._part
        inner = (part + self._queried()) / parts
        self._most = max(self._most, min(1.0, (self._done + self._weight * inner) / self.total))
        return self._most

    @property
    def rate(self) -> float | None:
        """Rows or bytes in a second; None where neither is counted, or none was done."""
        if self.unit is None or self.total is None or not self.elapsed:
            return None
        return (self.fraction or 0.0) * self.total / self.elapsed or None

    def _queried(self) -> float:
        """How much of the query that runs is done, as the engine says."""
        if self._connection is None:
            return 0.0
        try:
            return max(0.0, self._connection.query_progress()) / 100
        except Exception:  # noqa: BLE001
            # It was closed meanwhile; what is shown ends no run.
            return 0.0


@dataclass
class Run:
    """The stages of a run so far, the last of which may not have ended."""

    stages: list[Stage] = field(default_factory=list)
    shown: bool = False

    def end(self) -> None:
        """End the stage that has begun last."""
        if self.stages and self.stages[-1].seconds is None:
            stage = self.stages[-1]
            _sample(stage)
            # What the stage raised is exact; below it there are only samples.
            if (high := _high_water()) > stage._high:
                stage.peak_memory = high
            stage._connection = None
            stage.seconds = time.perf_counter() - stage._started


_RUN: ContextVar[Run | None] = ContextVar("run", default=None)


@contextmanager
def recording(
    show: Callable[[Run], None] | None = None,
) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Keep the stages of what runs in a block; a block inside of another adds to its run.

    Parameters
    ----------
    show
        Called every `PERIOD` from a thread of its own, and at the end, with the run so far.

    Yields
    ------
    callable
        Ends the last stage and returns those of this block: ``stage``, ``seconds``, ``rows``,
        ``bytes``, ``peak_memory``, and the ``reason`` of a peak that is not known.
    """
    outer = _RUN.get()
    run = outer or Run(shown=show is not None)
    first = len(run.stages)

    def told() -> list[dict[str, Any]]:
        run.end()
        return [_told(stage) for stage in run.stages[first:]]

    if outer is not None:
        yield told
        return
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(run, over, show), daemon=True)
    before = _RUN.set(run)
    watcher.start()
    try:
        yield told
        run.end()
    finally:
        _RUN.reset(before)
        over.set()
        watcher.join()


def begin(
    name: str,
    *,
    total: float | None = None,
    unit: str | None = None,
    steps: int = 0,
    connection: duckdb.DuckDBPyConnection | None = None,
) -> None:
    """Begin a stage, which ends the one before.

    Parameters
    ----------
    name
        What it does.
    total
        How much there is to do, in `unit`; its steps when None.
    unit
        ``rows``, of which all will have gone through at the end, or ``bytes``.
    steps
        Number of the calls of `step` that will come.
    connection
        Where its queries run.
    """
    run = _RUN.get()
    if run is None:
        return
    run.end()
    if total is None and steps:
        total = float(steps)
    stage = Stage(name, unit, total, _steps=max(1, steps), _high=_high_water())
    if unit == "rows" and total is not None:
        stage.rows = int(total)
    _sample(stage)
    run.stages.append(stage)
    if connection is not None:
        attach(connection)


def attach(connection: duckdb.DuckDBPyConnection) -> None:
    """Say on which connection the queries of the stage run."""
    run = _RUN.get()
    if run is None or not run.shown or not run.stages:
        return
    # A SET is refused on a connection that is locked; these are not. What is printed is ours.
    connection.execute("PRAGMA enable_progress_bar")
    connection.execute("PRAGMA disable_print_progress_bar")
    run.stages[-1]._connection = connection


def steps(n: int) -> None:
    """Say of how many steps the stage is made, where that was not known when it began."""
    if stage := _stage():
        stage._steps = max(1, n)
        stage.total = stage.total or float(stage._steps)


def step(
    weight: float | None = None, *, connection: duckdb.DuckDBPyConnection | None = None
) -> None:
    """Begin the next step of the stage, which ends the one before.

    Parameters
    ----------
    weight
        Its share of the total, in its unit; as much as every other when None.
    connection
        Where its queries run, if not where those of the step before did.
    """
    if (stage := _stage()) and stage.total:
        done = stage._done + stage._weight
        following = stage.total / stage._steps if weight is None else weight
        stage._part = (0, 1)
        stage._done, stage._weight = done, following
    if connection is not None:
        attach(connection)


def part(number: int, n: int) -> None:
    """Say that the query number `number` of the `n` of the step comes next."""
    if stage := _stage():
        stage._part = (number, n)


def advance(*, rows: int = 0, bytes: int = 0) -> None:
    """Count what went through the stage."""
    if stage := _stage():
        if stage.unit == "rows" and stage.total is not None:
            stage._done += rows
        elif rows:
            stage.rows = (stage.rows or 0) + rows
        if bytes:
            stage.bytes = (stage.bytes or 0) + bytes


def carried(items: Iterator[T]) -> Iterator[T]:
    """The same items, which say their progress even where a library's own thread asks for them."""
    context = copy_context()

    def each() -> Iterator[T]:
        with suppress(StopIteration):
            while True:
                yield context.run(next, items)

    return each()


def _stage() -> Stage | None:
    run = _RUN.get()
    return run.stages[-1] if run is not None and run.stages else None


def seconds(stages: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds by stage, of what `recording` told; those of all that is ingested are one."""
    found: dict[str, float] = {}
    for stage in stages:
        name = "ingest" if stage["stage"].startswith("ingest ") else stage["stage"]
        found[name] = round(found.get(name, 0.0) + stage["seconds"], 3)
    return found


def _told(stage: Stage) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "seconds": round(stage.seconds or 0.0, 3),
        "rows": stage.rows,
        "bytes": stage.bytes,
        "peak_memory": stage.peak_memory,
        "reason": None if stage.peak_memory else "not_measured",
    }


def _watch(run: Run, over: threading.Event, show: Callable[[Run], None] | None) -> None:
    going = True
    while going:
        going = not over.wait(PERIOD)
        if run.stages and run.stages[-1].seconds is None:
            _sample(run.stages[-1])
        if show is not None:
            show(run)


def _sample(stage: Stage) -> None:
    """Note the resident memory of now, where the system says it."""
    with suppress(OSError), open(_STATM, encoding="ascii") as file:
        now = int(file.read().split()[1]) * resource.getpagesize()
        stage.peak_memory = max(stage.peak_memory or 0, now)


def _high_water() -> int:
    """The greatest resident memory of the process so far, in bytes.

    The kernel could be told to forget it at the start of a stage; but then whoever measures the
    process from outside, as ``time -v`` does, would be told the peak of its last stage.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        # In bytes on a Mac, which has no such file.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
