"""Vectors as matrices of 32-bit floats, and the greatest cells of their rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: Numbers that are worked on in 64 bits at once; they stay in the cache.
PART = 2**16
#: Greatest error of rounding a number to 32 bits, in parts of it.
UNIT = 2.0**-24
#: Cells of a row this far apart belong to one group.
STRIDE = 256


def by_length(column: pa.Array) -> dict[int, tuple[Integers, Vectors]]:
    """The vectors of each length: their rows, and a matrix. Missing values are NaN."""
    lengths = np.asarray(column.value_lengths().fill_null(0))
    result = {}
    for length in np.unique(lengths[lengths > 0]):
        rows = np.flatnonzero(lengths == length)
        mine = column if len(rows) == len(column) else column.take(pa.array(rows))
        values = mine.flatten().to_numpy(zero_copy_only=False)
        vectors = values.astype(np.float32, copy=False).reshape(-1, int(length))
        result[int(length)] = (rows, vectors)
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
    step = max(1, PART // max(1, vectors.shape[1]))
    parts = [_norms(vectors[start : start + step]) for start in range(0, len(vectors), step)]
    return np.concatenate([np.empty(0), *parts])


def _norms(vectors: Vectors) -> Floats:
    norms: Floats = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1))
    return norms


def candidates(
    rough: Vectors, k: int, least: Callable[[Integers], Floats]
) -> tuple[Integers, Integers]:
    """Cells that may be among the `k` greatest of their row.

    The greatest of every `STRIDE`-th cell are found in one pass; the `k` greatest of these are a
    good guess at the `k` greatest of all, so only strides that reach what `least` makes of them are
    looked at cell by cell. What is minus infinity is not known yet and never a candidate.

    Parameters
    ----------
    rough
        One row per query.
    k
        How many are sought.
    least
        The least that a candidate of each row has, given `k` cells of each, of shape (rows, k).
    """
    n, width = rough.shape
    length = width // STRIDE
    if k >= STRIDE // 4 or length < 2:
        candidate = rough > -np.inf
        if width > k:
            candidate &= rough >= least(_greatest(rough, k))[:, None]
        query, document = np.divmod(np.flatnonzero(candidate.ravel()), width)
        return query, document
    whole = length * STRIDE
    strided = rough[:, :whole].reshape(n, length, STRIDE)
    greatest = strided.max(axis=1)
    best = _greatest(greatest, k)
    guess = strided[np.arange(n)[:, None], :, best].argmax(axis=2) * STRIDE + best
    limit = least(guess)
    query, stride = np.nonzero((greatest >= limit[:, None]) & (greatest > -np.inf))
    cells = stride[:, None] + np.arange(0, whole, STRIDE)
    values = rough[query[:, None], cells]
    hit, place = np.nonzero((values >= limit[query, None]) & (values > -np.inf))
    rest = rough[:, whole:]
    more, tail = np.nonzero((rest >= limit[:, None]) & (rest > -np.inf))
    return np.concatenate([query[hit], more]), np.concatenate([cells[hit, place], whole + tail])


def _greatest(values: Vectors, k: int) -> Integers:
    """Where the `k` greatest values of each row are, in no order."""
    if k == 1:
        return np.asarray(values.argmax(axis=1))[:, None]
    return np.asarray(np.argpartition(values, -k, axis=1)[:, -k:])
