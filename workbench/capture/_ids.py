"""Ids that are made here: ordered by time, unique across threads and forked processes."""

from __future__ import annotations

import hashlib
import os
import time

#: Random ends of ids, which the writer's thread makes ahead. They come from the operating system,
#: because servers that seed the module's generator would give all their workers the same. The last
#: one made is taken first: it is still in the processor's cache.
_ends: list[str] = []
READY, _BYTES = 2048, 8
# A child would otherwise use the same ones as its parent.
os.register_at_fork(after_in_child=_ends.clear)
#: Above all digits of a time, so that each time has as many.
_ABOVE = 1 << 60


def new_id() -> str:
    """A new id: a UUID of version 7, so that ids sort by the time at which they were made."""
    return id_at(time.time_ns())


def id_at(now: int) -> str:
    """A new id, made at so many nanoseconds."""
    try:
        end = _ends.pop()
    except IndexError:
        end = _made(1)[0]
    # Milliseconds and twelve bits of their fraction: now * 4096 // 10**6, in smaller numbers.
    # Slices of all digits take two thirds of the time of formatting each part.
    digits = hex((now << 6) // 15625 | _ABOVE)
    return f"{digits[3:11]}-{digits[11:15]}-7{digits[15:]}-{end}"


def restock(number: int) -> None:
    """Make some random ends ahead, unless there are plenty."""
    if len(_ends) < READY:
        _ends.extend(_made(number))


def _made(number: int) -> list[str]:
    digits = os.urandom(_BYTES * number).hex()
    width = 2 * _BYTES
    return [
        f"{_VARIANT[int(digits[i], 16) & 3]}{digits[i + 1 : i + 4]}-{digits[i + 4 : i + width]}"
        for i in range(0, len(digits), width)
    ]


#: The first digit of the second half, of which two bits are fixed.
_VARIANT = "89ab"


def trace_of(request_id: str) -> str:
    """The W3C trace id of a call that no trace led to: a UUID's own digits, else a hash."""
    digits = request_id.replace("-", "").lower()
    if len(digits) == 32 and set(digits) <= set("0123456789abcdef") and set(digits) != {"0"}:
        return digits
    return hashlib.md5(request_id.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def span_of(request_id: str) -> str:
    """The W3C span id of a call."""
    return trace_of(request_id)[16:]
