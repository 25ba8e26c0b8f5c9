"""What was erased stays out, however often the files that hold it are read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import duckdb

from workbench import engine
from workbench.engine import identifier, literal
from workbench.importers import RAW
from workbench.ingest.context import KEY
from workbench.ingest.mapping import CHECKED, REASON

#: Hashes of the ids that were erased, in the state folder: who they were is not kept.
FILE = "forgotten.parquet"
_IDS = (
    "request_id", "user_id", "rater_id", "session_id", "chosen_id", "rejected_id", "alias",
    "parent_id", "retracts", "feedback_id",
)  # fmt: skip
_WORD = r"[^\s\"'',;:{}()\[\]]+"


def hashes_sql(state: Path) -> str | None:
    """Query of ``hash``: the sha256 of each id that was erased; None where none was."""
    path = state / FILE
    return f"SELECT hash FROM read_parquet({literal(str(path))})" if path.exists() else None


def ids_among(columns: Iterable[str]) -> list[str]:
    """Those columns of a lake table that hold ids, by which a row belongs to somebody."""
    return [name for name in columns if name in _IDS or name.startswith(KEY)]


def leave_out(connection: duckdb.DuckDBPyConnection, state: Path, refused: str) -> int:
    """Take rows of what was erased out of the staged rows, before anything is written.

    Parameters
    ----------
    connection
        Connection in which the rows are staged and checked.
    state
        The project's ``.workbench`` folder.
    refused
        The relation of the rows that could not be read.

    Returns
    -------
    int
        How many rows were left out.
    """
    hashes = hashes_sql(state)
    if hashes is None:
        return 0
    columns = engine.columns_of(connection, CHECKED)
    named = [
        f"coalesce(sha256({identifier(name)}) IN ({hashes}), false)" for name in ids_among(columns)
    ]
    # A row that could not be read has no ids, only its text.
    words = f"list_transform(regexp_extract_all({RAW}, {literal(_WORD)}), lambda w: sha256(w))"
    in_text = f"coalesce(list_has_any({words}, (SELECT list(hash) FROM ({hashes}))), false)"
    if RAW in columns:
        named.append(f"({REASON} IS NOT NULL AND {in_text})")
    out = 0
    for relation, condition in ((CHECKED, " OR ".join(named)), (refused, in_text)):
        before = engine.scalar(connection, f"SELECT count(*) FROM {relation}")
        connection.execute(f"DELETE FROM {relation} WHERE {condition}")
        out += before - engine.scalar(connection, f"SELECT count(*) FROM {relation}")
    return int(out)
