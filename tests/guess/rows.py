"""Makers of rows for the guesses."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from .conftest import Proposal


def token(prefix: str, number: int) -> str:
    return prefix + hashlib.md5(f"{prefix}{number}".encode()).hexdigest()[:10]


def moment(second: int) -> str:
    return f"{datetime(2025, 3, 1) + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S}Z"


def prose(number: int) -> str:
    return f"Please explain case {number} in simple words, with an example of what could go wrong."


def only(proposal: Proposal, table: str, right: dict[str, str | set[str]]) -> None:
    """Whatever is mapped is right; the rest was asked or left alone."""
    for field, expression in proposal.mapped(table).items():
        allowed = right.get(field, set())
        assert expression in ({allowed} if isinstance(allowed, str) else allowed), (
            f"{table}.{field} = {expression}\n{proposal.guess.toml}"
        )
