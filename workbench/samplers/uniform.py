"""Every row with the same chance."""

from __future__ import annotations

from workbench.samplers._sampler import Plan, Sampler

sampler = Sampler(
    name="uniform",
    about="Every row with the same chance: for evaluation, and wherever nothing speaks for more.",
    plan=Plan,
)
