"""What one prediction costs, given what happened."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from workbench.formulas._values import null, probability

LEAST_PROBABILITY = 2.0**-52
"""How near to 0 and 1 a probability counts in the log loss: the machine epsilon of a DOUBLE."""


def log_loss(p: ir.NumericValue, y: ir.NumericValue) -> ir.FloatingValue:
    """Negative logarithm of the probability that was given to what happened.

    Parameters
    ----------
    p
        Probability of outcome 1; counts as if it were at least `LEAST_PROBABILITY` away from 0 and
        from 1, as in scikit-learn.
    y
        Outcome, 0 or 1; values in between are an expectation over both.

    Returns
    -------
    FloatingValue
        ``-(y ln p + (1 - y) ln(1 - p))``; NULL where `p` or `y` is NULL, NaN or outside [0, 1].
    """
    given, outcome = probability(p), probability(y)
    # A literal of 16 digits would be a DECIMAL in DuckDB, so the power is spelt out.
    least = ibis.literal(2.0) ** ibis.literal(-52)
    near = ibis.cases((given < least, least), (given > 1.0 - least, 1.0 - least), else_=given)
    loss = 0.0 - (outcome * near.ln() + (1.0 - outcome) * (1.0 - near).ln())
    # Most rows have no outcome: of those no logarithm is taken.
    return outcome.isnull().ifelse(null(), loss)
