"""Exact search for the most similar of many vectors, in blocks of bounded size.

Vectors are 32-bit floats, as the contract stores them. A block is first compared in 32 bits, which
is fast, and where that is enough only by what their similarity is at most (`_bounds`). All
documents that may belong to the best k, given the greatest error of that, are then compared in 64
bits, one pair at a time. So neither the size of a block nor the number of threads, nor how a block
was compared, can change which documents are found, their scores or their order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

import numpy as np
from threadpoolctl import ThreadpoolController

from workbench.contexts._bounds import PAIR, Bounds, find, worth_finding
from workbench.contexts._matrices import (
    PART,
    UNIT,
    Floats,
    Integers,
    Vectors,
    candidates,
    norms_of,
)

#: Greatest number of similarities of one block.
CELLS = 4_000_000
#: Documents that are compared with a block at once: enough queries fit beside them that bringing
#: the documents into the form of the multiplication, once per block, costs next to nothing.
TILE = 2**14


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
    found
        What `bounds` found, once it was looked for.
    """

    vectors: Vectors
    norms: Floats
    scaled: Vectors
    order: Integers
    known: Integers
    found: list[Bounds | None] = field(default_factory=list, repr=False)

    def bounds(self, queries: Vectors, k: int) -> Bounds | None:
        """Bounds that suit the queries of the first large search; None where none are worth it."""
        pairs = len(queries) * len(self.order)
        if not self.found and worth_finding(pairs, queries.shape[1]):
            self.found.append(find(self.scaled, _scaled(queries, norms_of(queries)), k))
        return self.found[0] if self.found else None


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
    return Documents(
        vectors=vectors,
        norms=norms,
        scaled=_scaled(vectors, divisors),
        order=order[place],
        known=known[place],
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
    bounds = among.bounds(queries, k)

    def block(start: int) -> Found:
        rows = slice(start, start + step)
        asked = _Queries(vectors=queries[rows], norms=norms_of(queries[rows]), times=times[rows])
        found = [
            _tile(asked, among, slice(first, first + TILE), k, similarity, bounds)
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

    @cached_property
    def scaled(self) -> Vectors:
        """`vectors` in the units in which blocks are compared: none is longer than 1."""
        return _scaled(self.vectors, self.norms)


def _scaled(vectors: Vectors, divisors: Floats) -> Vectors:
    divisors = np.where(divisors > 0, divisors, 1.0)
    # The norm of the tiniest vectors is beyond 32 bits, and so has to be divided out in 64.
    scaled = np.empty_like(vectors)
    np.divide(vectors, divisors[:, None], out=scaled, casting="same_kind")
    return scaled


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


def _tile(
    queries: _Queries,
    among: Documents,
    part: slice,
    k: int,
    similarity: str,
    bounds: Bounds | None,
) -> Found:
    """The best pairs of some queries and some documents."""
    documents = among.scaled[part]
    order = _order(queries, among, part, similarity)
    error = order.error
    hidden = None
    if among.known[part].max() > queries.times.min():
        hidden = among.known[part][None, :] > queries.times[:, None]
    each = np.arange(len(queries.vectors))[:, None]

    def rough(products: Vectors) -> Vectors:
        order.of_all(products)
        if hidden is not None:
            products[hidden] = -np.inf
        return products

    def below_bounds(cells: Integers) -> Floats:
        pair = (np.repeat(each, k), cells.ravel())
        inner = _each_pair(_product, queries.scaled, documents, *pair).reshape(cells.shape)
        exact = order.of_pairs(inner, cells)
        exact[most[each, cells] == -np.inf] = -np.inf
        return np.asarray(exact.min(axis=1) - slack)

    def below_products(cells: Integers) -> Floats:
        return np.asarray(whole[each, cells].min(axis=1) - 2 * error)

    pairs = None
    if bounds is not None:
        most = rough(bounds.of(queries.scaled, part))
        slack = 2 * error + bounds.slack
        pairs = candidates(most, k, below_bounds)
        if len(pairs[0]) * PAIR > most.size:
            pairs = None
    if pairs is None:
        whole = rough(queries.scaled @ documents.T)
        pairs = candidates(whole, k, below_products)
    query, document = pairs[0], pairs[1] + part.start
    score = _scores(queries, among, query, document, similarity)
    return _best(Found(query=query, document=document, score=score), len(each), k)


@dataclass(frozen=True, kw_only=True)
class _Order:
    """What orders documents for each query, made of inner products; it grows with them.

    Attributes
    ----------
    weight, shift
        Of each query: what its products are multiplied by, and how much of `half` is taken off.
    half
        Half of the square of each document's length; None where the product itself is the order.
    error
        Greatest error of the order of each query, if the products have that of 32 bits.
    """

    weight: Floats
    shift: Floats
    half: Floats | None
    error: Floats

    def of_all(self, products: Vectors) -> None:
        """Turn the products of all queries and documents into their order."""
        if self.half is not None:
            products *= self.weight.astype(np.float32)[:, None]
            products -= self.shift.astype(np.float32)[:, None] * self.half.astype(np.float32)

    def of_pairs(self, products: Floats, documents: Integers) -> Floats:
        """The order of some documents of each query, of shape (queries, documents)."""
        if self.half is None:
            return products
        return products * self.weight[:, None] - self.shift[:, None] * self.half[documents]


def _order(queries: _Queries, among: Documents, part: slice, similarity: str) -> _Order:
    """How documents are ordered.

    Queries and documents are no longer than 1, so an inner product of n terms is off by no more
    than n + 2 roundings (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section
    3.1); the distance needs a few more.
    """
    norms = queries.norms
    roundings = queries.vectors.shape[1] + 8
    error = np.full(len(norms), 2 * roundings * UNIT)
    if similarity != "euclidean":
        return _Order(weight=norms, shift=norms, half=None, error=error)
    # The distance falls with q.d - d.d / 2, here divided by the longest vector of all.
    longest = max(among.norms.max(initial=0.0), 1e-50)
    most = np.maximum(norms, longest)
    # Of a long query and short documents, distances in 64 bits are the coarser ones.
    error += np.minimum(2 * roundings * UNIT**2 * most / longest, 1e30)
    half = np.square(among.norms[part] / longest) / 2
    return _Order(weight=norms / most, shift=longest / most, half=half, error=error)


def _scores(
    queries: _Queries, among: Documents, query: Integers, document: Integers, similarity: str
) -> Floats:
    """The similarity of each pair, in 64 bits."""
    vectors = (queries.vectors, among.vectors)
    if similarity == "euclidean":
        return -_each_pair(_distance, *vectors, query, document)
    score = _each_pair(_product, *vectors, query, document)
    if similarity == "cosine":
        score /= queries.norms[query] * among.norms[document]
        # Rounding must not push a cosine out of its range.
        np.clip(score, -1.0, 1.0, out=score)
    return score


def _each_pair(
    of: Callable[[Floats, Floats], Floats],
    left: Vectors,
    right: Vectors,
    query: Integers,
    document: Integers,
) -> Floats:
    """A function of each pair of a row of `left` and one of `right`, in 64 bits."""
    values = np.empty(len(query))
    step = max(1, PART // left.shape[1])
    for start in range(0, len(query), step):
        part = slice(start, start + step)
        pair = (left[query[part]].astype(np.float64), right[document[part]].astype(np.float64))
        values[part] = of(*pair)
    return values


def _product(left: Floats, right: Floats) -> Floats:
    return np.asarray((left * right).sum(axis=1))


def _distance(left: Floats, right: Floats) -> Floats:
    return np.asarray(np.sqrt(np.square(left - right).sum(axis=1)))
