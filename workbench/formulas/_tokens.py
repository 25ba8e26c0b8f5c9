"""Summaries of the log-probabilities of generated tokens."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from workbench.formulas._values import null

LEAST_LOGPROB = -1000.0
"""Log-probabilities below this are placeholders that some providers write for "not available"."""

LOGPROB_TOLERANCE = 1e-6
"""How far above 0 rounding may bring the logarithm of a probability."""

# Its exponential is near the largest double.
_LARGEST_EXPONENT = 700.0


def _tokens(logprobs: ir.ArrayValue) -> ir.ArrayValue:
    """The log-probabilities; NULL where there is none or one is missing or impossible."""
    tokens = logprobs.cast("array<float64>")
    bad = tokens.filter(
        lambda p: p.isnull() | p.isnan() | (p < LEAST_LOGPROB) | (p > LOGPROB_TOLERANCE)
    )
    return ((tokens.length() > 0) & (bad.length() == 0)).ifelse(tokens, ibis.null(tokens.type()))


def sum_logprob(token_logprobs: ir.ArrayValue) -> ir.FloatingValue:
    """Log-probability of the whole answer in nats; it falls with every token.

    Parameters
    ----------
    token_logprobs
        Natural-log probability of each token. NULL where the list is empty or an element is NULL,
        NaN, above 0 by more than 1e-6, or below -1000, which no model gives to a token that it
        chose.

    Returns
    -------
    FloatingValue
        Sum of the log-probabilities.
    """
    return _tokens(token_logprobs).sums()


def mean_logprob(token_logprobs: ir.ArrayValue) -> ir.FloatingValue:
    """Mean log-probability of a token in nats; low = unsure. It does not depend on the length.

    Parameters
    ----------
    token_logprobs
        Natural-log probability of each token; see `sum_logprob`.

    Returns
    -------
    FloatingValue
        Mean of the log-probabilities.
    """
    return _tokens(token_logprobs).means()


def min_logprob(token_logprobs: ir.ArrayValue) -> ir.FloatingValue:
    """Log-probability of the token that surprised the model most, in nats; low = unsure.

    Parameters
    ----------
    token_logprobs
        Natural-log probability of each token; see `sum_logprob`.

    Returns
    -------
    FloatingValue
        Least of the log-probabilities.
    """
    return _tokens(token_logprobs).mins()


def perplexity(token_logprobs: ir.ArrayValue) -> ir.FloatingValue:
    """Perplexity of the answer: among how many equally likely tokens the model chose, on average.

    Parameters
    ----------
    token_logprobs
        Natural-log probability of each token; see `sum_logprob`.

    Returns
    -------
    FloatingValue
        ``exp(-mean)``; NULL where that is no finite number.
    """
    exponent = 0.0 - mean_logprob(token_logprobs)
    # The exponential is not asked for what would overflow, which is an error in some engines.
    known = (exponent <= _LARGEST_EXPONENT).ifelse(exponent, null())
    return known.exp()
