"""Mean reward that another policy would have had, by inverse propensity scoring.

What it shows
-------------
What the reward would have been if another policy had chosen, from what was logged under this one:
each logged decision counts as often as the other policy would have taken it.

How to read it
--------------
Beside `effective_sample_size` and `max_importance_weight`: a few decisions of large weight can
carry the whole value. Where the effective size is below 100 there is none, because its interval
could not be believed either; a little above 100, the interval is still on the short side. It says
nothing of actions that the logging policy never took.

What to do
----------
Compare it with `reward_mean`, the value of the policy that was logged. Where the intervals are
apart, try the other policy on a part of the traffic. Where there is no value, log more decisions,
or let the logging policy explore more.

Definition
----------
``mean of target / propensity * reward`` (Horvitz and Thompson 1952; Strehl et al. 2010), over the
rows that have a reward and a weight. Where ``propensity`` is 0 or missing there is no weight, and
the row is not in ``n``: ``n_labelled - n`` rows were left out. The interval is +- 1.96 standard
errors, cut at 0; NULL where no row adds to the value.
"""

from __future__ import annotations

from functools import partial

from workbench.metrics._metric import state_metric
from workbench.metrics._off_policy import COMMON, VALUE_PARAMS, ips, value_estimate

metric = state_metric(
    estimate=partial(value_estimate, of=ips),
    better="higher",
    interval="normal",
    params=VALUE_PARAMS,
    **COMMON,
)
