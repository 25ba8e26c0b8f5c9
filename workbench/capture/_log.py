"""The log: what a serving process calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from time import time_ns
from typing import Any, ParamSpec, TypeVar

from workbench.capture import _process
from workbench.capture._calls import Call, traced
from workbench.capture._columns import SHARED
from workbench.capture._context import current
from workbench.capture._copies import copy_all
from workbench.capture._counters import STREAMS, Counters
from workbench.capture._encode import Row
from workbench.capture._files import recover
from workbench.capture._ids import id_at
from workbench.capture._writer import Settings, Writer

_INFERENCES, _FEEDBACK = range(len(STREAMS))
_WIDER = frozenset(("scope", "chosen_id", "retracts"))

P = ParamSpec("P")
R = TypeVar("R")


class Log:
    """Logs model calls and feedback into a landing folder, off the path of the calls.

    Made by `workbench.capture.open`. No method raises because of what is logged, or of the disk;
    what went wrong is in `counters` and `last_error`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._writer: Writer | None = None
        self._closed = False
        self._starting = threading.Lock()
        self._error: Exception | None = None
        for stream in STREAMS:
            (settings.folder / stream).mkdir(parents=True, exist_ok=True)
        recover(settings.folder)
        _process.adopt(self)

    @property
    def folder(self) -> Path:
        """The landing folder."""
        return self._settings.folder

    @property
    def last_error(self) -> Exception | None:
        """What went wrong last, if anything did."""
        written = self._writer.last_error if self._writer is not None else None
        return written or self._error

    def inference(self, /, *, request_id: str | None = None, **columns: Any) -> str:
        """Log a model call.

        Parameters
        ----------
        request_id
            Its key; made where it is left out, or that of the current request.
        **columns
            Columns of ``inferences``. ``ts`` is now unless it is given; ``features`` is a mapping
            by name. What has another name goes to ``metadata``.

        Returns
        -------
        str
            The key, which feedback has to name.
        """
        now = time_ns()
        request = current.get()
        if request is None:
            request_id = id_at(now) if request_id is None else str(request_id)
        else:
            request_id, parent_id = request.take(request_id)
            origin = {"trace_id": request.trace_id, "parent_id": parent_id}
            columns = {**origin, **request.columns, **columns}
        self.put(_INFERENCES, columns, request_id, now)
        return request_id

    def feedback(
        self, /, *, name: str, value: Any = None, request_id: str | None = None, **columns: Any
    ) -> str:
        """Log a feedback event.

        Parameters
        ----------
        name
            Name of the signal.
        value
            The signal itself.
        request_id
            The inference that it judges; that of the current request where it is left out, unless
            the event says otherwise by ``scope``, ``chosen_id`` or ``retracts``.
        **columns
            Columns of ``feedback``. ``ts`` is now and ``feedback_id`` is made unless given.

        Returns
        -------
        str
            The ``feedback_id``.
        """
        now = time_ns()
        row = {"request_id": request_id, "name": name, "value": value}
        request = current.get()
        if request is not None:
            row |= {key: request.columns[key] for key in SHARED if key in request.columns}
            if request_id is None and not _WIDER & columns.keys():
                row["request_id"] = request.request_id
            elif columns.get("scope") == "trace":
                row["trace_id"] = request.trace_id
        row |= columns
        feedback_id = row.pop("feedback_id", None)
        feedback_id = id_at(now) if feedback_id is None else str(feedback_id)
        self.put(_FEEDBACK, row, feedback_id, now)
        return feedback_id

    def call(self, **columns: Any) -> Call:
        """Log what happens in a ``with`` or ``async with`` block as one model call.

        Parameters
        ----------
        **columns
            Columns that are known beforehand; `Call.add` gives the others. ``ts`` and
            ``latency_ms`` are measured.

        Returns
        -------
        Call
            The context manager. Within it the call is the current request.
        """
        return Call(self, columns)

    def traced(
        self,
        *,
        input: Callable[..., Any] | None = None,
        output: Callable[[Any], Mapping[str, Any]] | None = None,
        **columns: Any,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorate a function, coroutine function or generator so that its calls are logged.

        Parameters
        ----------
        input
            Makes the column ``input`` from the arguments. Without it, it is the only argument, or
            an object of the arguments by name.
        output
            Makes columns from the result. Without it the result is the column ``output``; of a
            generator that is all that it yielded, in one text if all of it is text.
        **columns
            Columns that are known beforehand.

        Returns
        -------
        callable
            The decorator.

        Notes
        -----
        Both functions run on the writer's thread, after the call.
        """
        return traced(self, input, output, columns)

    def put(self, stream: int, columns: dict[str, Any], key: str, now: int) -> None:
        """Hand a row to the writer."""
        try:
            (self._writer or self._begin()).put(stream, 1, copy_all(columns), key, now)
        except Exception as error:  # noqa: BLE001 - logging may never break what it is about
            self.failed(error)

    def put_rows(self, stream: int, make: Callable[[], Iterable[Row]], rows: int) -> None:
        """Hand to the writer what makes rows on its thread."""
        try:
            (self._writer or self._begin()).put(stream, rows, make, "", 0)
        except Exception as error:  # noqa: BLE001 - logging may never break what it is about
            self.failed(error)

    def failed(self, error: Exception) -> None:
        """Remember what went wrong."""
        self._error = error

    def counters(self) -> Counters:
        """What became of the rows that this process handed in."""
        return Counters() if self._writer is None else self._writer.counters()

    def flush(self, timeout: float = 10.0, *, publish: bool = False) -> bool:
        """Wait until everything that was handed in before is in files.

        Parameters
        ----------
        timeout
            Seconds to wait at most.
        publish
            Rename the open files too, so that a build reads them.

        Returns
        -------
        bool
            Whether that was done in time.
        """
        return self._writer is None or self._writer.flush(timeout, publish=publish)

    def close(self, timeout: float = 10.0) -> bool:
        """Write what is left, publish the files, and end; what comes later is dropped.

        Parameters
        ----------
        timeout
            Seconds after which what could not be written is given up.

        Returns
        -------
        bool
            Whether everything was written.
        """
        self._closed = True
        done = self._writer is None or self._writer.close(timeout)
        _process.release(self)
        return done

    def forked(self) -> None:
        """Begin anew in a forked process; what waits in the queue is its parent's to write."""
        if self._writer is not None:
            self._writer.forget()
        self._writer = None
        self._starting = threading.Lock()

    @contextmanager
    def frozen(self, timeout: float) -> Iterator[None]:
        """Write and publish everything, and let no call hand in more within the block."""
        with nullcontext() if self._writer is None else self._writer.frozen(timeout):
            yield

    def _begin(self) -> Writer:
        with self._starting:
            if self._writer is None:
                if self._closed:
                    raise RuntimeError("the log is closed")
                self._writer = Writer(self._settings)
            return self._writer

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
