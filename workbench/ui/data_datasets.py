"""What the Slices and Datasets pages show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from workbench.configuration import load
from workbench.datasets import Slice
from workbench.datasets import compile as compiling
from workbench.datasets.card import describe
from workbench.datasets.catalog import Datasets
from workbench.datasets.choose import choose
from workbench.datasets.store import Dataset
from workbench.datasets.versions import EXAMPLES, dataset_of, diff, open_examples
from workbench.engine import identifier
from workbench.query import Build
from workbench.training_formats import parse_training_format
from workbench.ui.data import cached, project_dir

#: Examples that a preview shows.
SHOWN = 20


@dataclass(frozen=True)
class Draft:
    """What a slice gives, before it is compiled.

    Attributes
    ----------
    rows
        How many examples are kept.
    funnel
        From received to kept: ``step``, ``reason``, ``rows`` and ``unit``.
    figures
        What `workbench.datasets.card.describe` says of the examples; empty where there is none.
    preview
        The first of them by their ids.
    """

    rows: int
    funnel: list[dict[str, Any]]
    figures: Mapping[str, Any]
    preview: pa.Table


def settings_id() -> str:
    """Identity of what a draft depends on beside the build."""
    project = load(project_dir())
    return f"{project.config_id} {project.cleaning}"


@cached
def draft(source: Build, chosen: Slice, training_format: str, settings: str) -> Draft:
    """Choose the examples of a slice and describe them; nothing is kept.

    Parameters
    ----------
    source
        The build.
    chosen, training_format
        As `workbench.datasets.compile.compile_dataset` takes them.
    settings
        What `settings_id` says.

    Raises
    ------
    ConfigError, QueryError
        If the slice does not fit the build or the format.
    """
    project = load(project_dir())
    call = parse_training_format(training_format)
    with compiling.opened(project, source.id) as build:
        found = choose(build, project, chosen, call)
        relations = found.relations
        try:
            rows = relations.count("chosen")
            figures = (
                describe(relations, build, call.format.pairs, found.payload, found.columns)
                if rows
                else {}
            )
            preview = found.first(SHOWN)
        finally:
            relations.connection.close()
    return Draft(rows, found.funnel, figures, preview)


# -- datasets --------------------------------------------------------------------------------------


def dataset(name: str) -> Dataset:
    """The dataset called `name`."""
    return dataset_of(project_dir(), name)


def names() -> list[str]:
    """Names of the datasets that have a version."""
    return Datasets(Path(project_dir()).absolute()).names()


@cached
def examples(name: str, manifest: Mapping[str, Any]) -> pa.Table:
    """The first examples of a version by their ids."""
    first = ", ".join(identifier(column) for column in ("example_id", *manifest["columns"]))
    with open_examples(dataset(name), manifest) as build:
        return build.arrow(
            f"SELECT {first}, * EXCLUDE ({first}) FROM {EXAMPLES} ORDER BY example_id LIMIT {SHOWN}"
        )


@cached
def compared(project: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """What differs between the versions of two manifests of one dataset."""
    before, after = (f"{each['dataset']}@{each['version']}" for each in (first, second))
    return diff(project, before, after)


def versions(name: str) -> list[dict[str, Any]]:
    """The manifests of a dataset's versions, the oldest first."""
    return dataset(name).manifests()


def is_there(manifest: Mapping[str, Any]) -> bool:
    """Whether the examples of a version can still be read: erasure withdraws a version."""
    return not manifest.get("erased")
