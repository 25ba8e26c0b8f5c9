"""Rows that are unlike each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from workbench.engine import identifier, literal
from workbench.errors import ConfigError, DataError
from workbench.guide import Param
from workbench.samplers._draw import random_number
from workbench.samplers._sampler import DRAW, UNCERTAINTY, Plan, Run, Sampler

#: Rows at most to which clusters are fitted, and among which centers are sought.
SAMPLE = 20_000
#: Clusters at most where their number is not given: each costs a distance for each row.
CLUSTERS = 64


def _plan(method: str, over: str, k: int, score: str, floor: float, scheme: str) -> Plan:
    vector = f"CAST({over} AS DOUBLE[])"
    # The sum is finite only where all of its terms are; it leaves out those that are NULL.
    whole = f"isfinite(list_sum({vector})) AND list_count({vector}) = len({vector})"
    preferred = f"CASE WHEN {whole} THEN {score or 1} END"
    if method == "k_center":
        if score:
            raise ConfigError("k_center takes no score.", "Leave out score, or use k_means.")
        return Plan(score=preferred, scheme="top", fit=partial(_centers, vector, whole))
    plan = Plan(score=preferred, floor=floor, scheme=scheme, allocation="equal")
    return replace(plan, fit=partial(_clusters, plan, vector, whole, k))


def _vectors(vector: str, whole: str, run: Run, source: str, key: str) -> tuple[list[str], Any]:
    """Keys and vectors of at most `SAMPLE` rows, the same for every seed.

    Were they chosen by the random numbers of the draw, the clusters would depend on these, and the
    probabilities within the clusters would be wrong.
    """
    name = identifier(key)
    number = random_number(key, "vectors")
    found = run(
        f"SELECT {name} AS id, {vector} AS vector FROM {source} WHERE {whole} "
        f"ORDER BY {number}, {name} LIMIT {SAMPLE}"
    )
    vectors = found["vector"].combine_chunks()
    sizes = sorted(set(vectors.value_lengths().to_pylist()))
    if len(sizes) > 1:
        raise DataError(
            f"The vectors have {sizes[0]} to {sizes[-1]} numbers.",
            "Draw from the rows of one kind with a condition, such as len(embedding) = "
            f"{sizes[-1]}.",
        )
    values = vectors.flatten().to_numpy(zero_copy_only=False)
    return found["id"].to_pylist(), values.reshape(len(vectors), sizes[0] if sizes else 0)


def _clusters(
    plan: Plan, vector: str, whole: str, k: int, run: Run, source: str, key: str, n: int | None
) -> Plan:
    """The plan with the clusters of k-means as strata."""
    import numpy as np
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    _, vectors = _vectors(vector, whole, run, source, key)
    # More strata than rows to draw would leave some of them without a chance.
    most = min(k or CLUSTERS, len(vectors) if n is None else max(n, 1))
    most = min(most, len(np.unique(vectors, axis=0)))
    if most < 2:
        return plan
    with threadpool_limits(limits=1):  # more threads add up in another order
        centroids = KMeans(most, n_init=1, random_state=0).fit(vectors).cluster_centers_
    rows = ",".join(f"[{','.join(f'{x:.9g}' for x in row)}]" for row in centroids)
    nearest = (
        f"list_transform([list_transform(CAST({literal(f'[{rows}]')} AS DOUBLE[][]), "
        f"lambda c: list_distance({vector}, c))], lambda d: list_position(d, list_min(d)))[1]"
    )
    return replace(plan, by=f"CASE WHEN {whole} THEN {nearest} END", fit=None)


def _centers(vector: str, whole: str, run: Run, source: str, key: str, n: int | None) -> Plan:
    """The plan of the farthest-first traversal of Gonzalez (Theor. Comput. Sci. 38, 1985).

    Its first row is the nearest to the mean, and each next one the farthest from those before; its
    score is that distance. All other rows have the score 0.
    """
    import numpy as np

    ids, vectors = _vectors(vector, whole, run, source, key)
    chosen: list[tuple[int, float]] = []
    if len(vectors) and n:
        differences = vectors - vectors.mean(axis=0)
        here = int(np.einsum("ij,ij->i", differences, differences).argmin())
        nearest = np.full(len(vectors), np.inf)
        while len(chosen) < n:
            np.subtract(vectors, vectors[here], out=differences)
            chosen.append((here, float(nearest[here])))
            np.minimum(nearest, np.einsum("ij,ij->i", differences, differences), out=nearest)
            here = int(nearest.argmax())
            if not nearest[here] > 0:
                break
    return Plan(score=_score(whole, key, ids, chosen), scheme="top")


def _score(whole: str, key: str, ids: Sequence[str], chosen: Sequence[tuple[int, float]]) -> str:
    """SQL of the distance at which a row was chosen; the first has that of the second."""
    squares = [square for _, square in chosen]
    squares[:1] = squares[1:2] or [1.0] * len(squares)
    names = ", ".join(literal(ids[row]) for row, _ in chosen)
    numbers = ", ".join(repr(square**0.5) for square in squares)
    return (
        f"CASE WHEN {whole} THEN coalesce((SELECT max(distance) FROM (SELECT "
        f"unnest([{names}]::VARCHAR[]) AS center, unnest([{numbers}]::DOUBLE[]) AS distance) "
        f"WHERE center = {identifier(key)}), 0) END"
    )


sampler = Sampler(
    name="diversity",
    about="Rows that are unlike each other, by their embeddings or other numbers.",
    params={
        "method": Param(
            default="k_means",
            about="k_means draws as many from each of k clusters, by chance; k_center takes the "
            "row that is farthest from those taken before, again and again, among at most "
            f"{SAMPLE:,} rows, as scheme='top' does without probabilities and weights.",
            choices=("k_means", "k_center"),
        ),
        "over": Param(
            default="embedding",
            about="SQL expression of the vector, or a list of numbers on like scales, such as "
            "[confidence, latency_ms / 1000].",
        ),
        "k": Param(
            default=0,
            about=f"Number of clusters; 0 for as many as rows are drawn, at most {CLUSTERS}.",
            minimum=0,
            maximum=1000,
        ),
        "score": Param(
            default="",
            about="Which uncertainty to prefer within a cluster; none where it is empty.",
            choices=("", *UNCERTAINTY.choices),
        ),
        **DRAW,
    },
    plan=_plan,
    expressions=("over",),
)
