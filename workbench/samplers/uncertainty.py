"""Rows of which the model was least sure."""

from __future__ import annotations

from workbench.guide import Param
from workbench.samplers._sampler import DRAW, POWER, UNCERTAINTY, Plan, Sampler


def _plan(score: str, by: str, power: float, floor: float, scheme: str) -> Plan:
    return Plan(
        score=score,
        by=by.strip() or None,
        allocation="equal",
        power=power,
        floor=floor,
        scheme=scheme,
    )


sampler = Sampler(
    name="uncertainty",
    about="Rows of which the model was least sure: what to label or to train on next.",
    params={
        "score": UNCERTAINTY,
        "by": Param(default="", about="SQL expression whose values get equal shares; or empty."),
        "power": POWER,
        **DRAW,
    },
    plan=_plan,
    expressions=("by",),
)
