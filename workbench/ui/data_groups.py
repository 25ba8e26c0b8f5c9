"""What the Groups page shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench import disparities as compared
from workbench import skew
from workbench.errors import DataError
from workbench.measure import measure
from workbench.query import Build
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
    """
    keys = [f"{source.expression(one)}::VARCHAR" for one in by]
    found = measure(source, [metric], keys, condition, least)
    return [
        {
            **row,
            "group": " · ".join(
                "(none)" if row["by"][key] is None else row["by"][key] for key in keys
            ),
            "where": " AND ".join(
                data.in_group(one, row["by"][key]) for one, key in zip(by, keys, strict=True)
            ),
        }
        for row in found
    ]


@cached
def disparities(
    source: Build, metric: str, by: Sequence[str], condition: str | None, least: int
) -> list[dict[str, Any]]:
    """How far the groups are apart in the chosen metric and in those that have names."""
    only = dict.fromkeys([metric, *compared.NAMED, "accuracy", "reward_mean", "ece"])
    return compared.disparities(source, list(only), list(by), condition, least)


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
