"""The logistic function and what belongs to it."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from workbench.formulas._losses import LEAST_PROBABILITY


def log_probability(p: ir.FloatingValue) -> ir.FloatingValue:
    """Natural logarithm of a probability, which counts as at least 2.2e-16."""
    # greatest() would skip a NULL.
    return (p < LEAST_PROBABILITY).ifelse(LEAST_PROBABILITY, p).ln()


def logit(p: ir.FloatingValue) -> ir.FloatingValue:
    """``ln(p / (1 - p))``, by `log_probability`."""
    return log_probability(p) - log_probability(1.0 - p)


def sigmoid(z: ir.FloatingValue) -> ir.FloatingValue:
    """``1 / (1 + exp(-z))``, without overflow."""
    small = (0.0 - z.abs()).exp()
    return (z >= 0.0).ifelse(1.0 / (1.0 + small), small / (1.0 + small))


def softplus(z: ir.FloatingValue) -> ir.FloatingValue:
    """``ln(1 + exp(z))``, without overflow."""
    return ibis.greatest(z, 0.0) + (1.0 + (0.0 - z.abs()).exp()).ln()
