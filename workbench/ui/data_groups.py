"""What the Groups page shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench import disparities as compared
from workbench import skew
from workbench.errors import DataError, QueryError
from workbench.query import Build
from workbench.state import measure_quick
from workbench.ui import data
from workbench.ui.data import cached

#: Crossed groups that a chart shows at most.
MOST = 60


@cached
def by_groups(
    source: Build, metric: str, by: Sequence[str], condition: str | None, least: int
) -> list[dict[str, Any]]:
    """A metric by one or more crossed expressions; small groups are hidden.

    Each dict is one of `workbench.measure.measure`, with ``group`` (what the group is called) and
    ``where`` (SQL of its rows).

    Raises
    ------
    QueryError
        If there are more than `MOST` groups.
    """
    keys = [f"{source.expression(one)}::VARCHAR" for one in by]
    found = measure_quick(source, [metric], keys, condition, least)
    if len(found) > MOST:
        raise QueryError(
            f"{' and '.join(by)} have {len(found)} groups together, more than {MOST}.",
            "Choose columns with fewer values, or filter.",
        )
    return [
        {
            **row,
            "group": " · ".join(
                "(none)" if row["by"][key] is None else row["by"][key] for key in keys
            ),
            "where": _where(by, row["by"]),
        }
        for row in found
    ]


def _where(by: Sequence[str], values: Mapping[str, Any]) -> str:
    pairs = zip(by, values.values(), strict=True)
    return " AND ".join(data.in_group(one, value) for one, value in pairs)


@cached
def disparities(
    source: Build, metric: str, by: Sequence[str], condition: str | None, least: int
) -> list[dict[str, Any]]:
    """How far the groups are apart in the chosen metric and in those that have names.

    Each dict is one of `workbench.disparities.compare`, with ``where``: SQL of the rows of the two
    groups that are furthest apart, or None.
    """
    only = dict.fromkeys([metric, *compared.NAMED, "accuracy", "reward_mean", "ece"])
    keys = [f"{source.expression(one)}::VARCHAR" for one in by]
    found = compared.disparities(source, list(only), keys, condition, least)
    return [{**row, "where": _either(by, row)} for row in found]


def _either(by: Sequence[str], row: Mapping[str, Any]) -> str | None:
    if row["difference"] is None:
        return None
    return f"({_where(by, row['lowest'])} OR {_where(by, row['highest'])})"


@cached
def reweighted(source: Build, condition: str | None) -> list[dict[str, Any]]:
    """Headline metrics as observed and reweighted, once each; nothing without weights."""
    try:
        found = skew.weighted(source, (), (), condition)
    except DataError:
        return []
    rows = []
    for row in found:
        rows.append({"name": row["metric"], "series": "observed", **row["observed"]})
        kept = ("value", "low", "high", "n", "reason", "n_effective", "largest_weight")
        rows.append({"name": row["metric"], "series": "reweighted", **{k: row[k] for k in kept}})
    return rows


@cached
def who_answers(source: Build, condition: str | None) -> list[dict[str, Any]]:
    """Response rates by each value of the columns that tell most of who gives feedback."""
    return skew.rates(source, (), condition)
