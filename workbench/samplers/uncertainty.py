"""Rows of which the model was least sure."""

from __future__ import annotations

from workbench.guide import Param
from workbench.samplers._sampler import FLOOR, POWER, SCHEME, Plan, Sampler


def _plan(score: str, by: str, power: float, floor: float, scheme: str) -> Plan:
    return Plan(
        score=score,
        strata=(by,) if by.strip() else (),
        allocation="equal",
        power=power,
        floor=floor,
        scheme=scheme,
    )


sampler = Sampler(
    name="uncertainty",
    about="Rows of which the model was least sure: what to label or to train on next.",
    params={
        "score": Param(
            default="margin",
            about="Which uncertainty: 1 - (first - second probability), 1 - the first, Shannon's "
            "entropy, or the disagreement of an ensemble.",
            choices=("margin", "least_confidence", "entropy", "disagreement"),
        ),
        "by": Param(default="", about="SQL expression whose values get equal shares; or empty."),
        "power": POWER,
        "floor": FLOOR,
        "scheme": SCHEME,
    },
    plan=_plan,
    expressions=("by",),
)
