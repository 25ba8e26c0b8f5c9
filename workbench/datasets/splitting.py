"""Puts what was drawn into splits."""

from __future__ import annotations

from workbench.cleaners import near_duplicate_clusters_sql
from workbench.datasets.relations import Relations
from workbench.datasets.split import Split
from workbench.engine import literal
from workbench.samplers import random_number


def split_sql(relations: Relations, split: Split | None, seed: int, prompts: str) -> str:
    """Query of the split of each example.

    Parameters
    ----------
    relations
        Where the tables ``drawn`` and ``candidates`` are.
    split
        How to split.
    seed
        Seed of the random numbers of groups.
    prompts
        Query in brackets of ``example_id`` and ``prompt`` of what was drawn.

    Returns
    -------
    str
        A query of ``example_id``, ``split`` and ``split_group``, which is NULL where a row is a
        group of its own, and where it would show what is protected.
    """
    if split is None:
        return "SELECT example_id, 'train' AS split, NULL::VARCHAR AS split_group FROM drawn"
    if split.by == "time":
        # Rows of one time stay together.
        return (
            f"SELECT example_id, {_parts(split, 'place')} AS split, "
            "CAST(ts AS VARCHAR) AS split_group FROM (SELECT d.example_id, r.ts, "
            "(rank() OVER (ORDER BY r.ts NULLS FIRST) - 0.5) / count(*) OVER () AS place "
            "FROM drawn d JOIN candidates c ON d.example_id = c.example_id "
            "JOIN records r ON c.request_id = r.request_id)"
        )
    shown = "split_group"
    if split.by == "near_duplicates":
        clusters = near_duplicate_clusters_sql(prompts, "example_id", "prompt")
        groups = f'SELECT "key" AS example_id, "cluster" AS split_group FROM ({clusters})'
    else:
        by = relations.build.expression(split.by)
        if not relations.sees(by):  # the groups stay together all the same
            shown = "NULL::VARCHAR AS split_group"
        known = relations.build.narrowest("enriched_inferences", by)
        groups = (
            f"SELECT example_id, CAST({by} AS VARCHAR) AS split_group FROM ("
            "SELECT r.*, d.example_id FROM drawn d "
            "JOIN candidates c ON d.example_id = c.example_id "
            f"JOIN {known} r ON c.request_id = r.request_id)"
        )
    u = random_number("grouped_by", f"split:{seed}")
    return (
        f"SELECT example_id, {_parts(split, u)} AS split, {shown} FROM ("
        f"SELECT *, coalesce(split_group, example_id) AS grouped_by FROM ({groups}))"
    )


def _parts(split: Split, u: str) -> str:
    """SQL of the part in which a number in (0, 1) falls."""
    cases, upto = [], 0.0
    for name, share in split.parts[:-1]:
        upto += share
        cases.append(f"WHEN {u} < {upto!r} THEN {literal(name)}")
    return f"CASE {' '.join(cases)} ELSE {literal(split.parts[-1][0])} END"
