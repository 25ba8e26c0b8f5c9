"""The lake as relations that a build's views can keep: file lists relative to the state folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

import duckdb

from workbench import contract
from workbench.engine import identifier
from workbench.ingest import in_place
from workbench.ingest.mapping import feature_column
from workbench.ingest.records import Record
from workbench.lake import Lake
from workbench.project import Project

#: Lake columns that are not part of the contract.
PRIVATE = ("row_id", "ingest_id")


@dataclass(frozen=True, kw_only=True)
class LakeTable:
    """One lake table at one version.

    Attributes
    ----------
    name, version
        Which table, and at which version; None where there is none yet.
    files
        Its Parquet files, relative to the state folder.
    columns
        Columns that the rows have.
    in_place
        SQL relation of rows that the lake has no copy of; None where it has all.
    pins
        What the files that are read in place must still be.
    """

    name: str
    version: int | None
    files: tuple[str, ...]
    columns: tuple[str, ...]
    in_place: str | None = None
    pins: tuple[Mapping[str, str | int], ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing that could hold a row."""
        return not self.files and self.in_place is None

    @property
    def relation(self) -> str:
        """SQL relation of the rows; reads the variable ``root``."""
        if self.in_place is not None and not self.files:
            return self.in_place
        copied = (
            f"read_parquet({in_place.located(self.files)}, union_by_name = true, "
            "hive_partitioning = false)"
        )
        if self.in_place is None:
            return copied
        return f"(SELECT * FROM {copied} UNION ALL BY NAME SELECT * FROM {self.in_place})"


def open_table(lake: Lake, name: str, versions: Mapping[str, int] | None = None) -> LakeTable:
    """A lake table at the version that `versions` names, else at its newest one."""
    version = lake.version(name) if versions is None else versions.get(name)
    schema = None if version is None else lake.schema(name, version)
    return LakeTable(
        name=name,
        version=version,
        files=() if version is None else tuple(lake.files(name, version)),
        columns=tuple(schema.names) if schema is not None else (),
    )


def with_rows_in_place(
    connection: duckdb.DuckDBPyConnection,
    project: Project,
    table: LakeTable,
    quarantine: LakeTable,
    register: Sequence[Record],
    among: Set[int] | None = None,
) -> LakeTable:
    """The inferences with the rows that stayed in their own files: those of readings `among`.

    Raises
    ------
    DataError
        If such a file is not what it was.
    """
    refused = None if quarantine.empty else quarantine.relation
    found = in_place.rows(connection, project, register, refused, among)
    if found is None:
        return table
    columns = tuple(dict.fromkeys([*table.columns, *found.columns]))
    return replace(table, columns=columns, in_place=found.relation, pins=found.pins)


def contract_relation(project: Project, table: LakeTable, also: Sequence[str] = ()) -> str:
    """A lake table with the contract's columns, `PRIVATE` ones and `also`; empty if need be."""
    if table.empty:
        # A table whose rows were all erased has columns and no file.
        table = replace(table, columns=())
    selected = [name if name in table.columns else f"NULL::BIGINT AS {name}" for name in PRIVATE]
    for column in contract.table(table.name).columns.values():
        if column.name == "features":
            selected.append(f"{_features(project, table)} AS features")
        elif column.name in table.columns:
            selected.append(identifier(column.name))
        else:
            selected.append(f"CAST(NULL AS {column.type}) AS {identifier(column.name)}")
    for extra in ("flags", "source_file", "source_row"):
        if table.name == "inferences":
            dtype = {"flags": "VARCHAR[]", "source_row": "BIGINT"}.get(extra, "VARCHAR")
            selected.append(extra if extra in table.columns else f"NULL::{dtype} AS {extra}")
    listed = ", ".join([*selected, *also])
    if table.empty:
        return f"(SELECT {listed} WHERE false)"
    return f"(SELECT {listed} FROM {table.relation})"


def _features(project: Project, table: LakeTable) -> str:
    """The features as one struct, as the project configures them."""
    features = project.inferences.features
    if not features:
        return f"CAST(NULL AS {contract.table('inferences').columns['features'].type})"
    fields = []
    for name, dtype in features.items():
        column = feature_column(name)
        value = identifier(column) if column in table.columns else f"CAST(NULL AS {dtype})"
        fields.append(f"{identifier(name)} := {value}")
    return f"struct_pack({', '.join(fields)})"
