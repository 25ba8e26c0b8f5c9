"""Rows that people liked or disliked most."""

from __future__ import annotations

from workbench.samplers._sampler import DRAW, POWER, Plan, Sampler


def _plan(power: float, floor: float, scheme: str) -> Plan:
    return Plan(score="2 * abs(reward - 0.5)", power=power, floor=floor, scheme=scheme)


sampler = Sampler(
    name="reward_extremes",
    about="Rows whose reward is near 0 or 1: clear examples of good and bad.",
    params={"power": POWER, **DRAW},
    plan=_plan,
)
