"""Logs model calls and feedback from the process that serves them, at next to no cost.

A call copies what it is given, appends it to a queue and goes on: a few microseconds. A thread
writes JSON lines into a landing folder, from which ``workbench build`` reads them. Nothing of the
workbench's engine is loaded.

Examples
--------
>>> from workbench import capture
>>> log = capture.open("landing")  # doctest: +SKIP
>>> id = log.inference(model_version="v3", input="2+2?", output="4")  # doctest: +SKIP
>>> log.feedback(request_id=id, name="thumb", value=1)  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from workbench.capture._calls import Call
from workbench.capture._columns import FEEDBACK, INFERENCES
from workbench.capture._context import context, from_headers, headers
from workbench.capture._counters import Counters, ledger
from workbench.capture._encode import Rules
from workbench.capture._estimator import estimator
from workbench.capture._files import recover
from workbench.capture._ids import new_id
from workbench.capture._log import Log
from workbench.capture._writer import Durability, Settings, WhenFull
from workbench.errors import ConfigError, suggest

__all__ = [
    "Call",
    "Counters",
    "Log",
    "context",
    "estimator",
    "from_headers",
    "headers",
    "ledger",
    "new_id",
    "open",
    "recover",
]


def open(
    folder: str | Path,
    *,
    when_full: WhenFull = "drop",
    max_pending: int = 10_000,
    block_seconds: float = 1.0,
    durability: Durability = "batch",
    flush_seconds: float = 0.05,
    max_rows: int = 100_000,
    max_bytes: int = 64 * 1024 * 1024,
    max_age: float = 30.0,
    sample: Mapping[str, float] | None = None,
    seed: int = 0,
    redact: Mapping[str, Callable[[Any], Any]] | None = None,
    **columns: Any,
) -> Log:
    """Open a log that writes into a landing folder.

    Parameters
    ----------
    folder
        The landing folder; it gets ``inferences`` and ``feedback``. Any number of processes may
        log into one. What killed processes left there is recovered.
    when_full
        What a call does where `max_pending` rows wait already. ``drop`` counts the row as dropped;
        ``block`` waits for room, then drops; ``spill`` writes the row to disk from the call itself.
    max_pending
        Rows that may wait in memory.
    block_seconds
        Seconds that ``block`` waits at most.
    durability
        ``batch`` hands every batch to the operating system: it survives the process. ``fsync``
        makes every batch durable: it survives the machine.
    flush_seconds
        How often the rows that wait are written.
    max_rows, max_bytes, max_age
        Rows, bytes and age in seconds at which a file is closed, so that a build reads it.
    sample
        By column, the share of requests that keep it: ``{"embedding": 0.1}``. It depends on the
        id of the request only, and columns of one share are kept together.
    seed
        Of the draw.
    redact
        By column, a function of the value whose result is logged in its place. Where it raises,
        the row goes without the column.
    **columns
        Columns of every inference, such as ``model_version``.

    Returns
    -------
    Log
        The log. It flushes at exit and on SIGTERM, and works in threads and forked processes.

    Raises
    ------
    ConfigError
        If an option cannot be meant.
    """
    problems = [
        *_unknown("when_full", when_full, get_args(WhenFull)),
        *_unknown("durability", durability, get_args(Durability)),
    ]
    for option, chosen in (("sample", sample), ("redact", redact)):
        for name in chosen or {}:
            problems += _unknown(f"{option}: column", name, INFERENCES | FEEDBACK)
    problems += [
        f"sample: {name} = {share} is no share between 0 and 1."
        for name, share in (sample or {}).items()
        if not 0 <= share <= 1
    ]
    limits = {"max_pending": max_pending, "max_rows": max_rows, "max_bytes": max_bytes}
    limits |= {"max_age": max_age, "flush_seconds": flush_seconds}  # type: ignore[dict-item]
    problems += [
        f"{name} = {value} is not above 0." for name, value in limits.items() if value <= 0
    ]
    for name in columns:
        problems += _unknown("column", name, INFERENCES)
    if problems:
        raise ConfigError("The log cannot be opened: " + " ".join(problems), _HINT)
    settings = Settings(
        folder=Path(folder).absolute(),
        when_full=when_full,
        max_pending=max_pending,
        block_seconds=block_seconds,
        durability=durability,
        flush_seconds=flush_seconds,
        max_rows=max_rows,
        max_bytes=max_bytes,
        max_age=max_age,
        rules=Rules(redact=dict(redact or {}), sample=dict(sample or {}), seed=seed),
        columns=columns,
    )
    return Log(settings)


_HINT = "help(workbench.capture.open) lists the options."


def _unknown(what: str, name: str, choices: frozenset[str] | tuple[str, ...]) -> list[str]:
    return [] if name in choices else [f"{what} {name!r} is unknown. {suggest(name, choices)}"]
