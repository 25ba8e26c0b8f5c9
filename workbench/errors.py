"""Errors that a person can act on: what happened, where, and what to type next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line, one per kind of ending."""

    OK = 0
    DATA = 1
    USAGE = 2
    NOT_FOUND = 3
    TIMEOUT = 4
    GATE = 5
    INTERRUPTED = 130


class WorkbenchError(Exception):
    """Base of every error that is shown to a person.

    Parameters
    ----------
    message
        What happened and where, in one sentence.
    hint
        What to type or change next.
    """

    exit_code = ExitCode.DATA

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class DataError(WorkbenchError):
    """The data cannot be used as it is."""


class QueryError(WorkbenchError):
    """A query was refused or failed."""


class ConfigError(WorkbenchError):
    """The configuration or the command line is wrong; nothing was done."""

    exit_code = ExitCode.USAGE


class NotFoundError(WorkbenchError):
    """A named thing does not exist: a project, a build, a relation, a file."""

    exit_code = ExitCode.NOT_FOUND


class LockedError(WorkbenchError):
    """Another process is using what this one needs."""

    exit_code = ExitCode.NOT_FOUND


class QueryTimeoutError(WorkbenchError):
    """A query ran longer than its limit and was interrupted."""

    exit_code = ExitCode.TIMEOUT


class GateError(WorkbenchError):
    """A ``--fail-if`` condition held."""

    exit_code = ExitCode.GATE


def suggest(name: str, choices: Iterable[str], *, label: str = "one of") -> str:
    """Name the nearest right spelling, else list the choices.

    Parameters
    ----------
    name
        What was typed.
    choices
        What would have been right.
    label
        The words before the list when nothing is near.

    Returns
    -------
    str
        A hint, never empty when there are choices.
    """
    options = sorted(set(choices))
    lowered = {option.lower(): option for option in options}
    near = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {lowered[near[0]]!r}?"
    if not options:
        return ""
    shown = ", ".join(options[:12]) + (", ..." if len(options) > 12 else "")
    return f"Use {label}: {shown}."
