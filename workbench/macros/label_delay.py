"""How long feedback takes, for each signal.

What it shows
-------------
Seconds from the inference to the event: the shortest, the median, the 90th percentile and the
longest.

How to read it
--------------
What takes days is missing from the latest days: their numbers are of quick feedback only. A delay
below 0 is a clock that is off.

What to do
----------
Set ``maturity`` in ``[labels]`` to about the 90th percentile of the deciding signals, and leave the
days out of comparisons that are younger.

Definition
----------
`delay` of the attributed events that were not withdrawn, by the name and the kind of their signal;
percentiles are interpolated, as ``numpy.quantile``. Events or inferences without a time are counted
in `n_no_clock` only.
"""

from __future__ import annotations

import ibis.expr.types as ir

from workbench.macros._arguments import KEEP, PER, kept
from workbench.macros._macro import Given, declare


def expr(feedback: ir.Table, given: Given) -> ir.Table:
    """Order statistics by group and signal."""
    rows = kept(feedback, given)
    rows = rows.mutate(per=given.of("per", rows))
    rows = rows.filter(~rows.retracted.fill_null(False))
    delay = rows.delay
    return rows.aggregate(
        by=["per", "name", "kind"],
        n=delay.count(),
        shortest=delay.min(),
        median=delay.quantile(0.5),
        p90=delay.quantile(0.9),
        longest=delay.max(),
        n_early=rows.count(where=delay < 0),
        n_no_clock=rows.count(where=delay.isnull()),
    ).order_by(["per", "name", "kind"])


macro = declare(expr=expr, relation="enriched_feedback", arguments={"per": PER, "keep": KEEP})
