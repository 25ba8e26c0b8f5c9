"""Exact search for the most similar of many vectors, in blocks of bounded size.

Vectors are 32-bit floats, as the contract stores them. A block is first compared in 32 bits, which
is fast; all documents that may belong to the best k, given the greatest error of that, are then
compared in 64 bits, one pair at a time. So neither the size of a block nor the number of threads
can change which documents are found, their scores or their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: Greatest number of cells of one block: of similarities, or of vectors in 64 bits.
CELLS = 1_000_000
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


def by_length(column: pa.Array) -> dict[int, tuple[Integers, Vectors]]:
    """The vectors of each length: their rows, and a matrix. Missing values are NaN."""
    lengths = np.asarray(column.value_lengths().fill_null(0))
    result = {}
    for length in np.unique(lengths[lengths > 0]):
        rows = np.flatnonzero(lengths == length)
        values = column.take(pa.array(rows)).flatten().to_numpy(zero_copy_only=False)
        result[int(length)] = (rows, values.astype(np.float32).reshape(-1, int(length)))
    return result


def usable(vectors: Vectors, similarity: str) -> Flags:
    """Which vectors can be compared: finite, and for the cosine with a direction."""
    finite: Flags = np.all(np.isfinite(vectors), axis=1)
    if similarity != "cosine":
        return finite
    directed: Flags = np.any(vectors != 0, axis=1)
    return finite & directed


def norms_of(vectors: Vectors) -> Floats:
    """Euclidean norm of each vector; every one by itself, whatever stands beside it."""
    step = max(1, CELLS // max(1, vectors.shape[1]))
    parts = [_norms(vectors[start : start + step]) for start in range(0, len(vectors), step)]
    return np.concatenate([np.empty(0), *parts])


def _norms(vectors: Vectors) -> Floats:
    norms: Floats = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1))
    return norms


def documents(vectors: Vectors, order: Integers, known: Integers, similarity: str) -> Documents:
    """Prepare vectors for `search`; rows are brought into the order of `order`."""
    place = np.argsort(order, kind="stable")
    vectors = np.ascontiguousarray(vectors[place])
    norms = norms_of(vectors)
    divisors = norms if similarity == "cosine" else np.full(len(norms), norms.max(initial=0.0))
    divisors = np.where(divisors > 0, divisors, 1.0)
    # The norm of the tiniest vectors is beyond 32 bits, and so has to be divided out in 64.
    scaled = np.empty_like(vectors)
    step = max(1, CELLS // max(1, vectors.shape[1]))
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
    step = block_rows(len(among.order), queries.shape[1])
    parts = [
        _block(queries[start : start + step], times[start : start + step], start, among, k,
               similarity)
        for start in range(0, len(queries), step)
    ]  # fmt: skip
    return Found(
        query=np.concatenate([np.empty(0, np.int64), *(part.query for part in parts)]),
        document=np.concatenate([np.empty(0, np.int64), *(part.document for part in parts)]),
        score=np.concatenate([np.empty(0), *(part.score for part in parts)]),
    )


def _block(
    queries: Vectors, times: Integers, start: int, among: Documents, k: int, similarity: str
) -> Found:
    rough, error = _rough(queries, among, similarity)
    if (among.known > times.min()).any():
        rough[among.known[None, :] > times[:, None]] = -np.inf
    # What is not known yet is never a candidate.
    candidate = rough > -np.inf
    if rough.shape[1] > k:
        kth = np.partition(rough, -k, axis=1)[:, -k]
        # Both of two compared values may be wrong.
        candidate &= rough >= (kth - 2 * error.astype(np.float32))[:, None]
    query, document = np.divmod(np.flatnonzero(candidate.ravel()), rough.shape[1])
    score = _scores(queries, among, query, document, similarity)
    best = np.lexsort((document, -score, query))
    query, document, score = query[best], document[best], score[best]
    first = np.searchsorted(query, np.arange(len(queries)))
    kept = np.arange(len(query)) - first[query] < k
    return Found(query=query[kept] + start, document=document[kept], score=score[kept])


def _rough(queries: Vectors, among: Documents, similarity: str) -> tuple[Vectors, Floats]:
    """What orders the documents of each query in 32 bits, and the greatest error of each.

    Queries and documents are no longer than 1, so an inner product of n terms is off by no more
    than n + 2 roundings (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section
    3.1); the distance needs a few more.
    """
    norms = norms_of(queries)
    divisors = np.where(norms > 0, norms, 1.0)
    scaled = (queries.astype(np.float64) / divisors[:, None]).astype(np.float32)
    rough = scaled @ among.scaled.T
    roundings = queries.shape[1] + 8
    error = np.full(len(queries), 2 * roundings * _UNIT)
    if similarity == "euclidean":
        # The distance falls with q.d - d.d / 2, here divided by the longest vector of all.
        longest = max(among.norms.max(initial=0.0), 1e-50)
        most = np.maximum(norms, longest)
        half = np.square(among.norms / longest) / 2
        rough *= (norms / most).astype(np.float32)[:, None]
        rough -= (longest / most).astype(np.float32)[:, None] * half.astype(np.float32)[None, :]
        # Of a long query and short documents, distances in 64 bits are the coarser ones.
        error += np.minimum(2 * roundings * _UNIT**2 * most / longest, 1e30)
    return rough, error


def _scores(
    queries: Vectors, among: Documents, query: Integers, document: Integers, similarity: str
) -> Floats:
    """The similarity of each pair, in 64 bits."""
    score = np.empty(len(query))
    norms = norms_of(queries)
    step = max(1, CELLS // (4 * queries.shape[1]))
    for start in range(0, len(query), step):
        part = slice(start, start + step)
        left = queries[query[part]].astype(np.float64)
        right = among.vectors[document[part]].astype(np.float64)
        if similarity == "euclidean":
            score[part] = -np.sqrt(np.square(left - right).sum(axis=1))
            continue
        score[part] = (left * right).sum(axis=1)
        if similarity == "cosine":
            score[part] /= norms[query[part]] * among.norms[document[part]]
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
