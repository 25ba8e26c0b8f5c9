"""Share of inferences that got feedback of any kind.

What it shows
-------------
Who says anything at all: a thumb, a remark, a verdict.

How to read it
--------------
Compare groups. One that hardly ever answers is missing from every number that is measured on
labels, and a change of who answers moves those numbers although the model stays as it is. It is at
least `label_coverage`, which counts only what led to a label: feedback that does not decide, such
as a comment beside a verdict, is in this number and not in that one.

What to do
----------
Where a group is silent, ask it, or weigh those of it who did answer: ``workbench fit propensity``,
then ``workbench metrics --weighted``.

Definition
----------
Inferences with ``n_events > 0`` over all inferences, with a Wilson interval. Events that were
withdrawn do not count.
"""

from __future__ import annotations

from workbench.metrics._metric import simple_metric

metric = simple_metric(
    family="skew",
    expr=lambda rows: rows.n_events > 0,
    needs=("n_events",),
    better="higher",
    over="all",
    interval="wilson",
)
