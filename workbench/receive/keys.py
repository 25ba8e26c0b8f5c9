"""API keys: named, random, and kept only as their SHA-256.

A key has 256 random bits, so a plain hash cannot be searched; what is slow on purpose would only
slow the service.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from workbench.errors import ConfigError, DataError

#: What a key may be restricted to.
STREAMS = ("feedback", "inferences", "traces")
_PREFIX = "fwk_"


@dataclass(frozen=True)
class Key:
    """A key that the service knows: its name, its hash, and the streams it may write."""

    name: str
    sha256: str
    only: tuple[str, ...]


def keys_file(state: Path) -> Path:
    """Where the keys of a project are kept, given the folder of the program's state."""
    return state / "receive" / "keys.json"


def read(path: Path) -> tuple[Key, ...]:
    """The keys in a file; none where there is no file.

    Raises
    ------
    DataError
        If the file is damaged: a service that took that for "no keys" would be open to all.
    """
    if not path.exists():
        return ()
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return tuple(
            Key(name, entry["sha256"], tuple(entry["only"])) for name, entry in entries.items()
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} cannot be read as a file of keys.",
            "Remove it and make new keys with: workbench receive --new-key NAME",
        ) from error


def create(path: Path, name: str, only: Sequence[str] = STREAMS) -> str:
    """Make a key and keep its hash; the key itself is returned and nowhere else.

    Raises
    ------
    ConfigError
        If there is a key of that name.
    """
    known = read(path)
    if any(key.name == name for key in known):
        raise ConfigError(
            f"There is a key called {name!r}.",
            f"Choose another name, or take {name!r} out of {path} and restart the service.",
        )
    key = _PREFIX + secrets.token_urlsafe(32)
    entries = {entry.name: {"sha256": entry.sha256, "only": list(entry.only)} for entry in known}
    entries[name] = {"sha256": _hash(key), "only": list(only)}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{datetime.now(UTC):%H%M%S%f}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(entries, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return key


def find(keys: Sequence[Key], given: str) -> Key | None:
    """The key that `given` is; every key is compared, in constant time."""
    hashed = _hash(given)
    found = None
    for key in keys:
        if hmac.compare_digest(key.sha256, hashed):
            found = key
    return found


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
