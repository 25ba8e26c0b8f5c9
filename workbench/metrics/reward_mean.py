"""Mean reward of the inferences that have one, from 0 to 1.

The interval is the Wilson interval at the effective sample size (`formulas.mean_interval`); for
rewards of 0 and 1 only, that is the Wilson interval of n - 1 rows.
"""

from __future__ import annotations

from workbench.metrics._metric import simple_metric

metric = simple_metric(expr=lambda rows: rows.reward, needs=("reward",), better="higher")
