"""A share of the sample for each value of one or more columns."""

from __future__ import annotations

from workbench.errors import ConfigError
from workbench.guide import Param
from workbench.samplers._sampler import SHARES, Plan, Sampler


def _plan(by: str, allocation: str) -> Plan:
    if not by.strip():
        raise ConfigError("stratified needs a column.", "Write stratified(by='model_version').")
    return Plan(by=by, allocation=allocation)


sampler = Sampler(
    name="stratified",
    about="Rows of every group, small ones too: for tests by cohort and for coverage of contexts.",
    params={
        "by": Param(default="", about="SQL expression whose values are the strata."),
        "allocation": Param(
            default="equal",
            about="How the sample is shared out: as many of each, by the size of the stratum, or "
            "by its square root.",
            choices=tuple(SHARES),
        ),
    },
    plan=_plan,
    expressions=("by",),
)
