"""Which request is being answered, in this thread or task, and how other processes learn it.

Two headers carry it: ``x-request-id`` the id that feedback names, and ``traceparent`` (W3C) the
trace. ``tracestate`` tells the receiver that the sender logs the request itself, so that the two
do not log one call twice under one id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from workbench.capture._ids import new_id, span_of, trace_of

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
_LOGGED = "workbench=logged"
#: What a header may hold; anything else in an id would be an injection into the next request.
_SAFE = re.compile(r"[!-~]{1,200}")


class Request:
    """The request that is being answered.

    Attributes
    ----------
    request_id
        The id that feedback names; None where only columns were given.
    trace_id
        The trace that it is a step of.
    columns
        Columns of every row that is logged within it.
    unused
        Holds the id until an inference takes it. Of several inferences in one request only the
        first may have its id: two rows of one id would be one inference and a duplicate.
    """

    __slots__ = ("columns", "request_id", "trace_id", "unused")

    def __init__(
        self,
        request_id: str | None,
        trace_id: str | None,
        columns: Mapping[str, Any],
        *,
        logged: bool,
    ) -> None:
        self.request_id = request_id
        self.trace_id = trace_id
        self.columns = columns
        self.unused = [] if logged or request_id is None else [request_id]

    def take(self, given: str | None = None) -> tuple[str, str | None]:
        """The id of the next inference, unless it is given, and that of the step above it."""
        if given is not None:
            given = str(given)
            if given in self.unused:
                self.unused.clear()
            return given, None
        try:
            return self.unused.pop(), None
        except IndexError:
            return new_id(), self.request_id


current: ContextVar[Request | None] = ContextVar("workbench_request", default=None)


@contextmanager
def context(
    *, request_id: str | None = None, trace_id: str | None = None, **columns: Any
) -> Iterator[str]:
    """Say which request is being answered, for all that is logged within the block.

    Parameters
    ----------
    request_id
        Id of the request; made where it is left out and no outer context has one.
    trace_id
        Trace that the request is a step of, 32 hexadecimal digits.
    **columns
        Columns of every inference within, such as ``session_id``; ``user_id``, ``session_id`` and
        ``channel`` are those of feedback too.

    Yields
    ------
    str
        The id of the request.
    """
    outer = current.get()
    merged = {**(outer.columns if outer else {}), **columns}
    if request_id is None and outer is not None and outer.request_id is not None:
        request = Request(outer.request_id, trace_id or outer.trace_id, merged, logged=True)
        request.unused = outer.unused
    else:
        request_id = str(request_id or new_id())
        trace_id = trace_id or (outer.trace_id if outer else None)
        request = Request(request_id, trace_id, merged, logged=False)
    token = current.set(request)
    try:
        yield str(request.request_id)
    finally:
        current.reset(token)


@contextmanager
def from_headers(
    headers: Mapping[str, str] | Iterable[tuple[Any, Any]], **columns: Any
) -> Iterator[str]:
    """Take the request and its trace from the headers of an incoming request.

    Parameters
    ----------
    headers
        Names and values; pairs of bytes, as ASGI has them, will do.
    **columns
        As in `context`.

    Yields
    ------
    str
        The id of the request; made where the headers have none.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found = {_text(name).lower(): _text(value).strip() for name, value in pairs}
    request_id = found.get("x-request-id", "")
    request_id = request_id if _SAFE.fullmatch(request_id) else new_id()
    parent = _TRACEPARENT.fullmatch(found.get("traceparent", "").lower())
    trace_id = parent[1] if parent and set(parent[1]) != {"0"} else None
    outer = current.get()
    states = [state.strip() for state in found.get("tracestate", "").split(",")]
    request = Request(
        request_id,
        trace_id,
        {**(outer.columns if outer else {}), **columns},
        logged=_LOGGED in states,
    )
    token = current.set(request)
    try:
        yield request_id
    finally:
        current.reset(token)


def headers() -> dict[str, str]:
    """The headers by which the next process learns of the current request; none without one."""
    request = current.get()
    if request is None or request.request_id is None:
        return {}
    request_id = request.request_id
    trace_id = request.trace_id or trace_of(request_id)
    found = {"traceparent": f"00-{trace_id}-{span_of(request_id)}-01"}
    if _SAFE.fullmatch(request_id):
        found["x-request-id"] = request_id
        if not request.unused:
            found["tracestate"] = _LOGGED
    return found


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
