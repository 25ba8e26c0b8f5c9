"""Ids that are made here: ordered by time, unique across threads and forked processes."""

from __future__ import annotations

import hashlib
import os
import random
import time

# Its own generator: many servers seed the module's, which would give all workers the same ids.
_random = random.Random(os.urandom(32))
_getrandbits = _random.getrandbits
os.register_at_fork(after_in_child=lambda: _random.seed(os.urandom(32)))


def new_id() -> str:
    """A new id: a UUID of version 7, so that ids sort by the time at which they were made."""
    now = time.time_ns()
    milliseconds = now // 1_000_000
    return "%08x-%04x-7%03x-%04x-%012x" % (  # noqa: UP031 - takes a third less than an f-string
        milliseconds >> 16,
        milliseconds & 0xFFFF,
        (now - milliseconds * 1_000_000) >> 8,
        _getrandbits(14) | 0x8000,
        _getrandbits(48),
    )


def trace_of(request_id: str) -> str:
    """The W3C trace id of a call that no trace led to: a UUID's own digits, else a hash."""
    digits = request_id.replace("-", "").lower()
    if len(digits) == 32 and set(digits) <= set("0123456789abcdef") and set(digits) != {"0"}:
        return digits
    return hashlib.md5(request_id.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def span_of(request_id: str) -> str:
    """The W3C span id of a call."""
    return trace_of(request_id)[16:]
