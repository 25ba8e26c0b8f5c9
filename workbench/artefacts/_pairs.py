"""Which rows have a calibration pair."""

from __future__ import annotations

import ibis.expr.types as ir

from workbench.formulas import probability


def known(rows: ir.Table) -> ir.BooleanValue:
    """Whether both the probability and the outcome of a row are known."""
    return probability(rows.calibration_p).notnull() & probability(rows.calibration_y).notnull()
