"""``workbench metrics --calibrated``."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.cli._common import print_grouped, print_json
from workbench.handle import Workbench


def print_calibrated(
    workbench: Workbench,
    only: Sequence[str],
    by: Sequence[str],
    where: str | None,
    as_json: bool,
) -> None:
    """Print metrics before and after recalibration."""
    rows = workbench.calibrated(only, by=by, where=where)
    if as_json:
        print_json(rows)
        return
    columns = ("metric", "probability", *by, "value", "low", "high", "n", "n_labelled", "reason")
    print_grouped(columns, rows, by)
