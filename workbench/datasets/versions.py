"""Versions of a dataset, read as relations: exported, compared, mixed for replay."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench import engine
from workbench.datasets.export import write_file
from workbench.datasets.leaks import between
from workbench.datasets.slice import Slice
from workbench.datasets.store import Dataset
from workbench.engine import literal
from workbench.errors import ConfigError
from workbench.project import STATE_NAME
from workbench.query import Build
from workbench.samplers import random_number

#: Name of the relation of examples.
EXAMPLES = "examples"
#: Key of the file metadata that describes a dataset's version, as JSON.
DATASET_KEY = "workbench_dataset"
#: Key of the card, in Markdown.
CARD_KEY = "workbench_card"
#: Key of the licence.
LICENSE_KEY = "workbench_license"


def split_name(text: str) -> tuple[str, str | None]:
    """Read ``name`` or ``name@version``."""
    name, _, version = text.partition("@")
    return name, version or None


def dataset_of(project_dir: str | Path, name: str) -> Dataset:
    """The dataset called `name` of a project."""
    return Dataset(Path(project_dir).expanduser().absolute() / STATE_NAME, name)


@contextmanager
def open_examples(
    dataset: Dataset, manifest: Mapping[str, Any], query: str | None = None
) -> Iterator[Build]:
    """A version as a build with the one relation `EXAMPLES`, for slices, exports and SQL."""
    files = [path for table in ("examples", "choices") for path in dataset.files(table)]
    base = engine.connect()
    try:
        base.execute("ATTACH ':memory:' AS build")
        base.execute("USE build")
        base.execute("CREATE SCHEMA narrow")
        sql = query or dataset.snapshot_sql(manifest)
        base.execute(f"CREATE VIEW build.main.{EXAMPLES} AS {sql}")
        engine.lock(base, files)
        yield Build(str(manifest["version"]), manifest, dataset.state, base)
    finally:
        base.close()


def export_dataset(
    project_dir: str | Path,
    what: str,
    fmt: str,
    path: str | Path,
    *,
    where: str | None = None,
    columns: tuple[str, ...] = (),
    since: str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Write a version of a dataset to a file, in the order of its example ids.

    Parameters
    ----------
    project_dir
        The project folder.
    what
        ``name`` or ``name@version``.
    fmt
        Name of a file format.
    path
        The file to write.
    where
        SQL condition over the columns of an example.
    columns
        Columns to take; all when empty.
    since
        A version: only what is new since then is written, with a column ``change`` that says
        ``added``, ``revised`` or ``withdrawn``.
    force
        Replace a file that exists.

    Returns
    -------
    dict
        ``path``, ``rows``, ``bytes``, ``sha256``, ``version``.
    """
    from workbench.datasets.card import card

    name, version = split_name(what)
    dataset = dataset_of(project_dir, name)
    manifest = dataset.manifest(version)
    query = _changes(dataset, dataset.manifest(since), manifest) if since else None
    with open_examples(dataset, manifest, query) as build:
        chosen = Slice(relation=EXAMPLES, where=where, columns=columns)
        sql = chosen.sql(build)
        rows = chosen.count(build)
        described = {
            key: manifest[key]
            for key in ("dataset", "version", "training_format", "slice_id", "content_hash")
        }
        reader = build.stream(_ordered(sql, columns))
        done = write_file(
            reader,
            fmt,
            path,
            rows=rows,
            metadata={
                DATASET_KEY: json.dumps(described),
                CARD_KEY: card(manifest),
                **({LICENSE_KEY: manifest["license"]} if manifest["license"] else {}),
            },
            force=force,
        )
    return {**done, "version": manifest["version"]}


def _ordered(sql: str, columns: tuple[str, ...]) -> str:
    if columns and "example_id" not in columns:
        return sql
    return f"SELECT * FROM ({sql}) ORDER BY example_id"


def _changes(dataset: Dataset, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Query of what became of the examples between two versions."""
    before, after = dataset.snapshot_sql(old), dataset.snapshot_sql(new)
    return (
        f"SELECT n.*, CASE WHEN o.example_id IS NULL THEN 'added' ELSE 'revised' END AS change "
        f"FROM ({after}) n LEFT JOIN ({before}) o ON n.example_id = o.example_id "
        "WHERE o.revision IS DISTINCT FROM n.revision "
        "UNION ALL BY NAME "
        f"SELECT o.*, 'withdrawn' AS change FROM ({before}) o "
        f"ANTI JOIN ({after}) n ON o.example_id = n.example_id"
    )


def diff(project_dir: str | Path, first: str, second: str) -> dict[str, Any]:
    """Compare two versions of a dataset.

    Parameters
    ----------
    project_dir
        The project folder.
    first, second
        ``name@version`` each.

    Returns
    -------
    dict
        ``rows`` (of both), ``added``, ``revised``, ``unchanged``, ``withdrawn``, ``slice`` (what
        changed in it), ``counts`` (share of each split, label and source in both, and how far
        apart the two distributions are: total variation distance), and ``test_was_trained``.
    """
    name, version = split_name(first)
    other, other_version = split_name(second)
    if name != other:
        raise ConfigError(
            "Two versions of one dataset can be compared.", f"Write {name}@v1.0 {name}@v2.0."
        )
    dataset = dataset_of(project_dir, name)
    old, new = dataset.manifest(version), dataset.manifest(other_version)
    choices = dataset.relation("choices")
    with engine.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FILTER (o.example_id IS NULL), "
            "count(*) FILTER (o.revision <> n.revision), "
            "count(*) FILTER (o.revision = n.revision), count(*) FILTER (n.example_id IS NULL) "
            f"FROM (SELECT * FROM {choices} WHERE compile_id = {literal(old['compile_id'])}) o "
            f"FULL JOIN (SELECT * FROM {choices} WHERE compile_id = {literal(new['compile_id'])}) "
            "n ON o.example_id = n.example_id"
        ).fetchone()
    keys = sorted({*old["slice"], *new["slice"]})
    return {
        "dataset": name,
        "versions": [old["version"], new["version"]],
        "rows": [old["rows"], new["rows"]],
        **dict(
            zip(("added", "revised", "unchanged", "withdrawn"), row or (0, 0, 0, 0), strict=True)
        ),
        "slice": {
            key: [old["slice"].get(key), new["slice"].get(key)]
            for key in keys
            if old["slice"].get(key) != new["slice"].get(key)
        },
        "counts": {
            key: _shift(old["counts"].get(key, []), new["counts"].get(key, []))
            for key in sorted({*old["counts"], *new["counts"]})
        },
        "test_was_trained": between(dataset, old, new),
    }


def _shift(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> dict[str, Any]:
    shares = []
    for rows in (old, new):
        total = sum(row["rows"] for row in rows) or 1
        shares.append({str(row["value"]): row["rows"] / total for row in rows})
    values = sorted({*shares[0], *shares[1]})
    return {
        "values": {value: [side.get(value, 0.0) for side in shares] for value in values},
        "distance": sum(abs(shares[0].get(v, 0.0) - shares[1].get(v, 0.0)) for v in values) / 2,
    }


def replay(
    project_dir: str | Path,
    what: str,
    since: str,
    fmt: str,
    path: str | Path,
    *,
    n: int,
    old_share: float = 0.5,
    seed: int = 0,
    force: bool = False,
) -> dict[str, Any]:
    """Write a mix of new examples and a reservoir of old ones (experience replay).

    Parameters
    ----------
    project_dir
        The project folder.
    what
        ``name`` or ``name@version``.
    since
        The version up to which examples are old; those added or revised after it are new.
    fmt, path
        The file format and the file.
    n
        Examples in all, or fewer where there are not so many.
    old_share
        Share of them that is old, 0 to 1.
    seed
        Seed of the draw: a simple random sample of each side.
    force
        Replace a file that exists.

    Returns
    -------
    dict
        As `export_dataset`, with ``old`` and ``new``: how many there are of each.

    Raises
    ------
    ConfigError
        If the share is not between 0 and 1.
    """
    if not 0 <= old_share <= 1 or n < 0:
        raise ConfigError("A replay needs a share of old examples from 0 to 1.", "Try 0.5.")
    name, version = split_name(what)
    dataset = dataset_of(project_dir, name)
    old, new = dataset.manifest(since), dataset.manifest(version)
    n_old = round(n * old_share)
    after, before = dataset.snapshot_sql(new), dataset.snapshot_sql(old)
    query = (
        "SELECT * EXCLUDE (place) FROM (SELECT *, row_number() OVER (PARTITION BY replay "
        f"ORDER BY {random_number('example_id', f'replay:{seed}')}, example_id) AS place FROM ("
        "SELECT n.*, CASE WHEN o.revision IS NOT DISTINCT FROM n.revision THEN 'old' ELSE 'new' "
        f"END AS replay FROM ({after}) n LEFT JOIN ({before}) o ON n.example_id = o.example_id)) "
        f"WHERE place <= CASE replay WHEN 'old' THEN {n_old} ELSE {n - n_old} END"
    )
    with open_examples(dataset, new, query) as build:
        sizes = {
            side: build.count(f"SELECT 1 FROM {EXAMPLES} WHERE replay = {literal(side)}")
            for side in ("old", "new")
        }
        reader = build.stream(f"SELECT * FROM {EXAMPLES} ORDER BY example_id")
        done = write_file(reader, fmt, path, rows=sum(sizes.values()), force=force)
    return {**done, "version": new["version"], **sizes}
