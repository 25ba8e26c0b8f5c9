"""Documents that can be searched, and what batches of inferences find among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from workbench.contexts._matrices import Floats, Integers, Vectors, by_length, usable
from workbench.contexts._search import Documents, documents, search

RESULT = pa.schema(
    [
        ("__row", pa.int64()),
        ("__rank", pa.int64()),
        ("__order", pa.int64()),
        ("__score", pa.float64()),
        ("__reason", pa.string()),
    ]
)
EVER = np.iinfo(np.int64).min


@dataclass(frozen=True, kw_only=True)
class Store:
    """All documents that can be searched.

    Attributes
    ----------
    documents
        By group and length.
    first
        Time from which the first document of each group may be used.
    """

    documents: Mapping[tuple[int, int], Documents]
    first: Mapping[int, int]
    similarity: str


def store(batches: Iterable[pa.RecordBatch], similarity: str) -> Store:
    """Read documents: ``__order``, ``__known``, ``__group`` and ``__vector``."""
    parts: dict[tuple[int, int], list[tuple[Vectors, Integers, Integers]]] = {}
    for batch in batches:
        order, known, group = (_integers(batch[name]) for name in ("__order", "__known", "__group"))
        for length, (rows, vectors) in by_length(batch["__vector"]).items():
            kept = usable(vectors, similarity)
            rows, vectors = rows[kept], vectors[kept]
            for number in np.unique(group[rows]):
                own = group[rows] == number
                parts.setdefault((int(number), length), []).append(
                    (vectors[own], order[rows[own]], known[rows[own]])
                )
    result: dict[tuple[int, int], Documents] = {}
    first: dict[int, int] = {}
    for (number, length), given in parts.items():
        vectors, order, known = (np.concatenate(column) for column in zip(*given, strict=True))
        given.clear()
        result[number, length] = documents(vectors, order, known, similarity)
        first[number] = min(first.get(number, np.iinfo(np.int64).max), int(known.min()))
    return Store(documents=result, first=first, similarity=similarity)


def nearest(
    batch: pa.RecordBatch, among: Store, *, k: int, minimum: float | None, timed: bool
) -> pa.RecordBatch:
    """The nearest documents of each row of ``__row``, ``__t``, ``__group`` and ``__vector``.

    Parameters
    ----------
    batch
        Inferences.
    among
        The documents.
    k, minimum
        How many, and their least score.
    timed
        Whether the documents have times, so that a row without one finds none.

    Returns
    -------
    pa.RecordBatch
        Of schema `RESULT`; a row that finds nothing is there once, with its reason.
    """
    row, time = _integers(batch["__row"]), _integers(batch["__t"])
    group = _integers(batch["__group"])
    reason = np.full(len(row), "no_embedding", dtype=object)
    found: list[tuple[Integers, Integers, Integers, Floats]] = []
    for length, (rows, vectors) in by_length(batch["__vector"]).items():
        fit = usable(vectors, among.similarity)
        reason[rows[~fit]] = "bad_embedding"
        rows, vectors = rows[fit], vectors[fit]
        clock = (time[rows] != EVER) if timed else np.ones(len(rows), dtype=bool)
        reason[rows[~clock]] = "no_clock"
        rows, vectors = rows[clock], vectors[clock]
        for number in np.unique(group[rows]):
            own = group[rows] == number
            mine, asked = rows[own], vectors[own]
            first = among.first.get(int(number))
            if first is None:
                reason[mine] = "no_match"
                continue
            at = time[mine] if timed else np.zeros(len(mine), dtype=np.int64)
            reason[mine] = np.where(at < first, "not_yet_known", "wrong_length")
            store = among.documents.get((int(number), length))
            if store is None:
                continue
            pairs = search(asked, at, store, k=k, similarity=among.similarity)
            reason[mine[pairs.query]] = "below_minimum"
            enough = np.full(len(pairs.query), True) if minimum is None else pairs.score >= minimum
            query, document = pairs.query[enough], pairs.document[enough]
            rank = np.arange(len(query)) - np.searchsorted(query, query) + 1
            reason[mine[query]] = None
            found.append((row[mine[query]], rank, store.order[document], pairs.score[enough]))
    none = np.flatnonzero(reason != None)  # noqa: E711
    nothing = (row[:0], row[:0], row[:0], np.empty(0))
    columns = [np.concatenate(part) for part in zip(nothing, *found, strict=True)]
    taken = pa.record_batch(
        [*(pa.array(c, field.type) for c, field in zip(columns, RESULT, strict=False)),
         pa.nulls(len(columns[0]), pa.string())],
        schema=RESULT,
    )  # fmt: skip
    gaps = pa.record_batch(
        [pa.array(row[none]), *(pa.nulls(len(none), field.type) for field in list(RESULT)[1:4]),
         pa.array(reason[none], pa.string())],
        schema=RESULT,
    )  # fmt: skip
    return pa.concat_batches([taken, gaps])


def _integers(column: pa.Array) -> Integers:
    """Whole numbers, and times as microseconds; `EVER` where they are missing."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz))
    return np.asarray(column.cast(pa.int64()).fill_null(EVER))
