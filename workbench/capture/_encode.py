"""From what a call handed in to one line of JSON. All of it runs on the writer's thread.

A value that JSON cannot hold never costs the row: what is not a finite number becomes null, what
cannot be written at all is left out, and ``metadata.capture`` says of which columns that is true.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from workbench.capture._columns import FEEDBACK, INFERENCES

Row = dict[str, Any]
Hook = Callable[[Any], Any]
#: What is less is a time that the caller gave in another unit, which ingest can tell.
_NANOSECONDS = 10**17
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Deeper than any real message; a structure that holds itself ends here.
_DEEPEST = 60
#: Hexadecimal digits of a hash that make its random number, as in the samplers.
_DIGITS = 13
_RANGE = float(16**_DIGITS)


@dataclass(frozen=True)
class Rules:
    """What becomes of columns on their way to the file.

    Attributes
    ----------
    redact
        By column, what its value is replaced by.
    sample
        By column, the share of requests that keep it.
    seed
        Of the draw, which depends on the request's id only.
    """

    redact: Mapping[str, Hook] = field(default_factory=dict)
    sample: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0


#: A column whose value is several columns.
RESULT = "__result"


@dataclass(frozen=True)
class Later:
    """A value that is made on the writer's thread."""

    make: Callable[[], Any]


def line(row: Row, contract: frozenset[str], rules: Rules) -> tuple[bytes, int]:
    """One row as a line of JSON, and how many of its fields were left out for a fault."""
    notes: dict[str, list[str]] = {}
    row, others = _sorted(row, contract, notes)
    if others:
        given = row.get("metadata")
        given = given if isinstance(given, dict) else {} if given is None else {"metadata": given}
        row["metadata"] = {**others, **given}
    if rules.sample:
        _sample(row, rules, notes)
    if rules.redact:
        _redact(row, rules, notes)
    ts = row.get("ts")
    if type(ts) is int and ts > _NANOSECONDS:
        row["ts"] = _moment(ts)
    features = row.pop("features", None)
    if isinstance(features, Mapping):
        for name, value in features.items():
            row[_feature_name(str(name))] = value
    elif features is not None:
        row["features"] = features
    try:
        text = _dumps(_noted(row, notes))
    except Exception:  # noqa: BLE001 - any object may be in a row, and each may fail in its own way
        text = _dumps(_noted(_cleaned(row, notes), notes))
    failed = len(notes.get("left_out", ()))
    try:
        return text.encode() + b"\n", failed
    except UnicodeEncodeError:
        # Half of a surrogate pair, as a text that was cut in the middle of an emoji has it.
        return text.encode("utf-8", "replace") + b"\n", failed


def draw(request_id: str, seed: int) -> float:
    """The permanent random number of a request, the same as that of the samplers."""
    digest = hashlib.md5(f"{request_id}:{seed}".encode("utf-8", "replace"), usedforsecurity=False)
    return (int(digest.hexdigest()[:_DIGITS], 16) + 0.5) / _RANGE


def _sorted(
    row: Mapping[str, Any], contract: frozenset[str], notes: dict[str, list[str]]
) -> tuple[Row, Row]:
    """The values that there are, by whether the contract has a column of that name."""
    columns: Row = {}
    others: Row = {}
    for name, value in row.items():
        if value is None:
            continue
        if type(value) is not Later:
            (columns if name in contract else others)[name] = value
            continue
        try:
            made = value.make()
            made = dict(made) if name == RESULT else {name: made}
        except Exception:  # noqa: BLE001 - it is the user's function
            _leave_out(columns, "output" if name == RESULT else name, notes)
            continue
        more, rest = _sorted(made, contract, notes)
        columns |= more
        others |= rest
    return columns, others


def _sample(row: Row, rules: Rules, notes: dict[str, list[str]]) -> None:
    number = draw(str(row.get("request_id")), rules.seed)
    for name in rules.sample:
        if name in row and number >= rules.sample[name]:
            del row[name]
            notes.setdefault("sampled_out", []).append(name)


def _redact(row: Row, rules: Rules, notes: dict[str, list[str]]) -> None:
    for name, hook in rules.redact.items():
        if name in row:
            try:
                row[name] = hook(row[name])
            except Exception:  # noqa: BLE001 - it is the user's hook
                _leave_out(row, name, notes)


def _leave_out(row: Row, name: str, notes: dict[str, list[str]]) -> None:
    row.pop(name, None)
    notes.setdefault("left_out", []).append(name)


def _feature_name(name: str) -> str:
    """The key of a feature; ingest takes features from keys of their own."""
    return f"feature_{name}" if name in INFERENCES or name in FEEDBACK else name


def _noted(row: Row, notes: Mapping[str, list[str]]) -> Row:
    if not notes:
        return row
    given = row.get("metadata")
    given = given if isinstance(given, dict) else {} if given is None else {"metadata": given}
    return {**row, "metadata": {**given, "capture": notes}}


def _cleaned(row: Row, notes: dict[str, list[str]]) -> Row:
    """The row without what JSON cannot hold."""
    cleaned: Row = {}
    for name, value in row.items():
        nulled: list[str] = []
        try:
            cleaned[name] = _clean(value, nulled, 0)
            _dumps(cleaned[name])
        except Exception:  # noqa: BLE001 - see `line`
            _leave_out(cleaned, name, notes)
            continue
        if nulled:
            notes.setdefault("not_finite", []).append(name)
    return cleaned


def _clean(value: Any, nulled: list[str], depth: int) -> Any:
    if depth > _DEEPEST:
        raise RecursionError("too deep for a row")
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        nulled.append("")
        return None
    if isinstance(value, Mapping):
        return {_key(k): _clean(v, nulled, depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(entry, nulled, depth + 1) for entry in value]
    return _clean(_plain(value), nulled, depth + 1)


def _key(key: Any) -> str:
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return key.isoformat() if isinstance(key, (datetime, date, time)) else str(key)


def _plain(value: Any) -> Any:
    """A value that JSON does not know, as one that it does."""
    if isinstance(value, datetime):
        # A time without zone is read as UTC, here as by ingest.
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat()
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "backslashreplace")
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if isinstance(value, Iterator):
        raise TypeError("an iterator would be used up")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    for method in ("tolist", "model_dump", "to_dict", "isoformat"):
        made = getattr(value, method, None)
        if callable(made) and not isinstance(value, type):
            return made()
    return str(value)


_dumps = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
).encode


def _moment(nanoseconds: int) -> str:
    moment = _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    return moment.isoformat(timespec="microseconds")
