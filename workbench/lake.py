"""The lake: append-only Delta tables, the only truth. Nothing else imports deltalake."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from deltalake import (
    BloomFilterProperties,
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    Field,
    Schema,
    Transaction,
    WriterProperties,
    convert_to_deltalake,
    write_deltalake,
)
from deltalake.exceptions import DeltaError, TableNotFoundError

from workbench.engine import list_literal
from workbench.errors import DataError

# Old versions must stay readable for as long as a dataset is compiled from them: the defaults
# would let the log and the files behind it expire.
_CONFIGURATION = {
    "delta.appendOnly": "true",
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}
_TARGET_FILE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Lake:
    """The Delta tables under one project's state folder.

    Attributes
    ----------
    state
        The ``.workbench`` folder; file paths are relative to it.
    folder
        Where in it the tables are.
    row_group_rows
        Rows that are encoded at once, of which a reader of one row reads all.
    compression
        Parquet codec.
    keys
        Columns with a Bloom filter in each row group, so that a row is found by their value.
    file_bytes
        Size of a file, which is held in memory until it is whole.
    """

    state: Path
    folder: str = "lake"
    row_group_rows: int = 8192
    compression: Literal["SNAPPY", "ZSTD"] = "SNAPPY"
    keys: Sequence[str] = ("request_id", "feedback_id")
    file_bytes: int = _TARGET_FILE_BYTES

    def uri(self, table: str) -> str:
        """Path of a table's folder."""
        return str(self.state / self.folder / table)

    def open(self, table: str, version: int | None = None) -> DeltaTable | None:
        """The Delta table at `version`, None where there is none yet."""
        try:
            return DeltaTable(self.uri(table), version=version)
        except TableNotFoundError:
            return None

    def tables(self) -> list[str]:
        """Names of the tables that exist."""
        folder = self.state / self.folder
        if not folder.is_dir():
            return []
        return sorted(p.name for p in folder.iterdir() if (p / "_delta_log").is_dir())

    def version(self, table: str) -> int | None:
        """Newest version of a table."""
        delta = self.open(table)
        return None if delta is None else delta.version()

    def schema(self, table: str, version: int | None = None) -> pa.Schema | None:
        """Arrow schema of a version of a table."""
        delta = self.open(table, version)
        return None if delta is None else pa.schema(delta.schema().to_arrow())

    def files(self, table: str, version: int | None = None) -> list[str]:
        """Parquet files of a version, relative to the state folder, in the order of their rows."""
        delta = self.open(table, version)
        if delta is None:
            return []
        actions = _actions(delta)
        names = actions.column_names
        order = "min.row_id" if "min.row_id" in names else "path"
        rows = actions.select(sorted({"path", order})).to_pylist()
        rows.sort(key=lambda row: (row[order] is None, row[order], row["path"]))
        return [f"{self.folder}/{table}/{row['path']}" for row in rows]

    def relation(self, table: str) -> str | None:
        """SQL of the rows of a table's newest version; None where it has no files."""
        paths = [str(self.state / name) for name in self.files(table)]
        if not paths:
            return None
        return (
            f"read_parquet({list_literal(paths)}, union_by_name = true, hive_partitioning = false)"
        )

    def rows(self, table: str) -> int:
        """Rows of the newest version, from the log alone."""
        delta = self.open(table)
        if delta is None:
            return 0
        actions = _actions(delta)
        return int(sum(actions["num_records"].to_pylist()))

    def last_row_id(self, table: str) -> int:
        """The greatest ``row_id`` of a table; 0 where there is none."""
        delta = self.open(table)
        if delta is None:
            return 0
        actions = _actions(delta)
        known = actions["max.row_id"].to_pylist() if "max.row_id" in actions.column_names else []
        if None in known or len(known) < actions.num_rows:
            return self.rows(table)
        return max(known, default=0)

    def transactions(self, table: str, keys: Sequence[str]) -> dict[str, int]:
        """Version under which each of `keys` was committed to `table`, for those that were."""
        delta = self.open(table)
        if delta is None:
            return {}
        found = {key: delta.transaction_version(key) for key in keys}
        return {key: version for key, version in found.items() if version is not None}

    def append(
        self,
        table: str,
        data: pa.RecordBatchReader,
        *,
        transactions: Mapping[str, int] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> int:
        """Append rows as one commit and return the new version.

        Parameters
        ----------
        table
            Lake table; made on first use, widened by columns that are new.
        data
            The rows. Columns that the table has and the rows have not become NULL.
        transactions
            Keys to record with the commit, each with its version. Delta does not refuse a key
            that is already there: ask `transactions` first.
        metadata
            Values for the table's history.

        Raises
        ------
        DataError
            If a column exists with another type.
        """
        try:
            delta = self.open(table)
            if delta is not None:
                delta = self._widen(table, delta, data.schema)
            self._write(delta or self.uri(table), data, transactions, metadata)
        except (DeltaError, OSError) as error:
            raise DataError(
                f"The lake table {table!r} cannot be written: {_first_line(error)}.",
                "Make room or give write permission, then run the command again; nothing was lost.",
            ) from error
        return DeltaTable(self.uri(table)).version()

    def adopt(self, table: str) -> None:
        """Make the Parquet files that lie in a table's folder a table of one version."""
        convert_to_deltalake(self.uri(table), configuration=_CONFIGURATION)

    def rewrite(self, table: str, data: pa.RecordBatchReader) -> None:
        """Put other rows in place of all rows of a table, and drop its history for good.

        The recorded transactions stay. A run that is killed leaves the old rows or the new ones;
        called again with the rows that should stay, it completes.

        Raises
        ------
        DataError
            If it cannot be written.
        """
        uri = self.uri(table)
        try:
            DeltaTable(uri).alter.set_table_properties({"delta.appendOnly": "false"})
            write_deltalake(
                DeltaTable(uri),
                data,
                mode="overwrite",
                target_file_size=self.file_bytes,
                writer_properties=self._properties(data.schema),
            )
            DeltaTable(uri).alter.set_table_properties({"delta.appendOnly": "true"})
            delta = DeltaTable(uri)
            delta.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
            delta = DeltaTable(uri)
            delta.create_checkpoint()
            # What is older than the checkpoint has least and greatest values of rows that are gone.
            for path in (Path(uri) / "_delta_log").iterdir():
                number = path.name.split(".")[0]
                if number.isdigit() and int(number) < delta.version():
                    path.unlink()
        except (DeltaError, OSError) as error:
            raise DataError(
                f"The lake table {table!r} cannot be rewritten: {_first_line(error)}.",
                "Make room or give write permission, then run the command again.",
            ) from error

    def _write(
        self,
        target: DeltaTable | str,
        data: pa.RecordBatchReader,
        transactions: Mapping[str, int] | None,
        metadata: Mapping[str, Any] | None,
    ) -> None:
        # A first write makes the table; creating it apart would log where on the machine it lies.
        new = isinstance(target, str)
        write_deltalake(
            target,
            data,
            mode="append",
            schema_mode=None if new else "merge",
            configuration=_CONFIGURATION if new else None,
            target_file_size=self.file_bytes,
            writer_properties=self._properties(data.schema),
            commit_properties=CommitProperties(
                custom_metadata={
                    key: value if isinstance(value, str) else json.dumps(value)
                    for key, value in (metadata or {}).items()
                },
                max_commit_retries=50,
                app_transactions=[
                    Transaction(key, version) for key, version in (transactions or {}).items()
                ],
            ),
        )

    def _properties(self, schema: pa.Schema) -> WriterProperties:
        # A row group that lacks the value is read in vain with this probability.
        bloom = BloomFilterProperties(True, fpp=0.001, ndv=self.row_group_rows)
        key = ColumnProperties(dictionary_enabled=False, bloom_filter_properties=bloom)
        return WriterProperties(
            compression=self.compression,
            max_row_group_size=self.row_group_rows,
            column_properties={name: key for name in self.keys if name in schema.names},
        )

    def _widen(self, table: str, delta: DeltaTable, schema: pa.Schema) -> DeltaTable:
        wanted = {field.name: field for field in Schema.from_arrow(schema).fields}
        present = {field.name: field for field in delta.schema().fields}
        for name, field in wanted.items():
            if name in present and present[name].type != field.type:
                raise DataError(
                    f"Column {name!r} of the lake table {table!r} holds {_type(present[name])}, "
                    f"but the source now gives {_type(field)}.",
                    "Give the column its old type in workbench.toml, or a new name; or start a "
                    "new project folder.",
                )
        new = [field for name, field in wanted.items() if name not in present]
        if new:
            delta.alter.add_columns(new)
            return DeltaTable(self.uri(table))
        return delta


def delta_files(folder: Path) -> list[Path] | None:
    """The Parquet files of the newest version of somebody's Delta table; None where it is none.

    Raises
    ------
    DataError
        If its rows are not all that its files hold, so that the files alone do not tell them.
    """
    if not (folder / "_delta_log").is_dir():
        return None
    delta = DeltaTable(str(folder))
    features = set(delta.protocol().reader_features or ())
    if unknown := features & {"deletionVectors", "columnMapping"}:
        raise DataError(
            f"The Delta table {folder.name} uses {', '.join(sorted(unknown))}, which is not read.",
            "Write it anew without, such as with REORG TABLE ... APPLY (PURGE), or as Parquet.",
        )
    actions = _actions(delta)
    return sorted(folder / path for path in actions["path"].to_pylist())


def _actions(delta: DeltaTable) -> pa.Table:
    """The files of a table, with what its log says of each."""
    # `pa.table` loads pandas, only to see that this is no frame of it.
    return pa.RecordBatchReader.from_stream(delta.get_add_actions(flatten=True)).read_all()


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")


def _type(field: Field) -> str:
    return re.sub(r'PrimitiveType\("(\w+)"\)', r"\1", str(field.type))
