"""Columns made whole, never row by row: ids, texts, times and lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_DASHES = (8, 13, 18, 23)
_DIGITS = np.array([place for place in range(36) if place not in _DASHES])


def uuids(rng: np.random.Generator, n: int) -> pa.StringArray:
    """`n` random UUIDs of version 4 as text."""
    nibbles = rng.integers(0, 16, (n, 32), dtype=np.uint8)
    nibbles[:, 12] = 4
    nibbles[:, 16] = 8 + nibbles[:, 16] % 4
    text = np.full((n, 36), ord("-"), dtype=np.uint8)
    text[:, _DIGITS] = _HEX[nibbles]
    offsets = np.arange(n + 1, dtype=np.int32) * 36
    return pa.StringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(text))


def numbered(prefix: str, numbers: Ints, width: int) -> Any:
    """Names such as ``u-0042``."""
    return joined(prefix, pc.utf8_lpad(pc.cast(pa.array(numbers), pa.string()), width, "0"))


def joined(*parts: Any) -> Any:
    """Concatenate texts and columns of text; NULL where a part is NULL."""
    return pc.binary_join_element_wise(*parts, "")


def pick(choices: Sequence[str], index: Ints) -> Any:
    """Take the choice that each row names."""
    return pa.array(list(choices), pa.string()).take(pa.array(index))


def filled(templates: Sequence[str], index: Ints, ref: Any) -> Any:
    """Take the template that each row names, with ``{ref}`` filled in."""
    halves = [template.split("{ref}") for template in templates]
    return joined(
        pick([before for before, _ in halves], index),
        ref,
        pick([after for _, after in halves], index),
    )


def where(mask: Bools, column: Any) -> Any:
    """Set a column to NULL where the mask is false."""
    return pc.if_else(pa.array(mask), column, pa.scalar(None, pa.string()))


def instants(milliseconds: Ints) -> Any:
    """Make UTC timestamps from milliseconds of the epoch."""
    return pc.cast(
        pc.cast(pa.array(milliseconds), pa.timestamp("ms", "UTC")), pa.timestamp("us", "UTC")
    )


def iso(milliseconds: Ints) -> Any:
    """Make ISO 8601 texts such as ``2026-03-02T08:15:30.250Z``."""
    text = np.datetime_as_string(milliseconds.astype("datetime64[ms]"), unit="ms")
    return joined(pa.array(text, pa.string()), "Z")


def quoted(column: Any) -> Any:
    """Write a column of text as JSON strings."""
    encoded = pa.array(column, pa.string()).dictionary_encode()
    escaped = [json.dumps(text, ensure_ascii=False) for text in encoded.dictionary.to_pylist()]
    return pa.array(escaped, pa.string()).take(encoded.indices)


def mean(values: Any) -> float:
    """Mean of the values; NaN of none."""
    return float(np.mean(values)) if len(values) else float("nan")


def json_lines(fields: Mapping[str, Any]) -> Any:
    """Write one JSON object per row from columns of JSON values; a NULL leaves its key out."""
    members = [joined(f'"{key}":', column) for key, column in fields.items()]
    body = pc.binary_join_element_wise(*members, ",", null_handling="skip")
    return joined("{", body, "}")
