"""Exact search for the most similar of many vectors, in blocks of bounded size.

Vectors are 32-bit floats, as the contract stores them. A block is first compared in 32 bits, which
is fast; all documents that may belong to the best k, given the greatest error of that, are then
compared in 64 bits, one pair at a time. So neither the size of a block nor the number of threads
can change which documents are found, their scores or their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pyarrow as pa
from threadpoolctl import ThreadpoolController

from workbench.contexts._matrices import (
    PART,
    Floats,
    Integers,
    Vectors,
    by_length,
    candidates,
    norms_of,
    usable,
)

#: Greatest number of similarities of one block.
CELLS = 4_000_000
#: Documents that are compared with a block at once: enough queries fit beside them that bringing
#: the documents into the form of the multiplication, once per block, costs next to nothing.
TILE = 2**14
_UNIT = 2.0**-24


@dataclass(frozen=True, kw_only=True)
class Documents:
    """Vectors of one length to search among.

    Attributes
    ----------
    vectors
        One row per document, in the order that settles ties: the first wins.
    norms
        Euclidean norm of each vector.
    scaled
        `vectors` in the units in which blocks are compared: none is longer than 1.
    order
        Number of each document.
    known
        Time from which each may be used, in microseconds since 1970.
    """

    vectors: Vectors
    norms: Floats
    scaled: Vectors
    order: Integers
    known: Integers


@dataclass(frozen=True, kw_only=True)
class Found:
    """Pairs of a query and a document, by query and then from the best on.

    Attributes
    ----------
    query, document
        Their rows.
    score
        Similarity; the greater, the nearer.
    """

    query: Integers
    document: Integers
    score: Floats


def documents(vectors: Vectors, order: Integers, known: Integers, similarity: str) -> Documents:
    """Prepare vectors for `search`; rows are brought into the order of `order`."""
    place = np.argsort(order, kind="stable")
    vectors = np.ascontiguousarray(vectors[place])
    norms = norms_of(vectors)
    divisors = norms if similarity == "cosine" else np.full(len(norms), norms.max(initial=0.0))
    divisors = np.where(divisors > 0, divisors, 1.0)
    # The norm of the tiniest vectors is beyond 32 bits, and so has to be divided out in 64.
    scaled = np.empty_like(vectors)
    step = max(1, PART // max(1, vectors.shape[1]))
    for start in range(0, len(vectors), step):
        part = slice(start, start + step)
        scaled[part] = vectors[part].astype(np.float64) / divisors[part, None]
    return Documents(
        vectors=vectors, norms=norms, scaled=scaled, order=order[place], known=known[place]
    )


def block_rows(n_documents: int, length: int) -> int:
    """How many queries are compared at once: no matrix gets more than `CELLS` cells, if it can."""
    return max(1, CELLS // max(1, n_documents, length))


def search(
    queries: Vectors, times: Integers, among: Documents, *, k: int, similarity: str
) -> Found:
    """The `k` most similar documents that are known at the time of each query.

    Parameters
    ----------
    queries
        Usable vectors of the documents' length.
    times
        Microseconds since 1970.
    among
        The documents.
    k
        How many.
    similarity
        ``cosine``, ``dot`` (inner product) or ``euclidean`` (minus the distance).
    """
    n = len(among.order)
    step = block_rows(min(n, TILE), queries.shape[1])

    def block(start: int) -> Found:
        rows = slice(start, start + step)
        asked = _Queries(vectors=queries[rows], norms=norms_of(queries[rows]), times=times[rows])
        found = [
            _tile(asked, among, slice(first, first + TILE), k, similarity)
            for first in range(0, n, TILE)
        ]
        # The best of all are among the best of each tile.
        best = _best(_joined(found), len(asked.vectors), k) if len(found) > 1 else found[0]
        return replace(best, query=best.query + start)

    starts = range(0, len(queries), step)
    if len(starts) == 1:
        return block(0)
    # A block is not only multiplied: whole blocks side by side keep all processors busy.
    blas = _blas()
    workers = max([1, *(library["num_threads"] for library in blas.info())])
    with blas.limit(limits=1), ThreadPoolExecutor(workers) as pool:
        return _joined(list(pool.map(block, starts)))


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


@dataclass(frozen=True, kw_only=True)
class _Queries:
    """The queries of a block."""

    vectors: Vectors
    norms: Floats
    times: Integers


def _joined(parts: Sequence[Found]) -> Found:
    return Found(
        query=np.concatenate([np.empty(0, np.int64), *(part.query for part in parts)]),
        document=np.concatenate([np.empty(0, np.int64), *(part.document for part in parts)]),
        score=np.concatenate([np.empty(0), *(part.score for part in parts)]),
    )


def _best(found: Found, n: int, k: int) -> Found:
    """The best `k` pairs of each of `n` queries, in order."""
    best = np.lexsort((found.document, -found.score, found.query))
    query = found.query[best]
    first = np.searchsorted(query, np.arange(n))
    best = best[np.arange(len(query)) - first[query] < k]
    return Found(query=found.query[best], document=found.document[best], score=found.score[best])


def _tile(queries: _Queries, among: Documents, part: slice, k: int, similarity: str) -> Found:
    """The best pairs of some queries and some documents."""
    rough, error = _rough(queries, among, part, similarity)
    known = among.known[part]
    if known.max() > queries.times.min():
        rough[known[None, :] > queries.times[:, None]] = -np.inf
    query, document = candidates(rough, 2 * error.astype(np.float32), k)
    document += part.start
    score = _scores(queries, among, query, document, similarity)
    return _best(Found(query=query, document=document, score=score), len(rough), k)


def _rough(
    queries: _Queries, among: Documents, part: slice, similarity: str
) -> tuple[Vectors, Floats]:
    """What orders some documents for each query in 32 bits, and the greatest error of each query.

    Queries and documents are no longer than 1, so an inner product of n terms is off by no more
    than n + 2 roundings (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section
    3.1); the distance needs a few more.
    """
    norms = queries.norms
    divisors = np.where(norms > 0, norms, 1.0)
    # The norm of the tiniest vectors is beyond 32 bits, and so has to be divided out in 64.
    scaled = np.empty_like(queries.vectors)
    np.divide(queries.vectors, divisors[:, None], out=scaled, casting="same_kind")
    rough = scaled @ among.scaled[part].T
    roundings = scaled.shape[1] + 8
    error = np.full(len(scaled), 2 * roundings * _UNIT)
    if similarity == "euclidean":
        # The distance falls with q.d - d.d / 2, here divided by the longest vector of all.
        longest = max(among.norms.max(initial=0.0), 1e-50)
        most = np.maximum(norms, longest)
        half = np.square(among.norms[part] / longest) / 2
        rough *= (norms / most).astype(np.float32)[:, None]
        rough -= (longest / most).astype(np.float32)[:, None] * half.astype(np.float32)[None, :]
        # Of a long query and short documents, distances in 64 bits are the coarser ones.
        error += np.minimum(2 * roundings * _UNIT**2 * most / longest, 1e30)
    return rough, error


def _scores(
    queries: _Queries, among: Documents, query: Integers, document: Integers, similarity: str
) -> Floats:
    """The similarity of each pair, in 64 bits."""
    score = np.empty(len(query))
    step = max(1, PART // queries.vectors.shape[1])
    for start in range(0, len(query), step):
        part = slice(start, start + step)
        left = queries.vectors[query[part]].astype(np.float64)
        right = among.vectors[document[part]].astype(np.float64)
        if similarity == "euclidean":
            score[part] = -np.sqrt(np.square(left - right).sum(axis=1))
            continue
        score[part] = (left * right).sum(axis=1)
        if similarity == "cosine":
            score[part] /= queries.norms[query[part]] * among.norms[document[part]]
            # Rounding must not push a cosine out of its range.
            np.clip(score[part], -1.0, 1.0, out=score[part])
    return score


# -- from Arrow to Arrow ---------------------------------------------------------------------------

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
