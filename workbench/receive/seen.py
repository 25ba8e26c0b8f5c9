"""What was received before: identities and digests of the newest events, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from workbench.receive.landing import published

#: Field that identifies an event of a stream.
IDENTITY = {"feedback": "feedback_id", "inferences": "request_id"}

#: Fields of a landed line that the service wrote; they are no part of what the sender said.
OWN_FIELDS = ("received_at", "schema_version", "idempotency_key", "request_digest")


def digest(content: bytes) -> bytes:
    """A short digest of `content`."""
    return blake2b(content, digest_size=16).digest()


def identity(stream: str, event: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """The key of an event, and the digest of what it says.

    An event that names no identity is its content, and can then never contradict itself.
    """
    said = {name: value for name, value in event.items() if name not in OWN_FIELDS}
    content = digest(orjson.dumps(said, option=orjson.OPT_SORT_KEYS))
    named = event.get(IDENTITY.get(stream, ""))
    if named is None:
        return digest(b"content\0" + stream.encode() + content), content
    return digest(f"{stream}\0{named}".encode()), content


def request_key(key: str) -> bytes:
    """Where the digest of a request is found by its Idempotency-Key."""
    return digest(f"request\0{key}".encode())


class Seen:
    """Digests by key: at least the newest `remember` of them, at most twice as many.

    Two generations: when the young one is full it becomes the old one, and the old one goes.
    """

    def __init__(self, remember: int) -> None:
        self._remember = remember
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: bytes) -> bytes | None:
        """The digest that `key` was received with."""
        return self._young.get(key) or self._old.get(key)

    def add(self, key: bytes, content: bytes) -> None:
        """Remember `key`."""
        if len(self._young) >= self._remember:
            self._old, self._young = self._young, {}
        self._young[key] = content

    def discard(self, key: bytes) -> None:
        """Forget `key`: it was not kept after all."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def read(self, root: Path) -> None:
        """Remember the newest events of the landing log in `root`."""
        entries: list[tuple[bytes, bytes]] = []
        files = [
            (path.name, stream, path)
            for stream in ("feedback", "inferences", "traces")
            for path in published(root, stream)
        ]
        for _, stream, path in sorted(files, reverse=True):
            # Of one file the later lines are the newer ones.
            entries += reversed(list(_entries(stream, path)))
            if len(entries) >= self._remember:
                break
        for key, content in reversed(entries[: self._remember]):
            self.add(key, content)


def _entries(stream: str, path: Path) -> Iterator[tuple[bytes, bytes]]:
    with path.open("rb") as file:
        for line in file:
            try:
                event = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if not isinstance(event, dict):
                continue
            yield identity(stream, event)
            key, request = event.get("idempotency_key"), event.get("request_digest")
            if isinstance(key, str) and isinstance(request, str) and len(request) == 32:
                try:
                    yield request_key(key), bytes.fromhex(request)
                except ValueError:
                    continue
