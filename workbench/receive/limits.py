"""Limits of rate and of size."""

from __future__ import annotations

import time
import zlib
from collections import OrderedDict
from collections.abc import Callable

from starlette.requests import Request

#: Senders whose rate is remembered.
_SENDERS = 10_000


class TooLargeError(Exception):
    """A body is larger than the limit."""


class Rate:
    """A token bucket per sender, filled with `per_second` tokens and holding a second's worth.

    What a request costs is known once it is read, so a bucket may be overdrawn by one request and
    is then waited for.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, sender: str) -> float:
        """Seconds until `sender` may send again; 0 where it may now."""
        return max(0.0, -self._tokens(sender) / self._per_second)

    def charge(self, sender: str, events: int) -> None:
        """Take `events` tokens."""
        self._buckets[sender] = (self._tokens(sender) - events, self._clock())
        self._buckets.move_to_end(sender)
        if len(self._buckets) > _SENDERS:
            self._buckets.popitem(last=False)

    def _tokens(self, sender: str) -> float:
        now = self._clock()
        tokens, since = self._buckets.get(sender, (self._per_second, now))
        return min(self._per_second, tokens + (now - since) * self._per_second)


async def body(request: Request, limit: int) -> bytes:
    """Read the body of a request, unpacked.

    Raises
    ------
    TooLargeError
        If it has more than `limit` bytes, packed or unpacked.
    ValueError
        If it is not packed as its ``Content-Encoding`` says.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise TooLargeError
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise TooLargeError
        parts.append(part)
    content = b"".join(parts)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return content
    if encoding != "gzip":
        raise ValueError(f"the Content-Encoding {encoding!r} is not gzip")
    return _unpack(content, limit)


def _unpack(content: bytes, limit: int) -> bytes:
    unpacking = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacking.decompress(content, limit + 1)
    except zlib.error as error:
        raise ValueError("the body is not gzip") from error
    if len(unpacked) > limit:
        raise TooLargeError
    if not unpacking.eof or unpacking.unused_data:
        raise ValueError("the body is not one whole gzip member")
    return unpacked
