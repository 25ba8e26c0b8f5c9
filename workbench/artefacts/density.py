"""How close the embedding of an inference is to the embeddings most like it.

What it shows
-------------
Which inputs are typical, with many close neighbours, and which are unlike all others.

How to read it
--------------
Small is far from everything: outliers, new topics, rare languages, broken input. It is about the
embeddings of the population that was fitted on, and says nothing of whether the answer was right;
``error_detection_auroc(score='density')`` does. Equal inputs are neighbours of each other, so many
copies of one request have a density of 1.

What to do
----------
Read the least dense inputs first. For labelling, prefer doubtful inputs of high density to doubtful
outliers: what is learned of them helps with many others.

Definition
----------
Mean similarity to the ``k`` most similar other inferences of the population (Zhu et al. 2010, KNN
density): the cosine, or minus the Euclidean distance, of which the mean is then that of the k
nearest neighbours. Found by comparing all pairs in 64 bits, not by an approximate index. Where the
population is larger than ``sample``, neighbours are sought among so many of it, those with the
smallest md5 of their id. An embedding has neighbours of its own length only; NULL for one that is
missing, holds a NULL, a NaN or an infinite value, has no direction (cosine), or has no other of its
length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from workbench.artefacts._kind import Fitted, Rows, artefact_kind
from workbench.errors import DataError
from workbench.guide import Param

Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]
Texts = npt.NDArray[np.object_]

#: Vectors that are read at once, and the greatest number of cells of a matrix of 64 bits.
_READ = 20_000
_CELLS = 2_000_000


def fit(rows: Rows, params: Mapping[str, Any]) -> Fitted:
    """Read the sample, then all vectors part by part, and compare each part with the sample."""
    similarity, k = params["similarity"], params["k"]
    table = rows.table.select(
        "request_id", "embedding", digest=rows.table.request_id.hexdigest("md5")
    )
    chosen = table.order_by("digest").limit(params["sample"])
    sample = _by_length(rows.execute(chosen.select("request_id", "embedding")), similarity)
    if not any(len(ids) > 1 for ids, _ in sample.values()):
        raise DataError(
            "No two inferences have embeddings of the same length that can be compared.",
            "Map embedding in workbench.toml to a list of numbers.",
        )
    ids, values = [np.empty(0, object)], [np.empty(0)]
    for part in _parts(rows, table):
        for length, (own, vectors) in _by_length(part, similarity).items():
            others, among = sample.get(length, (own[:0], vectors[:0]))
            ids.append(own)
            values.append(_density(own, vectors, others, among, k, similarity))
    request_id, density = np.concatenate(ids), np.concatenate(values)
    known = ~np.isnan(density)
    order = np.argsort(request_id[known])
    request_id, density = request_id[known][order], density[known][order]
    quantiles = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    return Fitted(
        state={"similarity": similarity, "k": k},
        n=len(density),
        table=pa.table(
            {"request_id": pa.array(request_id, pa.string()), "density": pa.array(density)}
        ),
        figures={
            "sample": sum(len(ids) for ids, _ in sample.values()),
            "quantiles": {str(q): float(np.quantile(density, q)) for q in quantiles},
        },
    )


def _parts(rows: Rows, table: ir.Table) -> Iterator[pa.Table]:
    """The population in parts of about `_READ` rows, by the md5 of their ids."""
    n = int(rows.execute(table.aggregate(n=table.count()))["n"][0].as_py())
    parts = -(-n // _READ)
    # The sample is the smallest of all digits, so that parts go by other ones.
    part = ("0x" + table.digest.substr(24, 8)).cast("int64") % max(parts, 1)
    for number in range(parts):
        yield rows.execute(table.filter(part == number).select("request_id", "embedding"))


def _by_length(part: pa.Table, similarity: str) -> dict[int, tuple[Texts, Vectors]]:
    """The ids and vectors of each length that can be compared."""
    ids = part["request_id"].to_numpy(zero_copy_only=False)
    column = part["embedding"].combine_chunks()
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    found = {}
    for length in np.unique(lengths[lengths > 0]):
        places = np.flatnonzero(lengths == length)
        flat = column.take(pa.array(places)).flatten().to_numpy(zero_copy_only=False)
        vectors = flat.astype(np.float32).reshape(len(places), -1)
        usable = np.isfinite(vectors).all(axis=1)
        if similarity == "cosine":
            usable &= (vectors != 0).any(axis=1)
        found[int(length)] = (ids[places[usable]], vectors[usable])
    return found


def _prepared(vectors: Vectors, similarity: str) -> Floats:
    wide = vectors.astype(np.float64)
    if similarity == "cosine":
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return wide


def _density(
    ids: Texts, vectors: Vectors, others: Texts, among: Vectors, k: int, similarity: str
) -> Floats:
    """Mean similarity of each vector to the `k` most similar `among` those of other ids."""
    found = np.full(len(ids), np.nan)
    where = {identity: place for place, identity in enumerate(others)}
    own = np.array([where.get(identity, -1) for identity in ids])
    width = max(1, vectors.shape[1])
    step = max(1, min(1000, _CELLS // width))
    for start in range(0, len(ids), step):
        rows = slice(start, start + step)
        asked = _prepared(vectors[rows], similarity)
        best = np.full((len(asked), k), -np.inf)
        stride = max(1, min(_CELLS // len(asked), _CELLS // width))
        for first in range(0, len(others), stride):
            block = _prepared(among[first : first + stride], similarity)
            score = _similar(asked, block, similarity)
            mine = own[rows] - first
            inside = np.flatnonzero((mine >= 0) & (mine < len(block)))
            score[inside, mine[inside]] = -np.inf
            if score.shape[1] > k:
                score = np.partition(score, -k, axis=1)[:, -k:]
            best = np.sort(np.concatenate([best, score], axis=1), axis=1)[:, -k:]
        there = best > -np.inf
        total = np.where(there, best, 0.0).sum(axis=1)
        number = there.sum(axis=1)
        found[rows] = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    return found


def _similar(asked: Floats, block: Floats, similarity: str) -> Floats:
    product: Floats = asked @ block.T
    if similarity == "cosine":
        # Rounding must not push a cosine out of its range.
        return product.clip(-1.0, 1.0)
    squares = np.square(asked).sum(axis=1)[:, None] + np.square(block).sum(axis=1)[None, :]
    distance: Floats = np.sqrt(np.maximum(squares - 2.0 * product, 0.0))
    return -distance


artefact = artefact_kind(
    columns=("density",),
    fit=fit,
    needs=("embedding",),
    about=lambda rows: rows.embedding.notnull(),
    params={
        "k": Param(default=10, about="Number of neighbours.", minimum=1, maximum=1000),
        "similarity": Param(
            default="cosine", about="How alike two vectors are.", choices=("cosine", "euclidean")
        ),
        "sample": Param(
            default=20_000,
            about="Greatest number of inferences among which neighbours are sought.",
            minimum=2,
            maximum=1_000_000,
        ),
    },
)
