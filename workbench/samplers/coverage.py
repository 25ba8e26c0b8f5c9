"""Every value of each of several columns."""

from __future__ import annotations

from functools import partial

from workbench.errors import ConfigError
from workbench.guide import Param
from workbench.samplers._sampler import SHARES, Plan, Run, Sampler


def _plan(by: str, allocation: str) -> Plan:
    if not by.strip():
        raise ConfigError("coverage needs columns.", "Write coverage(by='city, model_version').")
    return Plan(by=f"({by})", fit=partial(_fit, f"({by})", allocation))


def _fit(by: str, allocation: str, run: Run, source: str, key: str, n: int | None) -> Plan:
    # Several columns in brackets are one value with a field each.
    fields = run(f"SELECT {by} AS value FROM {source} LIMIT 0").schema.field("value").type
    columns = [f"struct_extract_at({by}, {i})" for i in range(1, fields.num_fields + 1)] or [by]
    parts = tuple((1.0, Plan(by=column, allocation=allocation)) for column in columns)
    return Plan(parts=parts, floor=0.0)


sampler = Sampler(
    name="coverage",
    about="Rows of every value of each of several columns, where there are too many combinations "
    "of them for strata: each value of a column has an equal share on average, and a rare one is "
    "taken whole.",
    params={
        "by": Param(default="", about="SQL expressions, such as city, model_version."),
        "allocation": Param(
            default="equal",
            about="How the values of a column share the sample, as in stratified.",
            choices=tuple(SHARES),
        ),
    },
    plan=_plan,
    expressions=("by",),
)
