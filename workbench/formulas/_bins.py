"""The bin that a probability belongs to."""

from __future__ import annotations

from typing import Literal, get_args

import ibis
import ibis.expr.types as ir

from workbench.errors import ConfigError, suggest
from workbench.formulas._values import double

BinRule = Literal["numpy", "right", "verified", "guo", "torchmetrics"]
BIN_RULES: tuple[str, ...] = get_args(BinRule)
#: Far more than p * bins and an edge are rounded by, and far less than a bin, up to a billion bins.
_NEAR = 1e-12


@ibis.udf.scalar.builtin(name="floor")  # type: ignore[untyped-decorator]
def _floor(x) -> float:  # type: ignore[empty-body, no-untyped-def]
    """As a double; Ibis makes an integer of each, which takes longer than the rest."""


@ibis.udf.scalar.builtin(name="ceil")  # type: ignore[untyped-decorator]
def _ceil(x) -> float:  # type: ignore[empty-body, no-untyped-def]
    """As `_floor`."""


def bin_index(
    p: ir.NumericValue, bins: int | ir.IntegerValue, rule: str = "numpy"
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

    Returns
    -------
    IntegerValue
        The bin; NULL where `p` is NULL, NaN or outside [0, 1].

    Raises
    ------
    ConfigError
        If there is no such rule, or no bin.
    """
    value = double(p)
    index = settled_bin(open_bin(value, bins, rule), bins, rule)
    inside = (value >= 0.0) & (value <= 1.0) & ~value.isnan()
    return ibis.cases((inside, index), else_=ibis.null("int64"))


def open_bin(
    p: ir.FloatingValue, bins: int | ir.IntegerValue, rule: str = "numpy"
) -> ir.FloatingValue:
    """The bin of a probability in [0, 1] where every bin has one end: of `bin_index` all but ends.

    A whole number from -1 to `bins`, of which `settled_bin` makes the bin. Without a comparison of
    doubles, which an engine that orders NaN takes longer for than for all of this.
    """
    if rule not in BIN_RULES:
        raise ConfigError(f"There is no bin rule called {rule!r}.", suggest(rule, BIN_RULES))
    if isinstance(bins, int) and bins < 1:
        raise ConfigError(f"There cannot be {bins} bins.", "Use a whole number from 1.")
    # numpy.linspace multiplies by this very double. It has to be divided out in the engine: DuckDB
    # reads 0.09090909090909091 as a DECIMAL, which becomes another double than 1 / 11.
    count = ibis.literal(bins) if isinstance(bins, int) else bins
    # Scaled up, floor(p * bins) is never too low, and one too high only where p is below the lower
    # edge that it would have: the sign of their difference, which is exact, puts it right.
    upper = _floor(p * (bins * (1.0 + _NEAR)))
    above = p - (upper / count if rule == "verified" else upper * (ibis.literal(1) / count))
    if rule in ("right", "verified", "guo"):
        return upper + _ceil(above) - 1.0
    found = upper + _floor(above)
    # The last edge is 1, which the product may be below.
    return ibis.least(found, _floor(p) + (bins - 1)) if rule == "torchmetrics" else found


def settled_bin(
    found: ir.FloatingValue, bins: int | ir.IntegerValue, rule: str = "numpy"
) -> ir.IntegerValue:
    """The bin of `bin_index` out of that of `open_bin`: 0 and 1 go where `rule` has them."""
    index = found.cast("int64")
    if rule == "torchmetrics":
        return index
    index = ibis.least(index, bins - 1)
    if rule == "guo":
        return index.nullif(-1)
    return index if rule == "numpy" else ibis.greatest(index, 0)
