"""Several samplers at once."""

from __future__ import annotations

from workbench.errors import ConfigError
from workbench.guide import Param
from workbench.samplers._sampler import Plan, Sampler


def _plan(of: tuple[tuple[float, Plan], ...]) -> Plan:
    if any(part.scheme != "priority" for _, part in of):
        raise ConfigError(
            "A mix draws by chance, all of its samplers at once.",
            "Leave out scheme and method='k_center'.",
        )
    # The floors of the parts hold; another one would blur the weights.
    return Plan(parts=of, floor=0.0)


sampler = Sampler(
    name="mix",
    about="Several samplers at once: a row's chance is the weighted mean of its chances in each.",
    params={
        "of": Param(
            default="uncertainty: 0.5, uniform: 0.5",
            about="Samplers with their weights, such as: uncertainty: 0.5, stratified(by='city'): "
            "0.5. Strata and clusters keep their shares on average, not to the row.",
        )
    },
    plan=_plan,
    mixes=("of",),
)
