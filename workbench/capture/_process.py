"""What a log does when its process ends or forks."""

from __future__ import annotations

import atexit
import os
import signal
import threading
from contextlib import ExitStack
from multiprocessing import util
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.capture._log import Log

_SECONDS = 10.0
_logs: list[Log] = []
_hooked = _listening = False
_previous: object = signal.SIG_DFL


def adopt(log: Log) -> None:
    """Close a log at exit, flush it on SIGTERM, and give it a new writer in forked processes."""
    global _hooked
    _logs.append(log)
    if not _hooked:
        _hooked = True
        atexit.register(_close)
        os.register_at_fork(after_in_child=_forked)
        # A child of multiprocessing leaves without atexit, and clears what was registered before.
        util.register_after_fork(_finalized, lambda _: _finalized.register())
    _listen()


def release(log: Log) -> None:
    """Forget a log that was closed."""
    if log in _logs:
        _logs.remove(log)


def _close() -> None:
    for log in _logs.copy():
        log.close(_SECONDS)


def _forked() -> None:
    for log in _logs:
        log.forked()


class _Finalized:
    def register(self) -> None:
        util.Finalize(None, _close, exitpriority=0)


_finalized = _Finalized()


def _listen() -> None:
    """Put the handler before whatever handles SIGTERM now, once: who replaces it has reasons."""
    global _previous, _listening
    # Only the main thread may. Without the handler the rows are still written at exit.
    if _listening or threading.current_thread() is not threading.main_thread():
        return
    previous = signal.getsignal(signal.SIGTERM)
    # None is a handler that was not installed from Python: it cannot be called, so it stays.
    if previous not in (signal.SIG_IGN, None):
        _previous, _listening = previous, True
        signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    if callable(_previous):
        for log in _logs.copy():
            log.flush(_SECONDS)
        _previous(number, frame)
        return
    # Calls of other threads wait from here until the process is gone: what they would hand in
    # could not be written any more.
    with ExitStack() as held:
        for log in _logs.copy():
            held.enter_context(log.frozen(_SECONDS))
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    # Still here: the first process of a container does not die of a signal's default.
    signal.signal(signal.SIGTERM, _on_sigterm)
