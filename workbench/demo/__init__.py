"""A believable support-assistant project with planted faults whose answers are known.

Examples
--------
>>> from workbench.demo import generate
>>> truth = generate("support-assistant")  # doctest: +SKIP
>>> truth.ledger["received"]  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from workbench.errors import ConfigError

LEAST = 1_000


@dataclass(frozen=True)
class DemoTruth:
    """What was planted in a demo.

    Attributes
    ----------
    ledger
        Received feedback events by what becomes of them: ``received``, ``invalid``, ``duplicate``,
        ``spam``, ``orphan``, ``ambiguous``, ``attributed``.
    facts
        The planted faults, and exact counts of everything else; see ``docs/demo.md``.
    """

    ledger: Mapping[str, int]
    facts: Mapping[str, Any]


def generate(folder: str | Path, *, seed: int = 7, n: int = 20_000) -> DemoTruth:
    """Write the logs, the contexts and the ``workbench.toml`` of a demo project.

    Parameters
    ----------
    folder
        The project folder; made when it does not exist. Files of an earlier demo are replaced.
    seed
        The same seed gives the same bytes.
    n
        Inferences that the build will accept. Planted counts grow with it.

    Returns
    -------
    DemoTruth
        What a correct build finds.

    Raises
    ------
    ConfigError
        If `n` is too small for every fault to be planted.
    """
    import numpy as np

    from workbench.demo import dirt, events, explanations, files, handbook, outcomes, truth, world

    if n < LEAST:
        raise ConfigError(
            f"A demo of {n} inferences is too small for its planted faults.",
            f"Use at least {LEAST}.",
        )
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    # One stream per part: drawing more in one part leaves the others as they are.
    streams = [np.random.default_rng([seed, part]) for part in range(9)]
    planted = dirt.counts(n)
    users = world.make_users(streams[0], max(100, n * 3 // 40))
    calls = world.make_inferences(streams[1], users, n, ties=planted["ambiguous"] * 2)
    feedback = dirt.spoil(streams[3], users, calls, events.make_events(streams[2], users, calls))
    calls, articles = handbook.make_handbook(streams[6], calls)
    happened = outcomes.make_outcomes(streams[7], calls)
    added = {**handbook.columns(articles), **explanations.explained(streams[8], calls)}
    files.write_settings(root)
    files.write_users(root, users)
    files.write_health(streams[4], root)
    outcomes.write_incidents(root)
    outcomes.write_outcomes(root, users, calls, happened)
    handbook.write_handbook(root, articles)
    written = files.write_inferences(streams[5], root / "logs" / "inferences", users, calls, added)
    files.write_feedback(root / "logs" / "feedback", feedback)
    facts = truth.facts(calls, feedback, planted, written, happened, articles)
    return DemoTruth(MappingProxyType(feedback.ledger), MappingProxyType(facts))
