"""Mean share of pairs of raters who agree about an answer.

What it shows
-------------
How often two people who judged the same answer said the same.

How to read it
--------------
1 is full agreement. How much comes by chance depends on the number of classes and on how common
they are, so compare it only where those are alike; a coefficient such as Krippendorff's alpha takes
chance out. No model can be expected to agree with raters more than they do with each other.

What to do
----------
Where it is low, look at what they disagree about, and make the question or the guideline clearer
before the model is blamed.

Definition
----------
Mean of ``agreement`` (Fleiss 1971, P_i: agreeing pairs of deciding events / all pairs) over the
inferences that two raters or more have judged. Those that one rater judged alone say nothing about
agreement and are left out.
"""

from __future__ import annotations

import ibis

from workbench.metrics._metric import simple_metric

metric = simple_metric(
    family="raters",
    expr=lambda rows: (rows.n_raters >= 2).ifelse(rows.agreement, ibis.null("float64")),
    needs=("agreement", "n_raters"),
    better="higher",
)
