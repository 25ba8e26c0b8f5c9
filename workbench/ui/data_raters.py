"""What the Raters page shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from workbench import artefacts, raters
from workbench.configuration import load
from workbench.engine import literal
from workbench.query import Build
from workbench.ui.data import cached

Row = dict[str, Any]

#: Inferences whose label another policy changes, that a page lists at most.
MOST_CHANGED = 200


@cached
def table(source: Build, condition: str | None) -> list[Row]:
    """Every rater; ``mark`` is their name and that of the signal."""
    found = raters.raters(source, condition)
    return [{**row, "mark": f"{row['rater_id']} · {row['name']}"} for row in found]


@cached
def agreement(source: Build, condition: str | None) -> list[Row]:
    """How far raters agree, by signal and by pair; ``mark`` is the names of a pair."""
    found = raters.agreement(source, (), condition)
    return [{**row, **row["by"], "mark": " · ".join([*row["by"].values()][1:])} for row in found]


def policies(source: Build) -> list[Row]:
    """How labels would change under each policy, with the weights that are pinned now."""
    return _policies(source, _pinned(source))


def changed(source: Build, policy: str) -> list[str]:
    """Ids of inferences whose label is another one under a policy, some of them if many."""
    return _changed(source, policy, _pinned(source))


def _pinned(source: Build) -> str | None:
    return artefacts.pinned(artefacts.folder(load(source.project_dir))).get("raters")


@cached
def _policies(source: Build, _weights: str | None, /) -> list[Row]:
    return raters.policies(source, load(source.project_dir))


@cached
def _changed(source: Build, policy: str, weights: str | None) -> list[str]:
    rows = raters.compared(source, load(source.project_dir), policy)
    rows = rows.filter(rows.changed).order_by("request_id").limit(MOST_CHANGED)
    ids: list[str] = source.execute(rows.select("request_id"))["request_id"].to_pylist()
    return ids


def judged_by(names: Iterable[str], signal: str) -> str:
    """Condition of the inferences that all these raters judged under a signal."""
    return " AND ".join(
        "request_id IN (SELECT request_id FROM enriched_feedback WHERE name = "
        f"{literal(signal)} AND rater_id = {literal(name)})"
        for name in names
    )


@cached
def events(source: Build, names: list[str], signal: str, condition: str | None, n: int) -> pa.Table:
    """The latest events of raters under a signal, those of one inference together."""
    listed = ", ".join(literal(name) for name in names)
    also = f" AND {condition} AND {judged_by(names, signal)}" if condition else ""
    return source.arrow(
        "SELECT request_id, rater_id, feedback_ts, name, value, reward, label, prediction "
        f"FROM narrow.enriched_feedback WHERE name = {literal(signal)} "
        f"AND rater_id IN ({listed}) AND NOT retracted{also or ' AND ' + judged_by(names, signal)} "
        f"ORDER BY max(feedback_ts) OVER (PARTITION BY request_id) DESC, request_id, rater_id "
        f"LIMIT {n}"
    )


@cached
def raters_sql(source: Build, condition: str | None) -> str:
    """The queries behind the table of raters."""
    return ";\n\n".join(map(source.sql_of, raters.rater_counts(source, condition)))


@cached
def agreement_sql(source: Build, condition: str | None) -> str:
    """The queries behind the figures of agreement."""
    return ";\n\n".join(map(source.sql_of, raters.agreement_counts(source, condition)))


@cached
def policy_sql(source: Build, policy: str) -> str:
    """The query of labels under a policy that needs no weights."""
    return source.sql_of(raters.compared(source, load(source.project_dir), policy))
