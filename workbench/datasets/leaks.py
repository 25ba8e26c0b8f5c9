"""What one split, or one version, gives away of another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench import engine
from workbench.cleaners import near_duplicate_clusters_sql
from workbench.datasets.relations import Relations
from workbench.datasets.store import Dataset
from workbench.engine import literal

#: Columns by which rows belong together.
GROUPS = ("user_id", "session_id", "trace_id")
#: Examples at most among which near-duplicates are looked for: it takes longer than all the rest.
NEAR_ROWS = 20_000


def leaks(
    relations: Relations, dataset: Dataset, written: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Count what stands on both sides of a split or of two versions.

    Parameters
    ----------
    relations
        Where ``chosen`` and ``choices`` are.
    dataset, written
        The dataset and what was just appended to it.

    Returns
    -------
    list of dict
        ``kind``, ``between`` and ``rows``: examples of the first that are concerned. Kinds:
        ``same_content`` (the same data under another id), ``near_same_prompt`` (their prompts are
        nearly alike; looked for among at most `NEAR_ROWS` examples), ``same_user_id`` and the like,
        ``label_from_the_future`` (judged when the other split's first call was made already), and
        ``moved`` (in that split in the version before). Only what was found is listed, so an empty
        list is a clean one.
    """
    known = [name for name in ("ts", *GROUPS) if name in relations.columns]
    told = "".join(f", r.{name}" for name in known) + ("" if "ts" in known else ", NULL AS ts")
    # Of a pair the other side is in the split, too.
    relations.execute(
        "CREATE OR REPLACE TEMP TABLE placed AS SELECT k.example_id, k.split, "
        f"substr(k.content_hash, 1, 32) AS data_hash, s.label_ts{told} FROM choices k "
        "JOIN (SELECT example_id, label_ts, request_id FROM chosen UNION ALL "
        "SELECT example_id, label_ts, other_id FROM chosen WHERE other_id IS NOT NULL) s "
        "ON k.example_id = s.example_id JOIN records r ON s.request_id = r.request_id"
    )
    near = near_is_told(written["rows"], relations)
    clusters = near_duplicate_clusters_sql(
        "(SELECT e.example_id, e.prompt FROM examples e SEMI JOIN choices k "
        f"ON e.example_id = k.example_id{'' if near else ' LIMIT 0'})",
        "example_id",
        "prompt",
    )
    relations.execute(
        'CREATE OR REPLACE TEMP TABLE near_same AS SELECT "key" AS example_id, "cluster" AS near '
        f'FROM ({clusters}) QUALIFY count(*) OVER (PARTITION BY "cluster") > 1'
    )
    relations.execute(
        "CREATE OR REPLACE TEMP TABLE placed AS SELECT p.*, n.near FROM placed p "
        "LEFT JOIN near_same n ON p.example_id = n.example_id"
    )
    tests = {"same_content": "data_hash", "near_same_prompt": "near"} | {
        f"same_{name}": name for name in GROUPS if name in relations.columns
    }
    found: list[dict[str, Any]] = []
    for kind, column in tests.items():
        found += relations.run(
            f"SELECT {literal(kind)} AS kind, a.split || ' / ' || b.split AS between, "
            "count(DISTINCT a.example_id) AS rows FROM placed a "
            f"JOIN (SELECT DISTINCT split, {column} FROM placed) b "
            f"ON a.{column} = b.{column} AND a.split < b.split GROUP BY a.split, b.split ORDER BY 2"
        ).to_pylist()
    found += relations.run(
        "SELECT 'label_from_the_future' AS kind, a.split || ' / ' || b.split AS between, "
        "count(DISTINCT example_id) AS rows FROM placed a JOIN (SELECT split, min(ts) AS first_ts, "
        "max(ts) AS last_ts FROM placed GROUP BY split) b ON a.split <> b.split "
        "JOIN (SELECT split, max(ts) AS last_ts FROM placed GROUP BY split) o "
        "ON a.split = o.split AND o.last_ts <= b.first_ts "
        "WHERE a.label_ts > b.first_ts GROUP BY a.split, b.split ORDER BY 2"
    ).to_pylist()
    if written["previous"]:
        before = dataset.manifest(written["previous"])["compile_id"]
        found += relations.run(
            "SELECT 'moved' AS kind, b.split || ' before, now ' || k.split AS between, "
            f"count(*) AS rows FROM (SELECT example_id, split FROM {dataset.relation('choices')} "
            f"WHERE compile_id = {literal(before)}) b JOIN choices k "
            "ON b.example_id = k.example_id AND b.split <> k.split GROUP BY b.split, k.split "
            "ORDER BY 2"
        ).to_pylist()
    return found


def near_is_told(rows: int, relations: Relations) -> bool:
    """Whether near-duplicates are looked for: there are splits, and not too many examples."""
    splits = int(engine.scalar(relations.connection, "SELECT count(DISTINCT split) FROM choices"))
    return splits > 1 and rows <= NEAR_ROWS


def between(dataset: Dataset, first: Mapping[str, Any], second: Mapping[str, Any]) -> int:
    """How many examples of `second` that are not trained on were trained on in `first`."""
    with engine.connect() as connection:
        return int(
            engine.scalar(
                connection,
                f"SELECT count(*) FROM {dataset.relation('choices')} b "
                f"JOIN {dataset.relation('choices')} k ON b.example_id = k.example_id "
                f"WHERE b.compile_id = {literal(first['compile_id'])} AND b.split = 'train' "
                f"AND k.compile_id = {literal(second['compile_id'])} AND k.split <> 'train'",
            )
        )
