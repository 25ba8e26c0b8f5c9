"""What tells whether two versions hold the same: hashes of examples, and of all of them."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from workbench import engine
from workbench.datasets.pieces import pieces
from workbench.engine import identifier
from workbench.samplers import SAMPLING_COLUMNS

#: What of an example's provenance may change while its data stays.
PROVENANCE = ("feedback_ids", "source", "strength", "label_ts")


def example_hash(columns: Mapping[str, str]) -> str:
    """SQL of the hash of one example, 64 hexadecimal digits.

    The first 32 are of its data columns, in the relation ``p``; the others of where these come
    from, in the relation ``c``, for a second vote changes how strong a pair is.
    """
    data = ", ".join(f"{identifier(name)} := p.{identifier(name)}" for name in columns)
    told = ", ".join(f"{name} := c.{name}" for name in PROVENANCE)
    return " || ".join(
        f"md5(CAST(to_json(struct_pack({parts})) AS VARCHAR))" for parts in (data, told)
    )


def version_hash(rows: str) -> str:
    """Query of the content hash of a version, which does not depend on the order of its examples.

    It is the XOR of one 128-bit hash per example: of its id, its data, its split, and what is known
    of how it was drawn.

    Parameters
    ----------
    rows
        The relation of its examples: ``example_id``, ``content_hash`` (`example_hash`), ``split``
        and `workbench.samplers.SAMPLING_COLUMNS`.
    """
    drawn = ", ".join(f"coalesce(CAST({name} AS VARCHAR), '')" for name in SAMPLING_COLUMNS)
    text = f"concat_ws(':', example_id, content_hash, split, {drawn})"
    return f"SELECT printf('%032x', coalesce(bit_xor(md5_number({text})), 0::UHUGEINT)) FROM {rows}"


def content_hash(
    connection: duckdb.DuckDBPyConnection, payload: str, columns: Mapping[str, str]
) -> str:
    """The content hash of the examples in the table ``chosen``, whose data `payload` reads."""
    rows = (
        f"(SELECT c.*, {example_hash(columns)} AS content_hash FROM ({payload}) p "
        "JOIN piece c ON p.example_id = c.example_id)"
    )
    found = 0
    for _ in pieces(connection):
        found ^= int(engine.scalar(connection, version_hash(rows)), 16)
    return f"{found:032x}"
