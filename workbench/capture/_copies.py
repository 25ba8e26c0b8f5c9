"""Shallow copies of what is handed in, so that the caller may go on to change it.

Only the outermost container is copied: a list that is appended to, an array that is filled anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Copier = Callable[[Any], Any]


class _Copiers(dict[type, Copier | None]):
    """How to copy values of a type; None where they do not change, or nothing is known."""

    def __missing__(self, kind: type) -> Copier | None:
        copier = None
        if hasattr(kind, "__array__") and hasattr(kind, "shape") and hasattr(kind, "copy"):
            copier = _copied_array
        self[kind] = copier
        return copier


def _copied_array(value: Any) -> Any:
    try:
        return value.copy()
    except Exception:  # noqa: BLE001 - logging may never break the call that it is about
        return value


_copiers = _Copiers({list: list.copy, dict: dict.copy, set: set.copy, bytearray: bytes})


#: Types of which nothing has to be copied, as most rows have only.
_FIXED = frozenset({str, int, float, bool, type(None)})


def copied(value: Any) -> Any:
    """A shallow copy of a value that may change, else the value itself."""
    copier = _copiers[type(value)]
    return value if copier is None else copier(value)


def copy_all(values: dict[str, Any]) -> dict[str, Any]:
    """Replace what may change by shallow copies."""
    for value in values.values():
        if type(value) not in _FIXED:
            break
    else:
        return values
    for name, value in values.items():
        copier = _copiers[type(value)]
        if copier is not None:
            values[name] = copier(value)
    return values
