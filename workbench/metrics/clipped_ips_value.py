"""Mean reward that another policy would have had, with weights up to a cap.

What it shows
-------------
A cautious `ips_value`: no single decision counts for more than the cap.

How to read it
--------------
It is too low rather than too high, because rewards are not negative and clipping takes weight
away. The interval is that of the clipped value and does not cover what clipping takes away.

What to do
----------
Look at it for several caps: where it keeps rising, the value rests on few decisions, and
`ips_value` deserves no trust either.

Definition
----------
``mean of min(target / propensity, cap) * reward`` (Ionides 2008), over the same rows as `ips_value`
and with the same interval. The effective sample size that has to reach ``min_effective`` is that of
the clipped weights.
"""

from __future__ import annotations

from functools import partial

from workbench.metrics._metric import Param, state_metric
from workbench.metrics._off_policy import COMMON, VALUE_PARAMS, ips, value_estimate

metric = state_metric(
    estimate=partial(value_estimate, of=ips),
    better="higher",
    interval="normal",
    params={
        "cap": Param(default=10.0, about="Greatest weight of a decision.", minimum=1e-9),
        **VALUE_PARAMS,
    },
    **COMMON,
)
