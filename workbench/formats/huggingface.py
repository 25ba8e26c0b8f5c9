"""A dataset folder as Hugging Face's ``datasets`` loads it: a card and Parquet files by split.

``README.md`` is the dataset card: a header in YAML (licence, files by split, features, sizes), and
then the Markdown of the metadata key ``workbench_card``, or else a short text of the slice and the
columns. ``workbench_license`` is the identifier of the licence; without it the card names none.
The rows are in ``data/<split>-00000-of-0000N.parquet``. Where they have a column ``split``, its
value names the split, and the column stays; else all are in ``train``.
``datasets.load_dataset(folder)`` reads the folder without a network.

What is lost: a calendar interval is text and a map is JSON text, for ``datasets`` has neither; an
enum is plain text. Rows keep their order within a split. A folder of no rows has an empty file
for ``train``, which ``datasets`` refuses to load.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt

from workbench.errors import DataError
from workbench.formats import Format
from workbench.formats._values import text_column

CARD_KEY = "workbench_card"
LICENSE_KEY = "workbench_license"

#: Bytes of Arrow memory to a file, about.
_SHARD = 500_000_000
#: Bytes of Arrow memory to a row group, at least: so much is held for each split.
_GROUP = 32_000_000
#: Splits at most.
_SPLITS = 20


@dataclass
class _Split:
    """The files of one split while they are written."""

    name: str
    held: list[pa.RecordBatch] = field(default_factory=list)
    held_bytes: int = 0
    rows: int = 0
    bytes: int = 0
    shards: list[Path] = field(default_factory=list)
    shard_bytes: int = 0
    writer: pq.ParquetWriter | None = None

    def add(self, batch: pa.RecordBatch, folder: Path) -> None:
        self.held.append(batch)
        self.held_bytes += batch.nbytes
        if self.held_bytes >= _GROUP:
            self.flush(folder, batch.schema)

    def flush(self, folder: Path, schema: pa.Schema) -> None:
        if self.writer is None:
            self.shards.append(folder / f"{self.name}-{len(self.shards):05d}.parquet")
            self.writer = pq.ParquetWriter(self.shards[-1], schema, compression="zstd")
        table = pa.Table.from_batches(self.held, schema)
        if table.num_rows:  # datasets cannot read a row group of no rows
            self.writer.write_table(table)
        self.rows += table.num_rows
        self.bytes += self.held_bytes
        self.shard_bytes += self.held_bytes
        self.held, self.held_bytes = [], 0
        if self.shard_bytes >= _SHARD:
            self.close()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.writer, self.shard_bytes = None, 0


def _write_folder(folder: Path, reader: pa.RecordBatchReader, metadata: Mapping[str, str]) -> int:
    data = folder / "data"
    data.mkdir()
    kept = {key: text for key, text in metadata.items() if key not in (CARD_KEY, LICENSE_KEY)}
    schema = pa.schema([_field(entry) for entry in reader.schema], dict(kept))
    splits: dict[str, _Split] = {}
    try:
        for batch in reader:
            plain = pa.record_batch(
                [_plain(c, f.type) for c, f in zip(batch.columns, schema, strict=True)], schema
            )
            for name, rows in _by_split(plain):
                if name not in splits and len(splits) == _SPLITS:
                    raise DataError(
                        f"The column split has more than {_SPLITS} values.",
                        "It names the splits of a dataset, such as train and test.",
                    )
                splits.setdefault(name, _Split(name)).add(rows, data)
        for split in splits.values() or [splits.setdefault("train", _Split("train"))]:
            if split.held or not split.shards:
                split.flush(data, schema)
    finally:
        for split in splits.values():
            split.close()
    for split in splits.values():
        count = len(split.shards)
        split.shards = [
            path.rename(data / f"{split.name}-{i:05d}-of-{count:05d}.parquet")
            for i, path in enumerate(split.shards)
        ]
    card = _card(schema, list(splits.values()), metadata)
    (folder / "README.md").write_text(card, encoding="utf-8", newline="\n")
    return sum(split.rows for split in splits.values())


def _by_split(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Part a batch by the column ``split``, if it has one."""
    if "split" not in batch.schema.names:
        yield "train", batch
        return
    names = batch.column("split").cast(pa.string())
    for name in pc.unique(names).to_pylist():
        # As datasets' own rule for the name of a split, which is also part of a file's name.
        if name is None or not re.fullmatch(r"\w+(\.\w+)*", name, re.ASCII):
            raise DataError(
                f"{name!r} in the column split is no name of a split.",
                "Names have letters, digits and underscores, such as train.",
            )
        yield name, batch.filter(pc.equal(names, name))


def _holds(kind: pa.DataType) -> bool:
    """Whether ``datasets`` has the type."""
    if pt.is_nested(kind):
        inner = [kind.field(i).type for i in range(kind.num_fields)]
        return not pt.is_map(kind) and all(map(_holds, inner))
    return bool(kind != pa.month_day_nano_interval())


def _field(entry: pa.Field) -> pa.Field:
    kind = entry.type.value_type if pt.is_dictionary(entry.type) else entry.type
    return pa.field(entry.name, kind if _holds(kind) else pa.string())


def _plain(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if pt.is_dictionary(column.type):
        return column.cast(kind)
    return column if _holds(column.type) else text_column(column)


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """Describe a type as the header of a card does."""
    if pt.is_struct(kind):
        return {"struct": _features(list(kind))}
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        inner = _feature(kind.value_type)
        word = "large_list" if pt.is_large_list(kind) else "list"
        # Of values and structs only the description is written, of lists the whole.
        feature = {word: inner.get("dtype") or inner.get("struct") or inner}
        return feature | ({"length": kind.list_size} if pt.is_fixed_size_list(kind) else {})
    # Arrow's own names but for these.
    names = {
        pa.float16(): "float16",
        pa.float32(): "float32",
        pa.float64(): "float64",
        pa.date32(): "date32",
        pa.date64(): "date64",
    }
    return {"dtype": names.get(kind, str(kind))}


def _features(fields: list[pa.Field]) -> list[dict[str, Any]]:
    return [{"name": entry.name, **_feature(entry.type)} for entry in fields]


def _yaml(value: Any, indent: str = "") -> Iterator[str]:
    """Lines of YAML; scalars are written as JSON, which YAML includes."""
    pairs = value.items() if isinstance(value, dict) else ((None, entry) for entry in value)
    for key, entry in pairs:
        head = f"{indent}-" if key is None else f"{indent}{key}:"
        if not isinstance(entry, dict | list) or not entry:
            yield f"{head} {json.dumps(entry)}"
        elif key is None:
            first, *rest = _yaml(entry, indent + "  ")
            yield f"{head} {first.lstrip()}"
            yield from rest
        else:
            yield head
            yield from _yaml(entry, indent + "  ")


def _card(schema: pa.Schema, splits: list[_Split], metadata: Mapping[str, str]) -> str:
    files = [{"split": split.name, "path": f"data/{split.name}-*"} for split in splits]
    sizes = [
        {"name": split.name, "num_bytes": split.bytes, "num_examples": split.rows}
        for split in splits
    ]
    on_disk = sum(path.stat().st_size for split in splits for path in split.shards)
    header: dict[str, Any] = {}
    if LICENSE_KEY in metadata:
        header["license"] = metadata[LICENSE_KEY]
    header |= {
        "configs": [{"config_name": "default", "data_files": files}],
        "dataset_info": {
            "features": _features(list(schema)),
            "splits": sizes,
            "download_size": on_disk,
            "dataset_size": sum(split.bytes for split in splits),
        },
    }
    text = metadata.get(CARD_KEY) or _text(schema, splits, metadata)
    return "\n".join(["---", *_yaml(header), "---", "", text.rstrip(), ""])


def _text(schema: pa.Schema, splits: list[_Split], metadata: Mapping[str, str]) -> str:
    rows = [f"| {split.name} | {split.rows:,} |" for split in splits]
    columns = [f"| {_cell(entry.name)} | {_cell(str(entry.type))} |" for entry in schema]
    made = [
        line
        for key, value in metadata.items()
        if key != LICENSE_KEY
        for line in ("", f"`{key}`:", "", *(f"    {part}" for part in value.splitlines()))
    ]
    lines = ["# Dataset", "", "| split | rows |", "| --- | --- |", *rows]
    lines += ["", "| column | type |", "| --- | --- |", *columns, *made]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


format = Format(
    suffix="",
    media_type="application/octet-stream",
    about="A folder with a card and Parquet files by split; for datasets.load_dataset.",
    write_folder=_write_folder,
    owns=r"README\.md|data|data/[\w.]+-\d{5}-of-\d{5}\.parquet",
)
