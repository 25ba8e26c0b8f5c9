"""A reader of TFRecord by the runtime of protocol buffers, with checksums of its own."""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def crc32c(data: bytes) -> int:
    """CRC-32C bit by bit: the reflected polynomial is 0x82F63B78."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return ((((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


@cache
def example_class() -> Any:
    """``tf.train.Example``, from its published definition."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="t", syntax="proto3")

    def message(name: str, *fields: tuple[str, int, str | None, bool]) -> Any:
        made = file.message_type.add(name=name)
        for number, (field, kind, type_name, repeated) in enumerate(fields, 1):
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            made.field.add(name=field, number=number, type=kind, label=label, type_name=type_name)
        return made

    message("BytesList", ("value", kinds.TYPE_BYTES, None, True))
    message("FloatList", ("value", kinds.TYPE_FLOAT, None, True))
    message("Int64List", ("value", kinds.TYPE_INT64, None, True))
    feature = message(
        "Feature",
        ("bytes_list", kinds.TYPE_MESSAGE, ".t.BytesList", False),
        ("float_list", kinds.TYPE_MESSAGE, ".t.FloatList", False),
        ("int64_list", kinds.TYPE_MESSAGE, ".t.Int64List", False),
    )
    feature.oneof_decl.add(name="kind")
    for field in feature.field:
        field.oneof_index = 0
    features = message("Features", ("feature", kinds.TYPE_MESSAGE, ".t.Features.Entry", True))
    entry = features.nested_type.add(name="Entry")
    entry.field.add(name="key", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    entry.field.add(
        name="value",
        number=2,
        type=kinds.TYPE_MESSAGE,
        label=kinds.LABEL_OPTIONAL,
        type_name=".t.Feature",
    )
    message("Example", ("features", kinds.TYPE_MESSAGE, ".t.Features", False))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


def read_examples(data: bytes) -> list[dict[str, tuple[str, list[Any]]]]:
    """Kind and values of the features of each record; the checksums must be right."""
    rows = []
    while data:
        size = int.from_bytes(data[:8], "little")
        body = data[12 : 12 + size]
        assert data[8:12] == masked(data[:8])
        assert data[12 + size : 16 + size] == masked(body)
        data = data[16 + size :]
        found = {}
        for entry in example_class().FromString(body).features.feature:
            assert entry.key not in found
            kind = entry.value.WhichOneof("kind")
            found[entry.key] = (kind, list(getattr(entry.value, kind).value))
        rows.append(found)
    return rows
