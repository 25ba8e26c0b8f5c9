"""Where datasets are kept: append-only Delta tables, and one manifest for each version.

``examples`` has every revision of every example once: a compile adds those that are new and those
whose data changed. ``choices`` says of each compile which examples it chose, in which revision. A
version is there once its manifest is; rows that a compile left behind when it was killed belong to
no manifest, and nobody sees them.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from workbench import engine
from workbench.datasets import pieces
from workbench.datasets.hashes import example_hash, version_hash
from workbench.datasets.slices import check_name
from workbench.engine import identifier, list_literal, literal
from workbench.errors import ConfigError, DataError, NotFoundError, suggest
from workbench.lake import Lake
from workbench.samplers import SAMPLING_COLUMNS

FOLDER = "datasets"
#: Columns that the store adds to an example.
OWN_COLUMNS = ("revision", "split", "split_group", *SAMPLING_COLUMNS, "compile_id", "content_hash")
#: What every example carries beside the columns of its format.
CARRIED = (
    "example_id", "request_id", "other_id", "feedback_ids", "source", "strength", "label_ts",
)  # fmt: skip
_VERSION = re.compile(r"v(\d+)\.(\d+)")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}")
#: A row of a training set may hold long texts: few are held in memory before they are written.
_ROW_GROUP = 5_000
_FILE_BYTES = 24 * 1024 * 1024


def names(state: Path) -> list[str]:
    """Names of the datasets that have a version."""
    return sorted({path.parent.parent.name for path in (state / FOLDER).glob("*/versions/*.json")})


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of a version.

    Raises
    ------
    DataError
        If it is none.
    """
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] != 1:
            raise ValueError(f"its format is {manifest['format']!r}")
        return dict(manifest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"The manifest {path} cannot be read: {error}.",
            "Name a file from the folder versions of a dataset; restore a broken one from a copy.",
        ) from error


@dataclass(frozen=True)
class Dataset:
    """One dataset of a project.

    Attributes
    ----------
    state
        The project's ``.workbench`` folder.
    name
        Its name.
    """

    state: Path
    name: str

    def __post_init__(self) -> None:
        check_name(self.name, "dataset")

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return self.state / FOLDER / self.name

    @property
    def lake(self) -> Lake:
        """Its Delta tables."""
        folder = f"{FOLDER}/{self.name}"
        return Lake(self.state, folder, _ROW_GROUP, "ZSTD", keys=(), file_bytes=_FILE_BYTES)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the dataset's lock; another compile waits, and then builds upon this one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("a+") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def manifests(self) -> list[dict[str, Any]]:
        """The manifests of all versions, the oldest first."""
        found = [read_manifest(path) for path in (self.folder / "versions").glob("v*.json")]
        return sorted(found, key=lambda manifest: _number(manifest["version"]))

    def tags(self) -> dict[str, str]:
        """Versions by their tags."""
        path = self.folder / "tags.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def manifest(self, version: str | None = None) -> dict[str, Any]:
        """The manifest of a version or tag; of the newest that was not withdrawn when None.

        Raises
        ------
        NotFoundError
            If there is none, or it was withdrawn.
        """
        found: list[dict[str, Any]] = self.manifests()
        if not found:
            known = names(self.state)
            raise NotFoundError(
                f"There is no dataset {self.name!r}.",
                suggest(self.name, known, label="one of the datasets")
                or "Make one with: workbench dataset compile NAME --slice SLICE --format FORMAT",
            )
        wanted = self.tags().get(version, version) if version else None
        for manifest in reversed(found):
            erased = manifest.get("erased")
            if manifest["version"] == wanted or (wanted is None and not erased):
                if erased:
                    raise NotFoundError(
                        f"{self.name}@{wanted} was withdrawn: {erased:,} of its examples were "
                        "erased.",
                        f"Compile it anew with: workbench dataset compile {self.name}",
                    )
                return dict(manifest)
        if version is None:
            raise NotFoundError(
                f"Every version of the dataset {self.name!r} was withdrawn.",
                f"Compile it anew with: workbench dataset compile {self.name}",
            )
        known = [*(manifest["version"] for manifest in found), *self.tags()]
        raise NotFoundError(
            f"The dataset {self.name!r} has no version {version!r}.",
            suggest(version, known, label="one of the versions"),
        )

    def withdraw(self, erased: Mapping[str, int], redact: Callable[[str], str]) -> list[str]:
        """Withdraw the versions of compiles that lost examples, and redact what manifests say.

        Parameters
        ----------
        erased
            How many examples each compile lost.
        redact
            Takes what was erased out of a text.

        Returns
        -------
        list of str
            ``name@version`` of what was withdrawn.
        """
        withdrawn = []
        for manifest in self.manifests():
            path = self.folder / "versions" / f"{manifest['version']}.json"
            text = path.read_text(encoding="utf-8")
            told = json.loads(redact(text))
            lost = erased.get(manifest["compile_id"], 0)
            if lost:
                told["erased"] = manifest.get("erased", 0) + lost
                withdrawn.append(f"{self.name}@{manifest['version']}")
            if lost or told != manifest:
                write_whole(path, told)
        return withdrawn

    def tag(self, tag: str, version: str | None = None) -> str:
        """Give a version a name, which is taken from another one that has it; the version."""
        if not _TAG.fullmatch(tag) or _VERSION.fullmatch(tag):
            raise ConfigError(
                f"A version cannot be tagged {tag!r}.", "Use letters, digits, _, . and -."
            )
        found = str(self.manifest(version)["version"])
        write_whole(self.folder / "tags.json", {**self.tags(), tag: found})
        return found

    def check_format(self, name: str) -> None:
        """Refuse another training format than the dataset has.

        Raises
        ------
        ConfigError
            If it has another one.
        """
        found = self.manifests()
        before = found[-1]["training_format"].split("(")[0] if found else name
        if before != name:
            raise ConfigError(
                f"The dataset {self.name!r} holds {before} examples, not {name}.",
                "Choose another name for the new dataset.",
            )

    def files(self, table: str) -> list[Path]:
        """The Parquet files of a table."""
        return [self.state / name for name in self.lake.files(table)]

    def relation(self, table: str) -> str:
        """SQL of a table of the dataset."""
        found = self.lake.relation(table)
        if found is None:
            raise NotFoundError(
                f"The dataset {self.name!r} has no {table}.",
                f"Compile it with: workbench dataset compile {self.name}",
            )
        return found

    def snapshot_sql(self, manifest: Mapping[str, Any]) -> str:
        """SQL of the examples of a version, without an order."""
        chosen = (
            f"(SELECT * FROM {self.relation('choices')} "
            f"WHERE compile_id = {literal(manifest['compile_id'])})"
        )
        own = ", ".join(f"c.{name}" for name in ("split", "split_group", *SAMPLING_COLUMNS))
        data = ", ".join(f"e.{identifier(name)}" for name in (*CARRIED, *manifest["columns"]))
        return (
            f"SELECT {data}, c.revision, {own}, e.content_hash "
            f"FROM {chosen} c JOIN {self.relation('examples')} e "
            "ON c.example_id = e.example_id AND c.written_in = e.compile_id"
        )

    def append(
        self, connection: duckdb.DuckDBPyConnection, payload: str, columns: Mapping[str, str]
    ) -> dict[str, Any]:
        """Write the choices, and the examples that are new or changed, under a new compile.

        Parameters
        ----------
        connection
            Where the tables ``chosen``, with pieces that are read at once, and ``wanted``, the
            inferences whose texts are read, are.
        payload
            Query of ``example_id`` and the data columns of those.
        columns
            Data columns and their types.

        Returns
        -------
        dict
            ``dataset``, ``compile_id``, ``rows``, ``added``, ``revised``, ``unchanged``,
            ``withdrawn`` and ``content_hash``, beside the version's ``previous``.
        """
        found = self.manifests()
        before = next((m for m in reversed(found) if not m.get("erased")), None)
        compile_id = secrets.token_hex(8)
        self._known(connection, [manifest["compile_id"] for manifest in found])
        carried = ", ".join(f"c.{name}" for name in CARRIED)
        data = ", ".join(f"p.{identifier(name)}" for name in columns)
        hashed = example_hash(columns)
        query = (
            f"SELECT {carried}, {data}, coalesce(k.revision, 0)::INTEGER + 1 AS revision, "
            f"{literal(compile_id)} AS compile_id, {hashed} AS content_hash "
            f"FROM ({payload}) p JOIN piece c ON p.example_id = c.example_id "
            "LEFT JOIN known k ON p.example_id = k.example_id "
            f"WHERE k.content_hash IS DISTINCT FROM ({hashed})"
        )
        rows = int(engine.scalar(connection, "SELECT count(*) FROM chosen"))
        lake = self.lake
        lake.append(
            "examples",
            pieces.stream(connection, query, _ROW_GROUP),
            metadata={"compile": compile_id},
        )
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE written AS SELECT example_id, revision, content_hash "
            f"FROM {self.relation('examples')} WHERE compile_id = {literal(compile_id)}"
        )
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE choices AS SELECT "
            f"{literal(compile_id)} AS compile_id, c.example_id, "
            "coalesce(w.revision, k.revision) AS revision, "
            f"CASE WHEN w.revision IS NULL THEN k.compile_id ELSE {literal(compile_id)} END "
            f"AS written_in, c.split, c.split_group, {', '.join(SAMPLING_COLUMNS)}, "
            "coalesce(w.content_hash, k.content_hash) AS content_hash "
            "FROM chosen c LEFT JOIN written w ON c.example_id = w.example_id "
            "LEFT JOIN known k ON c.example_id = k.example_id"
        )
        whole = engine.scalar(
            connection, "SELECT count(*) FROM choices WHERE written_in IS NOT NULL"
        )
        if whole != rows:
            raise DataError(
                f"{whole:,} of {rows:,} examples were written; the version was not made.",
                "Try again; if it happens again, make the build anew with: workbench build",
            )
        lake.append(
            "choices",
            _stream(connection, "SELECT * EXCLUDE (content_hash) FROM choices"),
            metadata={"compile": compile_id},
        )
        revised = engine.scalar(connection, "SELECT count(*) FROM written WHERE revision > 1")
        written = engine.scalar(connection, "SELECT count(*) FROM written")
        withdrawn = 0
        if before:
            withdrawn = engine.scalar(
                connection,
                f"SELECT count(*) FROM (SELECT example_id FROM {self.relation('choices')} "
                f"WHERE compile_id = {literal(before['compile_id'])}) b "
                "ANTI JOIN choices c ON b.example_id = c.example_id",
            )
        return {
            "dataset": self.name,
            "compile_id": compile_id,
            "previous": before["version"] if before else None,
            "rows": rows,
            "added": written - revised,
            "revised": revised,
            "unchanged": rows - written,
            "withdrawn": withdrawn,
            "content_hash": engine.scalar(connection, version_hash("choices")),
        }

    def _known(self, connection: duckdb.DuckDBPyConnection, compiles: Sequence[str]) -> None:
        """The newest published revision of each example."""
        nothing = "(SELECT '' AS example_id, 0 AS revision, '' AS content_hash, '' AS compile_id)"
        rows = self.lake.relation("examples") or nothing
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE known AS SELECT example_id, max(revision) AS revision, "
            "arg_max(content_hash, revision) AS content_hash, "
            f"arg_max(compile_id, revision) AS compile_id FROM {rows} "
            f"WHERE compile_id IN (SELECT unnest({list_literal(compiles)})) GROUP BY example_id"
        )

    def publish(
        self, manifest: Mapping[str, Any], tags: Sequence[str] = (), version: str | None = None
    ) -> dict[str, Any]:
        """Make a compile a version: its manifest appears whole, under the next number or `version`.

        A dataset that has versions goes on with their numbers.
        """
        found = self.manifests()
        version = version or "v1.0"
        if found:
            major, minor = _number(found[-1]["version"])
            same = all(
                found[-1][key] == manifest[key]
                for key in ("slice_id", "training_format", "target", "columns")
            )
            version = f"v{major}.{minor + 1}" if same else f"v{major + 1}.0"
        whole = {
            "format": 1,
            "dataset": self.name,
            "version": version,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            **manifest,
        }
        path = self.folder / "versions" / f"{version}.json"
        path.parent.mkdir(exist_ok=True)
        write_whole(path, whole)
        for tag in tags:
            self.tag(tag, version)
        return whole


def _stream(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.RecordBatchReader:
    """Stream from the connection itself, whose temporary tables no cursor of it would see.

    Until the stream is read to its end nothing else may run on the connection.
    """
    return connection.execute(sql).to_arrow_reader(_ROW_GROUP)


def _number(version: str) -> tuple[int, int]:
    match = _VERSION.fullmatch(version)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def write_whole(path: Path, value: Any) -> None:
    """Write JSON so that it is there whole or not at all."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    text = json.dumps(value, ensure_ascii=False, indent=1, default=str)
    with partial.open("x", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
