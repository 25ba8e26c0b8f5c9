"""The bin that a probability belongs to."""

from __future__ import annotations

from typing import Literal, get_args

import ibis
import ibis.expr.types as ir

from workbench.errors import ConfigError, suggest
from workbench.formulas._values import double

BinRule = Literal["numpy", "right", "verified", "guo", "torchmetrics"]
BIN_RULES: tuple[str, ...] = get_args(BinRule)
#: Far more than p * bins and an edge are rounded by, up to a billion bins, and far less than a bin.
_NEAR = 1e-6


def bin_index(
    p: ir.NumericValue,
    bins: int | ir.IntegerValue,
    rule: str = "numpy",
    *,
    inside: bool = False,
) -> ir.IntegerValue:
    """Equal-width bin of a probability, counted from 0, exact at the edges.

    The edges are those of ``numpy.linspace(0, 1, bins + 1)``. The published rules differ only for
    values on an edge, which for rounded scores is most values:

    ``numpy``
        [e, e'), the last bin closed: ``numpy.histogram``, netcal.
    ``right``
        (e, e'], the first bin closed: scikit-learn ``calibration_curve``.
    ``verified``
        As ``right``, but the edges are the quotients ``j / bins``, which are up to one unit in the
        last place away from those of numpy: verified_calibration.
    ``guo``
        (e, e'], and 0 is in no bin (NULL); it still counts as a row of the sample.
    ``torchmetrics``
        [e, e'), and 1 has a bin of its own, number `bins`.

    Parameters
    ----------
    p
        Probability.
    bins
        Number of bins, up to a billion; a value of a query is taken as it is, and must be at least
        1.
    rule
        One of `BIN_RULES`.
    inside
        Whether `p` is known to be in [0, 1], so that it need not be asked of every row again.

    Returns
    -------
    IntegerValue
        The bin; NULL where `p` is NULL, NaN or outside [0, 1].

    Raises
    ------
    ConfigError
        If there is no such rule, or no bin.
    """
    if rule not in BIN_RULES:
        raise ConfigError(f"There is no bin rule called {rule!r}.", suggest(rule, BIN_RULES))
    if isinstance(bins, int) and bins < 1:
        raise ConfigError(f"There cannot be {bins} bins.", "Use a whole number from 1.")
    value = double(p)
    # numpy.linspace multiplies by this very double. It has to be divided out in the engine: DuckDB
    # reads 0.09090909090909091 as a DECIMAL, which becomes another double than 1 / 11.
    count = ibis.literal(bins) if isinstance(bins, int) else bins
    step = ibis.literal(1) / count
    # Moved up, floor(p * bins) is never too low, and one too high only where p is below the lower
    # edge that it would have: one comparison of the value with an edge puts it right.
    upper = (value * bins + _NEAR).floor()
    edge = upper / count if rule == "verified" else upper * step
    if rule in ("right", "verified", "guo"):
        index = ibis.greatest(upper.cast("int64") - (value <= edge).cast("int64"), 0)
    else:
        index = upper.cast("int64") - (value < edge).cast("int64")
    index = ibis.least(index, bins - 1)
    if inside and rule not in ("guo", "torchmetrics"):
        return index.cast("int64")
    branches = [((value >= 0.0) & (value <= 1.0) & ~value.isnan(), index)]
    if rule == "guo":
        branches.insert(0, (value == 0.0, ibis.null("int64")))
    elif rule == "torchmetrics":
        # A literal is written as it was reviewed: CAST(10 AS BIGINT), not a cast of a cast.
        own = ibis.literal(bins, "int64") if isinstance(bins, int) else bins.cast("int64")
        branches.insert(0, (value == 1.0, own))
    return ibis.cases(*branches, else_=ibis.null("int64")).cast("int64")
