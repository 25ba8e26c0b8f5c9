"""Compiles a slice into a version of a training set, and makes a version anew."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench import __version__, engine, progress
from workbench.configuration import load
from workbench.datasets import store
from workbench.datasets.card import describe
from workbench.datasets.choose import Narrate, choose, silent
from workbench.datasets.hashes import content_hash
from workbench.datasets.leaks import leaks
from workbench.datasets.slice import Slice
from workbench.errors import DataError, NotFoundError
from workbench.project import Project
from workbench.query import Build, open_build
from workbench.training_formats import parse_training_format

#: Memory of the engine beyond which a compile spills to disk.
MEMORY = "384MB"


def opened(project: Project, build_id: str | None = None) -> Build:
    """The build for a compile: it spills to the project's folder, within `MEMORY`."""
    engine.sweep(project.state)
    folders = [project.state / store.FOLDER]
    return open_build(project.root, build_id, memory_limit=MEMORY, folders=folders)


def compile_dataset(
    project_dir: Path,
    name: str,
    chosen: Slice,
    training_format: str,
    *,
    build_id: str | None = None,
    tags: tuple[str, ...] = (),
    again: Mapping[str, Any] | None = None,
    narrate: Narrate = silent,
) -> dict[str, Any]:
    """Compile a slice into the next version of a dataset.

    Parameters
    ----------
    project_dir
        The project folder.
    name
        The dataset; it is made if need be.
    chosen
        The slice.
    training_format
        Such as ``kto(good='reward >= 0.75')``.
    build_id
        The build to read; the current one when None.
    tags
        Names that the version gets.
    again
        The manifest of a version that is to be made anew: there is no version unless the examples
        are the same.
    narrate
        Is told what is being done.

    Returns
    -------
    dict
        The manifest of the version, with the ``stages`` of the compile.

    Raises
    ------
    ConfigError
        If the slice or the format do not fit the project, or the dataset has another format.
    DataError
        If nothing is left to be trained on; the funnel says where it went.
    """
    project = load(project_dir)
    call = parse_training_format(training_format)
    dataset = store.Dataset(project.state, name)
    started = time.monotonic()
    with (
        dataset.writing(),
        opened(project, build_id) as build,
        progress.recording() as stages_so_far,
    ):
        dataset.check_format(call.format.name)
        found = choose(build, project, chosen, call, narrate)
        relations = found.relations
        try:
            if not (rows := relations.count("chosen")):
                raise DataError(
                    "Nothing is left to be trained on: " + _in_words(found.funnel) + ".",
                    "Widen the slice, or see what became of the events: workbench status",
                )
            narrate("writing")
            known = set(dataset.files("examples"))
            progress.begin("write", total=rows, unit="rows", connection=relations.connection)
            written = dataset.append(relations.connection, found.payload, found.columns)
            new = set(dataset.files("examples")) - known
            progress.advance(bytes=sum(file.stat().st_size for file in new))
            progress.begin("describe", connection=relations.connection)
            if again and written["content_hash"] != again["content_hash"]:
                raise _another(again, project)
            manifest = {
                **written,
                "training_format": str(call),
                "target": call.target(chosen.target),
                "slice": asdict(chosen),
                "slice_id": chosen.id,
                "build": build.id,
                "lake": build.manifest.get("tables", {}),
                "config": project.config_id,
                "license": project.license,
                "label_policy": {
                    "policy": project.policy,
                    "signals": list(project.label_signals),
                    "maturity": project.maturity.total_seconds(),
                },
                "cleaning": asdict(project.cleaning),
                "code": {"workbench": __version__, "duckdb": engine.VERSION},
                "sql": dict(found.sql),
                "columns": dict(found.columns),
                "funnel": found.funnel,
                **describe(relations, build, call.format.pairs, found.payload, found.columns),
                "leaks": leaks(relations, dataset, written),
            }
        finally:
            relations.connection.close()
        manifest["stages"] = stages_so_far()
        manifest["seconds"] = round(time.monotonic() - started, 3)
        return dataset.publish(manifest, tags, again["version"] if again else None)


def _in_words(funnel: list[dict[str, Any]]) -> str:
    lost = [f"{-step['rows']:,} {step['reason']}" for step in funnel if step["rows"] < 0]
    found = {step["reason"]: step["rows"] for step in funnel}
    text = f"{found['in_slice']:,} inferences in the slice make {found['examined']:,} candidates"
    return text + "".join(f", {entry}" for entry in lost)


def reproduce(project_dir: Path, manifest: Mapping[str, Any], narrate: Narrate = silent) -> None:
    """Check that a manifest's build and slice still give what it says.

    Raises
    ------
    NotFoundError
        If the build, or a file of the lake that it reads, is gone.
    DataError
        If the examples are not the same.
    """
    project = load(project_dir)
    call = parse_training_format(manifest["training_format"])
    _still_there(manifest, [project.state / "builds" / f"{manifest['build']}.duckdb"])
    with opened(project, manifest["build"]) as build:
        _still_there(manifest, [build.root / name for name in build.manifest.get("files", ())])
        found = choose(build, project, Slice(**manifest["slice"]), call, narrate)
        try:
            again = content_hash(found.relations.connection, found.payload, found.columns)
        finally:
            found.relations.connection.close()
    if again != manifest["content_hash"]:
        raise _another(manifest, project)


def restore(
    project_dir: Path, manifest: Mapping[str, Any], narrate: Narrate = silent
) -> dict[str, Any]:
    """Make a version from its manifest alone, where its examples are not there any more.

    Returns
    -------
    dict
        The manifest of the new version, which has the old one's number if the dataset has none.

    Raises
    ------
    NotFoundError, DataError
        Like `reproduce`; there is no new version then.
    """
    project = load(project_dir)
    _still_there(manifest, [project.state / "builds" / f"{manifest['build']}.duckdb"])
    return compile_dataset(
        project_dir,
        manifest["dataset"],
        Slice(**manifest["slice"]),
        manifest["training_format"],
        build_id=manifest["build"],
        again=manifest,
        narrate=narrate,
    )


def _another(manifest: Mapping[str, Any], project: Project) -> DataError:
    # Cleaning changes no build, so the identity of the configuration leaves it out.
    now = {"config": project.config_id, "cleaning": asdict(project.cleaning)}
    same = all(json.dumps(manifest.get(key)) == json.dumps(now[key]) for key in now)
    then = "" if same else " workbench.toml has changed;"
    return DataError(
        f"The build {manifest['build']} and the slice do not give the same examples as then.",
        f"Compare what differs:{then} it was made by version {manifest['code']['workbench']}.",
    )


def _still_there(manifest: Mapping[str, Any], paths: Iterable[Path]) -> None:
    gone = next((path for path in paths if not path.exists()), None)
    if gone:
        called = f"{manifest['dataset']}@{manifest['version']}"
        raise NotFoundError(
            f"{called} cannot be made anew, for {gone} is gone.",
            f"What was written is still there: workbench export {called} -o PATH",
        )
