"""Uncertain rows that are like many others."""

from __future__ import annotations

from workbench.guide import Param
from workbench.samplers._sampler import DRAW, UNCERTAINTY, Plan, Sampler


def _plan(score: str, beta: float, floor: float, scheme: str) -> Plan:
    return Plan(score=f"{score} * pow(density, {beta!r})", floor=floor, scheme=scheme)


sampler = Sampler(
    name="density_weighted",
    about="Uncertain rows that are like many others, and no outliers; needs the artefact density.",
    params={
        "score": UNCERTAINTY,
        "beta": Param(default=1.0, about="Exponent of the density.", minimum=0.0, maximum=20.0),
        **DRAW,
    },
    plan=_plan,
)
