"""A model call that is logged when it ends: as a block, or as a decorated function."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextvars import Token
from typing import TYPE_CHECKING, Any

from workbench.capture._context import Request, current
from workbench.capture._copies import copied, copy_all
from workbench.capture._encode import RESULT, Later
from workbench.capture._ids import new_id, trace_of

if TYPE_CHECKING:
    from workbench.capture._log import Log


class Call:
    """One model call, logged at the end of its block, also where the block raises.

    The name of the exception's type is then ``metadata.error``; its text may hold what nobody
    meant to log.

    Attributes
    ----------
    request_id
        Its key.
    """

    def __init__(self, log: Log, columns: Mapping[str, Any]) -> None:
        self._log = log
        outer = current.get()
        given = columns.get("request_id")
        parent_id = None
        if outer is not None:
            self.request_id, parent_id = outer.take(given)
        else:
            self.request_id = new_id() if given is None else str(given)
        trace_id = columns.get("trace_id") or (outer.trace_id if outer else None)
        if trace_id is None:
            # The calls within the first call of a request are steps of its trace.
            trace_id = trace_of((outer.request_id if outer else None) or self.request_id)
        self._columns = {
            "parent_id": parent_id,
            **copy_all(dict(columns)),
            "request_id": self.request_id,
            "trace_id": trace_id,
        }
        self._request = Request(
            self.request_id, trace_id, outer.columns if outer else {}, logged=True
        )
        self._token: Token[Request | None] | None = None
        self._columns.setdefault("ts", time.time_ns())
        self._began = time.perf_counter()

    def add(self, **columns: Any) -> None:
        """Give more columns, such as ``output``."""
        self._columns.update(copy_all(columns))

    def enter(self) -> None:
        """Make this call the current request."""
        self._token = current.set(self._request)

    def leave(self) -> None:
        """Make what was the current request before it again."""
        if self._token is not None:
            current.reset(self._token)
            self._token = None

    def end(self, error: str | None = None) -> None:
        """Log the call."""
        columns = self._columns
        columns.setdefault("latency_ms", round((time.perf_counter() - self._began) * 1000, 3))
        if error is not None:
            columns["error"] = error
        self._log.inference(**columns)

    def __enter__(self) -> Call:
        self.enter()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.leave()
        self.end(kind.__name__ if kind else None)

    async def __aenter__(self) -> Call:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.__exit__(kind)


def traced(
    log: Log,
    input: Callable[..., Any] | None,
    output: Callable[[Any], Mapping[str, Any]] | None,
    columns: Mapping[str, Any],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The decorator of `Log.traced`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        read = input or _reader(function)

        def begin(arguments: tuple[Any, ...], named: dict[str, Any]) -> Call:
            call = Call(log, columns)
            # Before the function runs: it may append the answer to the messages that it was given.
            kept, kept_named = tuple(map(copied, arguments)), copy_all(dict(named))
            call.add(input=Later(lambda: read(*kept, **kept_named)))
            return call

        def finish(call: Call, result: Any) -> None:
            if output is None:
                call.add(output=result)
            else:
                call.add(**{RESULT: Later(functools.partial(output, copied(result)))})

        def finish_stream(call: Call, items: list[Any], error: str | None) -> None:
            whole = items and all(isinstance(item, str) for item in items)
            finish(call, "".join(items) if whole else items)
            call.end(error)

        @functools.wraps(function)
        def plain(*arguments: Any, **named: Any) -> Any:
            with begin(arguments, named) as call:
                result = function(*arguments, **named)
                finish(call, result)
            return result

        @functools.wraps(function)
        async def coroutine(*arguments: Any, **named: Any) -> Any:
            with begin(arguments, named) as call:
                result = await function(*arguments, **named)
                finish(call, result)
            return result

        # Between the items of a stream the caller runs, for whom the call is not the current
        # request: it is made so for each step anew.
        @functools.wraps(function)
        def stream(*arguments: Any, **named: Any) -> Generator[Any, None, Any]:
            call, items, error = begin(arguments, named), [], None
            source = function(*arguments, **named)
            try:
                while True:
                    call.enter()
                    try:
                        item = next(source)
                    except StopIteration as stop:
                        return stop.value
                    finally:
                        call.leave()
                    items.append(item)
                    yield item
            except BaseException as raised:
                error = type(raised).__name__
                raise
            finally:
                source.close()
                finish_stream(call, items, error)

        @functools.wraps(function)
        async def async_stream(*arguments: Any, **named: Any) -> AsyncIterator[Any]:
            call, items, error = begin(arguments, named), [], None
            source = function(*arguments, **named)
            try:
                while True:
                    call.enter()
                    try:
                        item = await anext(source)
                    except StopAsyncIteration:
                        return
                    finally:
                        call.leave()
                    items.append(item)
                    yield item
            except BaseException as raised:
                error = type(raised).__name__
                raise
            finally:
                await source.aclose()
                finish_stream(call, items, error)

        if inspect.isasyncgenfunction(function):
            return async_stream
        if inspect.isgeneratorfunction(function):
            return stream
        return coroutine if inspect.iscoroutinefunction(function) else plain

    return decorate


def _reader(function: Callable[..., Any]) -> Callable[..., Any]:
    """The only argument of a function, or all of them by name."""
    signature = inspect.signature(function)
    names = [name for name in signature.parameters if name not in ("self", "cls")]

    def read(*arguments: Any, **named: Any) -> Any:
        given = dict(signature.bind(*arguments, **named).arguments)
        given.pop("self", None)
        given.pop("cls", None)
        return given.get(names[0]) if len(names) == 1 else given

    return read
