"""``workbench metrics --disparities``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.cli._common import plain, print_json, print_table, say

if TYPE_CHECKING:
    from workbench.handle import Workbench


def print_disparities(
    workbench: Workbench,
    only: Sequence[str],
    by: Sequence[str],
    where: str | None,
    least: int | None,
    as_json: bool,
) -> None:
    """Print how far the groups are apart, and which of them are hidden."""
    from workbench.disparities import LEAST

    fewest = LEAST if least is None else least
    rows = workbench.disparities(only, by=by, where=where, least=fewest)
    if as_json:
        print_json(rows)
        return
    numbers = ("difference", "low", "high", "adjusted_low", "adjusted_high", "ratio")
    columns = ("disparity", *numbers, "four_fifths", "lowest", "highest", "comparisons", "left_out")
    print_table(
        columns,
        [[row["disparity"], *(row[name] for name in numbers), _four_fifths(row),
          _group(row["lowest"]), _group(row["highest"]), row["comparisons"],
          "; ".join(f"{_group(g['by'])}: {g['reason']}" for g in row["groups"] if g["reason"])]
         for row in rows],
    )  # fmt: skip
    hidden = {_group(g["by"]) for row in rows for g in row["groups"] if g["reason"] == "suppressed"}
    if hidden:
        say(
            f"Some values of {len(hidden)} groups are hidden: fewer than {fewest} rows, or a total "
            "would give such a group away."
        )


def _four_fifths(row: Mapping[str, Any]) -> str | None:
    if row["below_four_fifths"] is None:
        return None
    side = "below" if row["below_four_fifths"] else "above"
    return side if row["four_fifths_certain"] else f"{side}, unsure"


def _group(values: Mapping[str, Any] | None) -> str | None:
    if values is None:
        return None
    return ", ".join("NULL" if v is None else str(plain(v)) for v in values.values())
