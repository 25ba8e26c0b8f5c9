"""Checks of single values; a problem is collected, not raised, so that all are named at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path

from workbench.errors import suggest

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def duration(text: str) -> timedelta:
    """Read a duration such as ``90s``, ``1h`` or ``7d``.

    Raises
    ------
    ValueError
        If `text` is not a number with a unit of ms, s, m, h, d or w.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*", text)
    if not match:
        raise ValueError(text)
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def as_text(value: object) -> str:
    """A value of the configuration as the text that data is compared with."""
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)


class Checks:
    """The problems of one configuration.

    Attributes
    ----------
    root
        The project folder.
    problems
        What is wrong, a sentence each.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[str] = []

    def unknown(self, where: str, given: Mapping[str, object], known: Iterable[str]) -> None:
        """Complain of keys that nobody reads."""
        for key in given:
            if key not in known:
                place = f" in [{where}]" if where else ""
                self.problems.append(f"unknown key {key!r}{place}. {suggest(key, known)}")

    def one_of(self, where: str, value: object, choices: Iterable[str]) -> bool:
        """Whether `value` is one of `choices`."""
        if value in tuple(choices):
            return True
        self.problems.append(f"{where} = {value!r} is not known. {suggest(str(value), choices)}")
        return False

    def texts(self, where: str, value: object) -> tuple[str, ...]:
        """A text or a list of them."""
        if isinstance(value, str):
            return (value,)
        if isinstance(value, list):
            return tuple(as_text(entry) for entry in value)
        self.problems.append(f"{where} must be a list of texts.")
        return ()

    def optional_text(self, where: str, value: object) -> str | None:
        """A text that may be absent or empty: None."""
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        if isinstance(value, str):
            return value
        self.problems.append(f"{where} must be a text.")
        return None

    def duration(self, where: str, value: object) -> timedelta:
        """A duration."""
        try:
            return duration(str(value))
        except ValueError:
            self.problems.append(
                f"{where} = {value!r} is not a duration. Write a number and a unit: 90s, 1h, 7d."
            )
            return timedelta(0)
