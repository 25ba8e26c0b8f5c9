"""Artefacts as files: ``ID.json``, ``ID.parquet`` where rows have values, and what is pinned."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.errors import DataError, NotFoundError, suggest

FORMAT = 1
_PINNED = "pinned.json"


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """What was fitted, on what, and how well it did.

    Attributes
    ----------
    kind, id
        Name of the kind; kind and a hash of what was fitted on what.
    build
        The build that it was first fitted on. Not part of the identity.
    params, where, since, until
        What was asked for.
    n
        Rows that it was fitted on.
    fitted_from, fitted_to
        Times of the first and the last of them, ISO text; None without clocks.
    versions
        Their model versions.
    held_out
        SQL condition of the rows that it may be judged by; None where none were held out.
    meaning
        What the columns that it reads are made from, by the project's configuration.
    state
        What was fitted.
    figures
        How well it did, and the like. Not part of the identity.
    table
        Hash of the values by row; None where there are none.
    """

    kind: str
    build: str
    params: Mapping[str, Any]
    where: str | None
    since: str | None
    until: str | None
    n: int
    fitted_from: str | None
    fitted_to: str | None
    versions: tuple[str, ...]
    held_out: str | None
    meaning: Mapping[str, str]
    state: Mapping[str, Any]
    table: str | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""

    def identity(self) -> str:
        """`kind` and a hash of all that makes it what it is.

        Sums that are added up in another order differ in their last digits, so doubles count with
        ten of them.
        """
        parts = asdict(self)
        for name in ("build", "figures", "id"):
            del parts[name]
        text = json.dumps([FORMAT, _rounded(parts)], sort_keys=True, ensure_ascii=True)
        return f"{self.kind}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.10g}")
    if isinstance(value, Mapping):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(entry) for entry in value]
    return value


def _table_hash(table: pa.Table) -> str:
    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        if pa.types.is_floating(column.type):
            absent = column.is_null().to_numpy(zero_copy_only=False)
            numbers = np.nan_to_num(column.fill_null(0.0).to_numpy(zero_copy_only=False))
            mantissa, exponent = np.frexp(numbers)
            columns[name] = pa.array(np.round(mantissa * 2.0**33).astype(np.int64), mask=absent)
            columns[f"{name} exponent"] = pa.array(exponent, mask=absent)
        else:
            columns[name] = column
    sink = pa.BufferOutputStream()
    hashed = pa.table(columns)
    with pa.ipc.new_stream(sink, hashed.schema) as writer:
        writer.write_table(hashed)
    return hashlib.sha256(sink.getvalue()).hexdigest()[:16]


def save(folder: Path, made: Artefact, table: pa.Table | None = None) -> Artefact:
    """Keep an artefact in `folder`; one that is kept already stays as it is.

    Parameters
    ----------
    folder
        The artefacts of the project.
    made
        Without its id.
    table
        Values by ``request_id``.

    Returns
    -------
    Artefact
        What is kept, with its id.

    Raises
    ------
    DataError
        If `table` has two rows of one inference.
    """
    if table is not None:
        ids = table["request_id"]
        if len(ids.unique()) != len(ids) or ids.null_count:
            raise DataError(
                f"What was fitted for {made.kind} has several values for one request_id.",
                "This is a defect of the kind; nothing was kept. Please report it.",
            )
        table = table.sort_by("request_id")
        made = _with(made, table=_table_hash(table))
    made = _with(made, id=made.identity())
    path = folder / f"{made.id}.json"
    if path.is_file() and (table is None or table_path(folder, made.id).is_file()):
        return load(folder, made.id)
    folder.mkdir(parents=True, exist_ok=True)
    if table is not None:
        target = table_path(folder, made.id)
        waiting = target.with_name(f"{target.name}.unfinished")
        pq.write_table(table, waiting)
        _publish(waiting, target)
    _write(path, {"format": FORMAT, **asdict(made)})
    return made


def _with(made: Artefact, **changed: Any) -> Artefact:
    return Artefact(**{**asdict(made), **changed})


def load(folder: Path, identity: str) -> Artefact:
    """The artefact called `identity`.

    Raises
    ------
    NotFoundError
        If there is none.
    DataError
        If its file is not what was written.
    """
    path = folder / f"{identity}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise ValueError("it has another format")
        made = Artefact(**{**content, "versions": tuple(content["versions"])})
    except FileNotFoundError:
        raise NotFoundError(
            f"There is no artefact {identity!r}.", suggest(identity, _ids(folder))
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} cannot be read: {error}", "Fit it anew.") from error
    if not made.id == identity == made.identity():
        raise DataError(
            f"{path} is not what was fitted: its content does not belong to its name.",
            f"Fit it anew: workbench fit {made.kind}",
        )
    if made.table is not None and not table_path(folder, identity).is_file():
        raise DataError(
            f"The artefact {identity} has lost its table {table_path(folder, identity)}.",
            f"Fit it anew: workbench fit {made.kind}",
        )
    return made


def table_path(folder: Path, identity: str) -> Path:
    """File of the values by row."""
    return folder / f"{identity}.parquet"


def _ids(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.json") if path.name != _PINNED)


def kept(folder: Path) -> list[Artefact]:
    """All artefacts that are kept, by id."""
    return [load(folder, identity) for identity in _ids(folder)]


def pinned(folder: Path) -> dict[str, str]:
    """Id by kind of the artefacts that the next build uses.

    Raises
    ------
    DataError
        If the list cannot be read: a build without it would say nothing of what it lacks.
    """
    path = folder / _PINNED
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return dict(sorted(content["pinned"].items()))
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} cannot be read: {error}", "Delete it, then pin with: workbench fit KIND --use"
        ) from error


def pin(folder: Path, kind: str, identity: str | None) -> None:
    """Let the next build use an artefact, or none of its kind."""
    chosen = pinned(folder)
    chosen.pop(kind, None)
    if identity is not None:
        chosen[kind] = identity
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / _PINNED, {"format": FORMAT, "pinned": dict(sorted(chosen.items()))})


def _write(path: Path, content: Mapping[str, Any]) -> None:
    waiting = path.with_name(f"{path.name}.unfinished")
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    waiting.write_text(text + "\n", encoding="utf-8")
    _publish(waiting, path)


def _publish(waiting: Path, target: Path) -> None:
    handle = os.open(waiting, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(waiting, target)
