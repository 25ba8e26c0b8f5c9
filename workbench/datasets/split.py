"""Splits of a training set: by a group that stays together, or by time."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.errors import ConfigError

#: Ways to split that are not an SQL expression.
KINDS = ("time", "near_duplicates")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


@dataclass(frozen=True)
class Split:
    """How rows are shared out.

    Attributes
    ----------
    by
        ``time`` (the earliest rows go to the first part), ``near_duplicates`` (prompts that are
        nearly alike stay together), or an SQL expression such as ``user_id``: rows of one value
        stay together, and a row for which it is NULL is a group of its own.
    parts
        Share of each part by its name, in order; they add up to 1.
    """

    by: str
    parts: tuple[tuple[str, float], ...]

    def __post_init__(self) -> None:
        given: Any = self.parts.items() if isinstance(self.parts, Mapping) else self.parts
        parts = tuple((str(name), float(share)) for name, share in given)
        object.__setattr__(self, "by", self.by.strip())
        object.__setattr__(self, "parts", parts)
        hint = "Write for example: user_id: train=0.8, test=0.2"
        if not self.by:
            raise ConfigError("A split needs something to split by.", hint)
        for name, share in parts:
            if not _NAME.fullmatch(name):
                raise ConfigError(f"A split cannot be called {name!r}.", "Use small letters.")
            if not (math.isfinite(share) and share > 0):
                raise ConfigError(f"The split {name} cannot have the share {share:g}.", hint)
        total = math.fsum(share for _, share in parts)
        if not math.isclose(total, 1, abs_tol=1e-9) or len(dict(parts)) < len(parts):
            raise ConfigError(
                f"The shares of a split add up to {total:g}, and not to 1, or a name is twice.",
                hint,
            )

    def __str__(self) -> str:
        return f"{self.by}: " + ", ".join(f"{name}={share:g}" for name, share in self.parts)


def parse_split(text: str) -> Split:
    """Read a split such as ``user_id: train=0.8, test=0.2``.

    Raises
    ------
    ConfigError
        If it cannot be read, or its shares do not add up to 1.
    """
    by, colon, rest = text.rpartition(":")
    try:
        pairs = [part.split("=") for part in rest.split(",")]
        parts = tuple((name.strip(), float(share)) for name, share in pairs)
    except ValueError:
        colon = ""
        parts = ()
    if not colon:
        raise ConfigError(
            f"{text.strip()!r} is not a split.", "Write for example: user_id: train=0.8, test=0.2"
        )
    return Split(by, parts)
