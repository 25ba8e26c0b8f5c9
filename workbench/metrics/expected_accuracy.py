"""Accuracy that the model's own probabilities promise, over all answers, labelled or not.

What it shows
-------------
How often the predictions will turn out right if the probabilities mean what they say. It needs no
label, so it is there before any feedback is.

How to read it
--------------
Beside `accuracy` and `ece`. It believes the model: where probabilities are off, so is it. Where the
same score begins to lead to other outcomes (concept drift), it stays as it was: it cannot see that,
only labels can.

What to do
----------
Follow it over time, and label a sample where it falls. Where it differs from `accuracy` on rows
that have labels, recalibrate first; ``workbench metrics --drift --by-column expected`` does that
with the reference.

Definition
----------
Mean of p where the prediction is the positive class, else of 1 - p, with p the score; where there
is a confidence in place of a score, the mean of that. Confidence-based performance estimation
without its calibration step. The interval is that of the mean over rows: it does not cover the
error of the probabilities.
"""

from __future__ import annotations

from workbench.metrics._expected import NEEDS, hit
from workbench.metrics._metric import simple_metric

metric = simple_metric(family="drift", expr=hit, needs=NEEDS, better="higher", over="all")
