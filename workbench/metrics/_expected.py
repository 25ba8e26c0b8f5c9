"""Rows with a score and a decision, and what the score promises of them."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from workbench.formulas import probability

#: Columns that the expected metrics read.
NEEDS = ("score", "calibration_p", "selected")


def promised(rows: ir.Table) -> ir.FloatingValue:
    """Probability of the positive class, where there is a score and a decision."""
    known = rows.score.notnull() & rows.selected.notnull()
    return known.ifelse(probability(rows.calibration_p), ibis.null("float64"))


def hit(rows: ir.Table) -> ir.FloatingValue:
    """Probability that the decision is right.

    A confidence, in place of a score, is that of the prediction itself.
    """
    p = probability(rows.calibration_p)
    of_decision = rows.selected.cast("boolean").ifelse(p, 1.0 - p)
    return ibis.cases(
        (rows.selected.isnull(), ibis.null("float64")),
        (rows.score.notnull(), of_decision),
        else_=p,
    )
