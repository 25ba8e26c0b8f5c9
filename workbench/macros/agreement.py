"""How often each two raters agree about the same inference.

What it shows
-------------
For every signal and pair of raters: how many inferences both judged, and how often with the same
value.

How to read it
--------------
The share is raw: where one value is much more frequent than others, raters agree often by chance.
Few common inferences give a wide interval.

What to do
----------
Look at a rater who agrees with nobody: it is a misunderstanding, another task, or spam. Where all
pairs agree little, the question that raters are asked is at fault.

Definition
----------
Of each rater the latest event per signal and inference that was not withdrawn; comments,
preferences, corrections and events without a kind have no value to compare. Values are compared as
everywhere: unquoted, whole numbers without ``.0``, booleans as 1 and 0. Wilson interval, as if
inferences were independent. ``workbench metrics --agreement`` says what is left beyond chance.
"""

from __future__ import annotations

import ibis.expr.types as ir

from workbench.agreement import ratings
from workbench.formulas import wilson
from workbench.macros._arguments import KEEP, PER, kept
from workbench.macros._macro import Given, declare


def expr(feedback: ir.Table, given: Given) -> ir.Table:
    """Pairs of the latest values of one signal about one inference."""
    rows = kept(feedback, given)
    rows = rows.mutate(per=given.of("per", rows))
    one = ratings(rows, ["per"])
    other = one.view()
    both = one.join(
        other,
        [
            one.request_id == other.request_id,
            one.name == other.name,
            one.per.identical_to(other.per),
            one.rater_id < other.rater_id,
        ],
        rname="other_{name}",
    ).select(
        "per",
        "name",
        rater_a=one.rater_id,
        rater_b=other.rater_id,
        same=one.value == other.value,
    )
    sums = both.aggregate(
        by=["per", "name", "rater_a", "rater_b"],
        n=both.count(),
        n_agree=both.count(where=both.same),
        agreement=both.same.cast("float64").mean(),
    )
    low, high = wilson(sums.n_agree, sums.n)
    return sums.mutate(low=low, high=high).order_by(["per", "name", "rater_a", "rater_b"])


macro = declare(expr=expr, relation="enriched_feedback", arguments={"per": PER, "keep": KEEP})
