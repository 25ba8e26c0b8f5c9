"""Charts: small tables of numbers in, a figure and one sentence about it out.

Colours come from the theme, so that light and dark both work; only reference lines are set here.
Every mark carries its group in ``customdata``, which is what a click returns.
"""

from __future__ import annotations

from workbench.charts._calibration import calibration, panels
from workbench.charts._chart import FEW, Chart, count, group_name
from workbench.charts._counts import counts, funnel
from workbench.charts._drift import chunk_name, drift
from workbench.charts._groups import metric_by_group
from workbench.charts._intervals import intervals
from workbench.charts._raters import kappas
from workbench.charts._shares import shares
from workbench.charts._uncertainty import captured, distribution, error_rates

__all__ = [
    "FEW",
    "Chart",
    "calibration",
    "captured",
    "chunk_name",
    "count",
    "counts",
    "distribution",
    "drift",
    "error_rates",
    "funnel",
    "group_name",
    "intervals",
    "kappas",
    "metric_by_group",
    "panels",
    "shares",
]
