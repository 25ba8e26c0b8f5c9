"""How great inner products can be at most, told by fewer numbers than the vectors have.

Vectors are turned into the directions in which the documents are longest. The inner product of two
is that of their first numbers and that of the rests, which is at most the product of the rests'
lengths (Cauchy and Schwarz): one more number of each. Vectors of meaning lie near to few
directions, so that a part of their numbers shows of most documents that they are not the nearest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from workbench.contexts._matrices import UNIT, Floats, Vectors, norms_of

#: Documents that the directions are made of, and queries that tell how many are taken.
_MADE_OF, _ASKED = 2**12, 64
#: Numbers of the documents that tell it.
_NUMBERS = 2**24
#: To find them is worth while from so many pairs on, and so many times the square of the length.
_MANY, _SQUARES = 2**26, 64
#: Numbers of directions that are tried, as parts of all.
_PARTS = 12
#: Comparing one pair in 64 bits takes about as long as multiplying so many in 32.
PAIR = 200


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Documents as seen from some directions.

    Attributes
    ----------
    directions
        A column for each.
    documents
        The first numbers of each document, and the length of its rest.
    slack
        What a bound may be too small by.
    """

    directions: Vectors
    documents: Vectors
    slack: float

    def of(self, queries: Vectors, part: slice) -> Vectors:
        """Bounds of the inner products of queries, no longer than 1, and some documents."""
        return np.asarray(_seen(queries, self.directions) @ self.documents[part].T)


def worth_finding(pairs: int, length: int) -> bool:
    """Whether to compare so many pairs takes far longer than `find`."""
    return pairs >= max(_MANY, _SQUARES * length**2)


def find(documents: Vectors, queries: Vectors, k: int) -> Bounds | None:
    """The directions that spare most, None where to multiply whole vectors is the cheapest.

    Parameters
    ----------
    documents, queries
        Vectors no longer than 1.
    k
        How many documents are sought for each query.
    """
    length = documents.shape[1]
    some, asked = _some(documents, _NUMBERS // length), _some(queries, _ASKED)
    if length < _PARTS or len(some) <= k:
        return None
    wide = _some(documents, _MADE_OF).astype(np.float64)
    directions = np.linalg.eigh(wide.T @ wide)[1][:, ::-1].astype(np.float32)
    left, right = asked @ directions, some @ directions
    least = np.partition(left @ right.T, -k, axis=1)[:, -k, None]
    product = np.zeros((len(left), len(right)), dtype=np.float32)
    step = length // _PARTS
    cost = {length: 1.0}
    for end in range(step, length, step):
        part = slice(end - step, end)
        product += left[:, part] @ right[:, part].T
        bound = product + np.outer(
            *(norms_of(x[:, end:]).astype(np.float32) for x in (left, right))
        )
        cost[end] = end / length + PAIR * float(np.mean(bound >= least))
    n = min(cost, key=lambda end: cost[end])
    if n == length:
        return None
    directions = np.ascontiguousarray(directions[:, :n])
    return Bounds(
        directions=directions,
        documents=_seen(documents, directions),
        slack=4 * _error(length, n),
    )


def _some(vectors: Vectors, n: int) -> Vectors:
    return vectors[:: math.ceil(len(vectors) / n)]


def _seen(vectors: Vectors, directions: Vectors) -> Vectors:
    """The numbers of vectors in some directions, and the length of the rest, rounded up."""
    length, n = directions.shape
    seen = np.empty((len(vectors), n + 1), dtype=np.float32)
    np.matmul(vectors, directions, out=seen[:, :n])
    rest: Floats = np.square(norms_of(vectors)) - np.square(norms_of(seen[:, :n]))
    seen[:, n] = np.sqrt(np.maximum(rest, 0.0) + 4 * _error(length, n))
    return seen


def _error(length: int, n: int) -> float:
    """Greatest distance between what is seen of a vector no longer than 1 and what there is.

    Each of `n` sums of `length` terms is off by so many roundings of the terms' sizes (Higham,
    Accuracy and Stability of Numerical Algorithms, 2002, section 3.1), and the directions, rounded
    to 32 bits, are square to each other up to as much.
    """
    return (length + 8) * math.sqrt(n) * UNIT
