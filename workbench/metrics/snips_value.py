"""Mean reward that another policy would have had, self-normalised.

What it shows
-------------
The same as `ips_value`, more steadily: the weights are divided by their sum, so that a chance
excess of large ones does not lift the value.

How to read it
--------------
It lies between the smallest and the largest reward that was seen. For a small sample it is a little
off in exchange for a smaller spread; where it is far from `ips_value`, the mean weight is far from
1, which is a sign of too few decisions or of wrong propensities.

What to do
----------
Prefer it to `ips_value` for rewards that are not mostly 0. Where the two disagree, check that
``propensity`` is the probability at the time of the decision, and of the logged action.

Definition
----------
``sum of i * reward / sum of i``, with ``i = target / propensity`` (Hajek 1971; Swaminathan and
Joachims 2015), over the same rows as `ips_value` and under the same condition. The interval is
+- 1.96 standard errors by the delta method, that is of ``i * (reward - value) / mean of i``, cut
at 0; NULL where all rewards that count are equal.
"""

from __future__ import annotations

from functools import partial

from workbench.metrics._metric import state_metric
from workbench.metrics._off_policy import COMMON, VALUE_PARAMS, snips, value_estimate

metric = state_metric(
    estimate=partial(value_estimate, of=snips),
    better="higher",
    interval="normal",
    params=VALUE_PARAMS,
    **COMMON,
)
