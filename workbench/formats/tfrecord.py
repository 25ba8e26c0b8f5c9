"""TFRecord: one ``tf.train.Example`` per row, in records with masked checksums (CRC-32C).

A record is the length of its data (8 bytes, little-endian), the masked checksum of the length,
the data, and the masked checksum of the data; the mask of a checksum c is
``((c >> 15) | (c << 17)) + 0xa282ead8``, modulo 2**32. The file has no header and no schema, so
a reader must know the type of each feature:

=============================  ==================================================================
column                         feature, named as the column
=============================  ==================================================================
text, binary                   ``bytes_list``, text in UTF-8
integer, boolean               ``int64_list``, true is 1
float, double                  ``float_list``
timestamp                      ``int64_list``: microseconds since 1970, UTC
decimal, date, time, interval  ``bytes_list``: decimal digits, or ISO 8601
struct ``a`` with field ``b``  the feature ``a.b``, and so on inwards
list of any of these           the feature with all the values in order
list of lists or of structs    ``bytes_list``: the whole as one JSON text
=============================  ==================================================================

NULL is a feature that is absent; an empty list is there, and empty.

What is lost: a double is rounded to 32 bits (beyond 3.4e38 it is infinite); nanoseconds are cut to
microseconds; a struct that is NULL looks as one whose fields are; a list of one value looks as the
value; NaN and infinities within JSON are null. Within a list of numbers NULL becomes NaN where
they are floats; other lists that hold NULL are refused, for leaving it out would move the rest.
An unsigned number from 2**63 on is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from workbench.errors import ConfigError, DataError
from workbench.formats import Format
from workbench.formats._values import parts, text_column

# Tags of the protocol buffers: number of the field and wire type 2, which is length and bytes.
_FIELD_1, _FIELD_2 = b"\x0a", b"\x12"
_BYTES, _FLOAT, _INT64 = b"\x0a", b"\x12", b"\x1a"


def _bytes_of(lengths: Any, data: Any) -> pa.Array:
    """Cut `data` (uint8) into values of so many bytes each."""
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(pa.large_binary(), len(lengths), buffers)


def _varints(values: Any) -> pa.Array:
    """Write whole numbers (uint64), seven bits to a byte, the lowest first."""
    shifts = np.arange(0, 70, 7, dtype=np.uint64)
    rest = np.where(shifts < 64, values[:, None] >> np.minimum(shifts, 63), 0).astype(np.uint64)
    used = np.maximum((rest > 0).sum(axis=1), 1)
    place = np.arange(10)
    more = (place < used[:, None] - 1).astype(np.uint8) << 7
    digits = (rest & 0x7F).astype(np.uint8) | more
    return _bytes_of(used, digits[place < used[:, None]])


def _join(*values: Any) -> pa.Array:
    kind = pa.large_binary()
    put = [pa.scalar(v, kind) if isinstance(v, bytes) else v for v in values]
    return pc.binary_join_element_wise(*put, pa.scalar(b"", kind))


def _sized(values: pa.Array) -> pa.Array:
    """Put the length of each value before it."""
    lengths = pc.fill_null(pc.binary_length(values), 0)
    return _join(_varints(lengths.to_numpy().astype(np.uint64)), values)


def _whole(column: pa.Array) -> Any:
    if pt.is_timestamp(column.type):
        plain = pa.timestamp("us", column.type.tz)
        column = column.cast(plain, safe=False).cast(pa.int64())
    numbers = pc.fill_null(column.cast(pa.int64()), 0)
    return _varints(numbers.to_numpy(zero_copy_only=False).view(np.uint64))


def _float(column: pa.Array) -> pa.Array:
    doubles = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore", invalid="ignore"):
        data = doubles.astype("<f4").view(np.uint8)
    return _bytes_of(np.full(len(column), 4), data)


def _text(column: pa.Array) -> pa.Array:
    kind = column.type
    if not (pt.is_string(kind) or pt.is_binary(kind) or pt.is_large_binary(kind)):
        column = text_column(column)
    plain = pc.fill_null(column.cast(pa.large_binary()), b"")
    return _join(_FIELD_1, _sized(plain))


def _encoder(kind: pa.DataType) -> tuple[bytes, Callable[[pa.Array], pa.Array]]:
    if pt.is_integer(kind) or pt.is_boolean(kind) or pt.is_timestamp(kind):
        return _INT64, _whole
    return (_FLOAT, _float) if pt.is_floating(kind) else (_BYTES, _text)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind))


def _features(column: pa.Array, name: str) -> Iterator[tuple[str, pa.Array]]:
    """Turn a column into features, each with its values as ``tf.train.Feature`` or NULL."""
    kind = column.type
    if pt.is_dictionary(kind):
        yield from _features(column.cast(kind.value_type), name)
        return
    if pt.is_struct(kind):
        for field, values in zip(kind, column.flatten(), strict=True):
            yield from _features(values, f"{name}.{field.name}")
        return
    rows = len(column)
    known = column.is_valid()
    # Each row is a run of elements; outside a list, a run of one.
    ends = np.arange(rows + 1)
    elements = column
    if _is_list(kind):
        if pt.is_dictionary(kind.value_type):
            column = column.cast(pa.list_(kind.value_type.value_type))
        if pt.is_nested(kind.value_type):
            elements = text_column(column)
        else:
            counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
            ends = np.concatenate([[0], np.cumsum(counts)])
            elements = column.flatten()
            if elements.null_count and not pt.is_floating(elements.type):
                raise DataError(
                    f"Lists in the column {name} hold NULL, which TFRecord cannot.",
                    "Leave them out with list_filter, or choose another format.",
                )
    tag, encode = _encoder(elements.type)
    encoded = encode(elements)
    _, offsets, data = encoded.buffers()
    starts = np.frombuffer(offsets, dtype=np.int64, count=len(encoded) + 1)[ends]
    runs = pa.Array.from_buffers(
        pa.large_binary(), rows, [None, pa.py_buffer(np.ascontiguousarray(starts)), data]
    )
    # Numbers are packed: one field with all of them. Without any the list is there, and empty.
    if tag != _BYTES:
        runs = pc.if_else(pc.equal(pc.binary_length(runs), 0), runs, _join(_FIELD_1, _sized(runs)))
    feature = _join(tag, _sized(runs))
    yield name, pc.if_else(known, feature, pa.scalar(None, pa.large_binary()))


def _examples(batch: pa.RecordBatch) -> list[bytes]:
    """Turn each row into a serialised ``tf.train.Example``."""
    entries: dict[str, pa.Array] = {}
    for column_name, column in zip(batch.schema.names, batch.columns, strict=True):
        for name, feature in _features(column, column_name):
            if name in entries:
                raise ConfigError(
                    f"Two columns are the feature {name} in TFRecord.", "Rename one of them."
                )
            key = name.encode("utf-8")
            size = _varints(np.array([len(key)], dtype=np.uint64))[0].as_py()
            entry = _join(_FIELD_1 + size + key + _FIELD_2, _sized(feature))
            entries[name] = _join(_FIELD_1, _sized(entry))
    nothing = pa.array([b""] * batch.num_rows, pa.large_binary())
    features = pc.binary_join_element_wise(
        nothing,
        *entries.values(),
        pa.scalar(b"", pa.large_binary()),
        null_handling="replace",
        null_replacement="",
    )
    examples: list[bytes] = _join(_FIELD_1, _sized(features)).to_pylist()
    return examples


def _write(file: BinaryIO, reader: pa.RecordBatchReader, metadata: Mapping[str, str]) -> int:
    try:
        from google_crc32c import value as crc
    except ImportError as error:
        raise ConfigError(
            "TFRecord needs the package google-crc32c, which is not installed.",
            "Install it with: pip install 'feedback-workbench[tfrecord]'",
        ) from error

    def framed(data: bytes) -> Iterator[bytes]:
        length = len(data).to_bytes(8, "little")
        for piece in (length, data):
            check = crc(piece)
            mask = ((check >> 15 | check << 17) + 0xA282EAD8) & 0xFFFFFFFF
            yield piece
            yield mask.to_bytes(4, "little")

    rows = 0
    for part in parts(reader):
        file.write(b"".join(piece for data in _examples(part) for piece in framed(data)))
        rows += part.num_rows
    return rows


format = Format(
    suffix=".tfrecord",
    media_type="application/octet-stream",
    about="Records of tf.train.Example; for TensorFlow and JAX.",
    write=_write,
    extra="tfrecord",
)
