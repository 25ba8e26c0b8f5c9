"""Charts: small tables of numbers in, a figure and one sentence about it out.

Colours come from the theme, so that light and dark both work; only reference lines are set here.
Every mark carries its group in ``customdata``, which is what a click returns.
"""

from __future__ import annotations

from workbench.charts._calibration import calibration
from workbench.charts._chart import FEW, Chart, count, group_name
from workbench.charts._counts import counts, funnel
from workbench.charts._groups import metric_by_group

__all__ = [
    "FEW",
    "Chart",
    "calibration",
    "count",
    "counts",
    "funnel",
    "group_name",
    "metric_by_group",
]
