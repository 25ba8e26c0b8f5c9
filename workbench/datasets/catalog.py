"""The slices and the datasets of a project folder, by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.configuration import load
from workbench.datasets import slices, store, versions
from workbench.datasets.card import card
from workbench.datasets.choose import Narrate, choose, silent
from workbench.datasets.compile import compile_dataset, opened, reproduce, restore
from workbench.datasets.slice import Slice
from workbench.errors import ConfigError
from workbench.formats import formats
from workbench.project import STATE_NAME
from workbench.query import Build, open_build
from workbench.training_formats import parse_training_format

#: What a list of versions says of each, from its manifest.
_LISTED = ("training_format", "rows", "added", "revised", "slice_id", "build", "created_at")


def file_format(name: str | None, path: str | Path) -> str:
    """The file format called `name`; by the ending of `path` when None.

    Raises
    ------
    ConfigError
        If neither names one.
    """
    chosen = name or Path(path).suffix.lstrip(".").lower()
    if chosen not in formats:
        raise ConfigError(
            f"The ending of {str(path)!r} names no format.",
            f"Add --format: {', '.join(formats.names())}.",
        )
    return chosen


def _whole_columns(chosen: Slice, build: Build) -> Slice:
    """The slice with a struct in place of those of its fields that a training set would have."""
    known = build.columns(chosen.relation)
    columns = (name if name in known else name.partition(".")[0] for name in chosen.columns)
    return replace(chosen, columns=tuple(dict.fromkeys(columns)))


@dataclass(frozen=True)
class Slices:
    """The saved slices of a project.

    Attributes
    ----------
    folder
        The project folder.
    """

    folder: Path

    def names(self) -> list[str]:
        """Names of the saved slices."""
        return slices.names(self.folder)

    def get(self, name: str) -> Slice:
        """Read a slice; see `workbench.datasets.slices.load_slice`."""
        return slices.load_slice(self.folder, name)

    def save(self, name: str, chosen: Slice, *, force: bool = False) -> Path:
        """Save a slice; see `workbench.datasets.slices.save_slice`."""
        return slices.save_slice(self.folder, name, chosen, force=force)

    def count(self, chosen: str | Slice) -> int:
        """Count the rows of a slice in the build in force; raises like `Slice.sql`."""
        with open_build(self.folder) as build:
            found = _whole_columns(self._found(chosen), build)
            # The columns are checked before a row is drawn.
            _ = replace(found, sampler=None).sql(build)
            return found.count(build)

    def preview(
        self,
        chosen: str | Slice,
        training_format: str | None = None,
        *,
        limit: int = 3,
        narrate: Narrate = silent,
    ) -> dict[str, Any]:
        """What a slice gives in the build in force; nothing is kept.

        Parameters
        ----------
        chosen
            The slice, or its name.
        training_format
            Such as ``kto``: examples are shown, and what became of the rest. The rows of the
            relation when None.
        limit
            Rows to show.
        narrate
            Is told what is being done.

        Returns
        -------
        dict
            ``slice_id``, ``build``, ``training_format``, ``rows`` (how many there are), ``funnel``
            (empty without a training format) and ``first`` (rows).

        Raises
        ------
        ConfigError, QueryError
            If the slice does not fit the build or the format.
        """
        found = self._found(chosen)
        shown: dict[str, Any] = {"slice_id": found.id}
        if training_format is None:
            with open_build(self.folder) as build:
                few = _whole_columns(found, build)
                if few.sampler is None:
                    few = replace(few, limit=min(limit, few.limit or limit))
                rows = found.count(build)
                first = build.run(few.sql(build), limit=limit, timeout=None).table.to_pylist()
                return {
                    **shown, "build": build.id, "training_format": None, "rows": rows,
                    "funnel": [], "first": first[:rows],
                }  # fmt: skip
        project, call = load(self.folder), parse_training_format(training_format)
        with opened(project) as build:
            made = choose(build, project, found, call, narrate)
            relations = made.relations
            try:
                rows = relations.count("chosen")
                first = made.first(limit).to_pylist()
            finally:
                relations.connection.close()
            return {
                **shown, "build": build.id, "training_format": str(call), "rows": rows,
                "funnel": made.funnel, "first": first,
            }  # fmt: skip

    def _found(self, chosen: str | Slice) -> Slice:
        return self.get(chosen) if isinstance(chosen, str) else chosen


@dataclass(frozen=True)
class Datasets:
    """The datasets of a project. ``NAME`` stands for the newest version, or ``NAME@version``.

    Attributes
    ----------
    folder
        The project folder.
    """

    folder: Path

    def names(self) -> list[str]:
        """Names of the datasets."""
        return store.names(self.folder / STATE_NAME)

    def holds(self, what: str) -> bool:
        """Whether `what` is of a dataset; a relation of the build goes before one of its name."""
        if "@" in what or what not in self.names():
            return "@" in what
        with open_build(self.folder) as build:
            return what not in build.relation_names()

    def versions(self, name: str | None = None) -> list[dict[str, Any]]:
        """What there is, the oldest first, of every dataset or of one.

        Returns
        -------
        list of dict
            ``dataset``, ``version``, ``tags``, ``training_format``, ``rows``, ``added``,
            ``revised``, ``slice_id``, ``build``, ``created_at``, and ``erased``: how many of its
            examples `workbench.forget` erased, after which it cannot be read.

        Raises
        ------
        NotFoundError
            If there is no dataset called `name`.
        """
        if name is not None and name not in self.names():
            self.show(name)
        found = []
        for each in self.names() if name is None else [name]:
            dataset = versions.dataset_of(self.folder, each)
            tags = sorted(dataset.tags().items())
            found += [
                {
                    "dataset": each,
                    "version": manifest["version"],
                    "tags": [tag for tag, version in tags if version == manifest["version"]],
                }
                | {key: manifest[key] for key in _LISTED}
                | {"erased": manifest.get("erased", 0)}
                for manifest in dataset.manifests()
            ]
        return found

    def compile(
        self,
        name: str,
        chosen: str | Slice,
        training_format: str,
        *,
        tags: Sequence[str] = (),
        narrate: Narrate = silent,
    ) -> dict[str, Any]:
        """Compile a slice, or the one of that name; see `workbench.datasets.compile_dataset`."""
        found = slices.load_slice(self.folder, chosen) if isinstance(chosen, str) else chosen
        return compile_dataset(
            self.folder, name, found, training_format, tags=tuple(tags), narrate=narrate
        )

    def reproduce(self, what: str, *, narrate: Narrate = silent) -> dict[str, Any]:
        """Make a version anew and compare; its manifest.

        `what` may be the path of a manifest: a version whose examples are not here is made of it.
        See `workbench.datasets.compile.reproduce` and `workbench.datasets.compile.restore`.
        """
        if not what.endswith(".json"):
            manifest = self.show(what)
        else:
            manifest = store.read_manifest(Path(what))
            known = versions.dataset_of(self.folder, manifest["dataset"]).manifests()
            if all(each["compile_id"] != manifest["compile_id"] for each in known):
                return restore(self.folder, manifest, narrate)
        reproduce(self.folder, manifest, narrate)
        return manifest

    def show(self, what: str) -> dict[str, Any]:
        """The manifest of a version.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        name, version = versions.split_name(what)
        return versions.dataset_of(self.folder, name).manifest(version)

    def card(self, what: str) -> str:
        """The card of a version in Markdown."""
        return card(self.show(what))

    def tag(self, what: str, tag: str) -> str:
        """Give a version a name; which version that is. See `workbench.datasets.store.Dataset`."""
        name, version = versions.split_name(what)
        return versions.dataset_of(self.folder, name).tag(tag, version)

    def diff(self, first: str, second: str) -> dict[str, Any]:
        """Compare two versions; see `workbench.datasets.diff`."""
        return versions.diff(self.folder, first, second)

    def export(
        self,
        what: str,
        path: str | Path,
        *,
        format: str | None = None,
        where: str | None = None,
        columns: Sequence[str] = (),
        since: str | None = None,
        force: bool = False,
    ) -> dict[str, Any]:
        """Write a version, or what is new in it; see `workbench.datasets.export_dataset`."""
        return versions.export_dataset(
            self.folder,
            what,
            file_format(format, path),
            path,
            where=where,
            columns=tuple(columns),
            since=since,
            force=force,
        )

    def replay(
        self,
        what: str,
        path: str | Path,
        *,
        since: str,
        n: int,
        old_share: float = 0.5,
        seed: int = 0,
        format: str | None = None,
        force: bool = False,
    ) -> dict[str, Any]:
        """Write a mix of new and old examples; see `workbench.datasets.replay`."""
        return versions.replay(
            self.folder,
            what,
            since,
            file_format(format, path),
            path,
            n=n,
            old_share=old_share,
            seed=seed,
            force=force,
        )
