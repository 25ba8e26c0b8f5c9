"""The density of embeddings against the neighbours that scikit-learn finds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from tests.artefacts.rows import rows
from tests.cli.conftest import run
from tests.ingest.folder import Folder, inference, lines
from workbench.artefacts import Fitted, density
from workbench.errors import DataError

PARAMS = {"k": 10, "similarity": "cosine", "sample": 20_000}


def fitted(vectors: Any, **params: Any) -> tuple[Fitted, list[float | None]]:
    ids = [f"r{n}" for n in range(len(vectors))]
    given = rows(request_id=ids, embedding=[None if v is None else list(v) for v in vectors])
    found = density.fit(given, {**PARAMS, **params})
    assert found.table is not None
    by_id = dict(zip(*found.table.to_pydict().values(), strict=True))
    return found, [by_id.get(identity) for identity in ids]


def embeddings(n: int, width: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Two crowds and some that stand alone, in the 32 bits of the contract; the last are copies."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=(3, width)) * 3
    found = centre[rng.integers(0, 2, n)] + rng.normal(size=(n, width))
    found[:5] = -3 * centre[:2].sum(axis=0) + rng.normal(size=(5, width)) * 5
    found[-3:] = found[-4]
    return found.astype(np.float32)


@pytest.mark.parametrize("k", [1, 5, 40])
@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_is_the_mean_over_the_neighbours_of_scikit_learn(
    monkeypatch: pytest.MonkeyPatch, similarity: str, k: int
) -> None:
    """In blocks so small that each border of theirs is met."""
    monkeypatch.setattr(density, "_READ", 70)
    monkeypatch.setattr(density, "_CELLS", 300)
    vectors = embeddings(211, 7)
    found, values = fitted(vectors, k=k, similarity=similarity)
    search = NearestNeighbors(n_neighbors=k, metric=similarity, algorithm="brute")
    distance, _ = search.fit(vectors.astype(float)).kneighbors()
    expected = (1 - distance if similarity == "cosine" else -distance).mean(axis=1)
    # The root of a difference of squares is exact to half of the digits where it is 0.
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-7)
    far = (1 - distance if similarity == "cosine" else -distance).min(axis=1) < -1e-3
    np.testing.assert_allclose(np.array(values)[far], expected[far], rtol=1e-10)
    assert found.n == 211
    assert found.figures["quantiles"]["0.0"] == min(values)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = embeddings(300, 16)
    _, whole = fitted(vectors)
    monkeypatch.setattr(density, "_READ", 37)
    monkeypatch.setattr(density, "_CELLS", 100)
    _, parts = fitted(vectors)
    np.testing.assert_allclose(parts, whole, rtol=1e-12)


def test_neighbours_are_sought_in_the_sample_and_never_in_the_row_itself() -> None:
    vectors = embeddings(60, 4)
    _, values = fitted(vectors, sample=20, k=3)
    digests = [hashlib.md5(f"r{n}".encode()).hexdigest() for n in range(60)]
    sample = sorted(range(60), key=lambda n: digests[n])[:20]
    unit = vectors.astype(float) / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
    for n in range(60):
        cosines = sorted((unit[n] @ unit[m] for m in sample if m != n), reverse=True)
        assert values[n] == pytest.approx(np.mean(cosines[:3]), rel=1e-12)


def test_copies_are_as_dense_as_can_be_and_few_neighbours_are_all() -> None:
    _, values = fitted([[1.0, 2.0]] * 4 + [[-1.0, -2.0]], k=3)
    assert values == pytest.approx([1.0] * 4 + [-1.0], abs=1e-15)
    _, values = fitted([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], k=100)
    half = np.sqrt(0.5)
    assert values == pytest.approx([half / 2, half / 2, half])


def test_what_cannot_be_compared_has_no_density() -> None:
    nan, inf = float("nan"), float("inf")
    bad = [None, [], [nan, 1.0], [inf, 1.0], [None, 1.0], [0.0, 0.0], [1.0, 1.0, 1.0]]
    found, values = fitted([[1.0, 0.0], [1.0, 1.0], *bad])
    assert values[:2] == pytest.approx([np.sqrt(0.5)] * 2)
    assert values[2:] == [None] * len(bad)
    assert found.n == 2
    _, values = fitted([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], similarity="euclidean", k=1)
    assert values == pytest.approx([-1.0, -1.0, -1.0])


def test_embeddings_that_have_no_other_are_refused() -> None:
    with pytest.raises(DataError, match="same length"):
        fitted([[1.0, 2.0], [1.0], None])


def test_from_the_command_line_to_the_column(tmp_path: Path) -> None:
    config = '[inferences]\nsource = "logs"\n[feedback]\nsource = "events"\n'
    folder = Folder.make(tmp_path / "p", config, events=1)
    vectors = embeddings(30, 4)
    given = (inference(n, embedding=[float(x) for x in vectors[n]]) for n in range(30))
    folder.write("logs/a.jsonl", lines(given))
    folder.build()
    done = run("fit", "density", "--param", "k=3", "--project", folder.path, "--json")
    assert done.code == 0, done.err
    made = json.loads(done.out)
    assert (made["n"], made["pinned"]) == (30, True)
    assert run("build", "--project", folder.path).code == 0
    query = "SELECT count(density) AS n, max(density) AS most FROM enriched_inferences"
    (row,) = json.loads(run("sql", query, "--format", "json", "--project", folder.path).out)
    assert row["n"] == 30
    assert row["most"] == made["figures"]["quantiles"]["1.0"]
    again = json.loads(
        run("fit", "density", "--param", "k=3", "--project", folder.path, "--json").out
    )
    assert again["id"] == made["id"]
