"""Rows in proportion to a number that is given as SQL."""

from __future__ import annotations

from workbench.errors import ConfigError
from workbench.guide import Param
from workbench.samplers._sampler import DRAW, POWER, Plan, Sampler


def _plan(score: str, power: float, floor: float, scheme: str) -> Plan:
    if not score.strip():
        raise ConfigError("importance needs a score.", "Write importance(score='latency_ms').")
    return Plan(score=score, power=power, floor=floor, scheme=scheme)


sampler = Sampler(
    name="importance",
    about="Rows in proportion to any non-negative number, such as cost or expected loss.",
    params={
        "score": Param(default="", about="SQL expression of a number that is 0 or more."),
        "power": POWER,
        **DRAW,
    },
    plan=_plan,
    expressions=("score",),
)
