"""What ``workbench metrics`` prints of who gives feedback, and of metrics that are reweighted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.cli._common import print_json, print_table

if TYPE_CHECKING:
    from workbench.handle import Workbench

_ROW = ("metric", "by", "value", "low", "high", "n", "n_labelled", "reason")


def print_rates(workbench: Workbench, by: Sequence[str], where: str | None, as_json: bool) -> None:
    """Response rates by each candidate column; as JSON in the form of all metrics."""
    rows = workbench.response(by, where=where)
    if not as_json:
        columns = (
            "column_name", "value", "response_rate", "low", "high", "n", "n_labelled", "spread",
        )  # fmt: skip
        print_table(columns, [[row[name] for name in columns] for row in rows])
        return
    print_json(
        [
            {
                "metric": "response_rate",
                "by": {row["column_name"]: row["value"]},
                "value": row["response_rate"],
                **{name: row[name] for name in ("low", "high", "n", "n_labelled")},
                "reason": None,
            }
            for row in rows
        ]
    )


def print_weighted(
    workbench: Workbench,
    only: Sequence[str],
    by: Sequence[str],
    where: str | None,
    as_json: bool,
) -> None:
    """Metrics as observed and reweighted; as JSON the reweighted ones, in the form of all."""
    rows = workbench.skew(only, by=by, where=where)
    if as_json:
        print_json([{name: row[name] for name in _ROW} for row in rows])
        return
    columns = (
        "metric", *by, "observed", "reweighted", "low", "high", "n", "n_effective",
        "largest_weight", "reason",
    )  # fmt: skip
    print_table(
        columns,
        [
            [
                row["metric"],
                *(row["by"].get(name) for name in by),
                row["observed"]["value"],
                row["value"],
                *(row[name] for name in columns[len(by) + 3 :]),
            ]
            for row in rows
        ],
    )
