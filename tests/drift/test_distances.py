"""Each distance against scipy, numpy, or its definition written a second time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, ks_2samp, wasserstein_distance

from workbench.drift._cells import by_edges
from workbench.drift._columns import attribution_means
from workbench.scratch import held_table

from .held import distances, held

NAN = float("nan")
METHODS = ("jensen_shannon", "psi_decile_floor", "psi_decile_half", "chi_square")
law = settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))


def samples(kind: str, seed: int) -> list[np.ndarray[Any, Any]]:
    """A reference and three other samples, one of them all on ties and one outside of it."""
    rng = np.random.default_rng(seed)
    reference = {
        "normal": rng.normal(size=900),
        "skewed": rng.lognormal(sigma=1.5, size=900),
        "rounded": np.round(rng.normal(size=900), 1) + 0.0,
        "scores": np.round(rng.random(900), 3),
    }[kind]
    return [
        reference,
        rng.permutation(reference)[:300] + 0.05,
        np.repeat(reference[:5], 40),
        rng.normal(3, 2, size=250),
    ]


def flat(parts: list[np.ndarray[Any, Any]]) -> tuple[list[float], list[int]]:
    values = np.concatenate(parts)
    chunks = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return values.tolist(), chunks.tolist()


KINDS = ("normal", "skewed", "rounded", "scores")


@pytest.mark.parametrize("n", [2, 3, 4, 9, 24])
@pytest.mark.parametrize("ends", [False, True])
def test_a_cell_is_that_of_looking_at_every_edge(n: int, ends: bool) -> None:
    edges = [*np.linspace(0.0, 1.0, n)]
    if ends:
        edges = [-math.inf, *edges, math.inf]
    near = [np.nextafter(edge, to) for edge in edges for to in (-math.inf, math.inf)]
    values = [None, NAN, math.inf, -math.inf, -0.0, 0.3, -7.0, 7.0, *edges, *near]
    with held([float(v) if v is not None else v for v in values], [*range(len(values))]) as rows:
        cells = by_edges(rows, held_table(rows), "v", edges)
    bins = len(edges) - 1
    for value, counted in zip(values, cells.counts, strict=True):
        if value is None or math.isnan(value):
            expected = bins
        elif value == edges[-1]:
            expected = bins - 1
        else:
            inside = [i for i in range(bins) if edges[i] <= value < edges[i + 1]]
            expected = inside[0] if inside else bins + 1
        assert np.flatnonzero(counted).tolist() == [expected], value


@pytest.mark.parametrize("kind", KINDS)
def test_ks_and_wasserstein_are_those_of_scipy(kind: str) -> None:
    parts = samples(kind, 1)
    found = distances(*flat(parts), "ks", "wasserstein")
    for chunk, part in enumerate(parts):
        test = ks_2samp(parts[0], part, method="asymp")
        assert found["ks"][chunk]["value"] == pytest.approx(test.statistic, rel=1e-12, abs=1e-15)
        assert found["ks"][chunk]["p"] == pytest.approx(test.pvalue, rel=1e-9)
        assert found["wasserstein"][chunk]["value"] == pytest.approx(
            wasserstein_distance(parts[0], part), rel=1e-12, abs=1e-15
        )
        assert found["ks"][chunk]["n"] == len(part)


@pytest.mark.parametrize("kind", KINDS)
def test_jensen_shannon_is_over_the_bins_that_numpy_calls_doane(kind: str) -> None:
    parts = samples(kind, 2)
    found = distances(*flat(parts), "jensen_shannon")["jensen_shannon"]
    edges = np.histogram_bin_edges(parts[0], bins="doane")
    p = np.histogram(parts[0], edges)[0] / len(parts[0])
    for chunk, part in enumerate(parts):
        q = np.histogram(part, edges)[0] / len(part)
        leftover = max(1 - q.sum(), 0)
        expected = jensenshannon(np.append(p, 0), np.append(q, leftover), base=2)
        assert found[chunk]["value"] == pytest.approx(expected, rel=1e-12, abs=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_psi_is_over_the_deciles_of_numpy_and_says_what_an_empty_cell_is(kind: str) -> None:
    parts = samples(kind, 3)
    found = distances(*flat(parts), "psi_decile_floor", "psi_decile_half")
    inner = np.unique(np.quantile(parts[0], np.arange(1, 10) / 10))
    edges = np.concatenate([[-np.inf], inner, [np.inf]])
    counts = [np.histogram(part, edges)[0] for part in parts]
    for chunk, count in enumerate(counts):
        p, q = counts[0] / counts[0].sum(), count / count.sum()
        p, q = np.where(p == 0, 1e-4, p), np.where(q == 0, 1e-4, q)
        floor = ((q - p) * np.log(q / p)).sum()
        assert found["psi_decile_floor"][chunk]["value"] == pytest.approx(floor, abs=1e-12)
        p, q = counts[0] + 0.5, count + 0.5
        p, q = p / p.sum(), q / q.sum()
        half = ((q - p) * np.log(q / p)).sum()
        assert found["psi_decile_half"][chunk]["value"] == pytest.approx(half, abs=1e-12)


def test_chi_square_and_jensen_shannon_of_categories_are_those_of_scipy() -> None:
    rng = np.random.default_rng(4)
    parts = [rng.choice(list("abcd"), p=p, size=400)
             for p in ([0.4, 0.3, 0.3, 0], [0.3, 0.3, 0.3, 0.1], [0.5, 0.5, 0, 0])]  # fmt: skip
    values = [str(value) for part in parts for value in part]
    found = distances(values, [0] * 400 + [1] * 400 + [2] * 400, "chi_square", "jensen_shannon")
    counts = [np.array([(part == letter).sum() for letter in "abcd"]) for part in parts]
    for chunk in (0, 1, 2):
        both = np.stack([counts[0], counts[chunk]])
        result = chi2_contingency(both[:, both.sum(axis=0) > 0])
        assert found["chi_square"][chunk]["value"] == pytest.approx(result.statistic, abs=1e-12)
        assert found["chi_square"][chunk]["p"] == pytest.approx(result.pvalue, rel=1e-12)
        assert found["jensen_shannon"][chunk]["value"] == pytest.approx(
            jensenshannon(counts[0], counts[chunk], base=2), abs=1e-8
        )


@law
@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.0, None, NAN]) | st.floats(-5, 5), min_size=1)
)
def test_a_column_has_not_moved_away_from_itself(values: list[float | None]) -> None:
    twice = [*values, *values]
    chunks = [0] * len(values) + [1] * len(values)
    array = pa.array(twice, pa.float64())
    for by_chunk in distances(array, chunks, *METHODS, "ks", "wasserstein").values():
        for found in by_chunk.values():
            assert found["value"] in (None, 0.0) or abs(found["value"]) < 1e-15


@law
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.2, 0.7, 3.0, None]) | st.floats(0, 1), st.integers(0, 2)),
        min_size=2,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_rows_does_not_matter(
    rows: list[tuple[float | None, int]], random: Any
) -> None:
    def measured() -> list[float | None]:
        array = pa.array([value for value, _ in rows], pa.float64())
        found = distances(array, [chunk for _, chunk in rows], *METHODS, "ks", "wasserstein")
        return [
            entry["value"] for by_chunk in found.values() for _, entry in sorted(by_chunk.items())
        ]

    before = measured()
    random.shuffle(rows)
    for a, b in zip(before, measured(), strict=True):
        assert (a is None and b is None) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)  # type: ignore[arg-type]


def test_counts_of_merged_chunks_are_the_sums_of_their_counts() -> None:
    """A chunk of two halves has the mean of their shares, so distances come out of added counts."""
    values, chunks = flat(samples("scores", 5)[:3])
    joined = [min(chunk, 1) for chunk in chunks]
    merged = distances(values, joined, "jensen_shannon")["jensen_shannon"][1]
    again = distances([*values[:900], *values[900:][::-1]], joined, "jensen_shannon")
    assert merged == again["jensen_shannon"][1]
    assert merged["n"] == 500


def test_null_is_a_category_of_its_own() -> None:
    values = ["a"] * 50 + ["a"] * 25 + [None] * 25
    found = distances(values, [0] * 50 + [1] * 50, *METHODS)
    expected = jensenshannon([1, 0], [0.5, 0.5], base=2)
    assert found["jensen_shannon"][1]["value"] == pytest.approx(expected)
    assert all(by_chunk[1]["value"] > 0 for by_chunk in found.values())
    # A text that reads like nothing is not nothing.
    words = ["a"] * 50 + ["NULL"] * 25 + [None] * 25 + [""] * 25
    with_words = distances([*words, *words], [0] * 125 + [1] * 125, *METHODS)
    assert all(by_chunk[1]["value"] == 0 for by_chunk in with_words.values())


def test_missing_numbers_are_a_cell_of_their_own_and_left_out_of_exact_distances() -> None:
    rng = np.random.default_rng(6)
    numbers = rng.normal(size=400).tolist()
    values = [*numbers, *numbers[:200], *[None] * 100, *[NAN] * 100]
    chunks = [0] * 400 + [1] * 400
    found = distances(pa.array(values, pa.float64()), chunks, *METHODS, "ks", "wasserstein")
    assert found["jensen_shannon"][1]["value"] > 0.4
    assert found["ks"][1]["n"] == 200
    assert found["ks"][1]["value"] == pytest.approx(ks_2samp(numbers, numbers[:200]).statistic)


def test_numbers_of_few_values_are_categories() -> None:
    """As NannyML: up to 50 values that are up to a tenth of the rows."""
    values = [0.0, 1.0] * 50 + [0.0, 2.0] * 50
    found = distances(values, [0] * 100 + [1] * 100, "jensen_shannon")["jensen_shannon"]
    assert found[1]["value"] == pytest.approx(jensenshannon([1, 1, 0], [1, 0, 1], base=2))


def test_words_have_no_distribution_function() -> None:
    found = distances(["a", "b"], [0, 1], "ks", "wasserstein", "mean")
    assert found == {"ks": {}, "wasserstein": {}, "mean": {}}
    shares = distances([True, True, False, True, None], [0, 0, 0, 1, 1], "mean")["mean"]
    assert (shares[0]["value"], shares[1]["value"], shares[1]["n"]) == (2 / 3, 1.0, 1)
    assert distances([True, False], [0, 1], "ks") == {"ks": {}}


@pytest.mark.parametrize("method", [*METHODS, "ks", "wasserstein"])
def test_a_reference_without_values_gives_no_distance(method: str) -> None:
    found = distances(pa.array([None, None, 1.0, 2.0], pa.float64()), [0, 0, 1, 1], method)[method]
    assert all(entry["value"] is None or entry["value"] >= 0 for entry in found.values())


def test_attributions_of_several_kinds_are_not_averaged_with_each_other() -> None:
    shap = {"feature": "age", "value": -2.0, "kind": "shap"}
    attention = {"feature": "age", "value": 0.5, "kind": "attention"}
    broken = {"feature": "age", "value": NAN, "kind": "shap"}
    values = [[shap], [{**shap, "value": 4.0}, broken], None, [shap]]
    with held(values, [0, 0, 0, 1]) as rows:
        found = attribution_means(rows, "v")
    assert found == {"age": {0: {"value": 3.0, "n": 2}, 1: {"value": 2.0, "n": 1}}}
    with held([*values, [attention]], [0, 0, 0, 1, 1]) as rows:
        found = attribution_means(rows, "v")
    assert found["age (attention)"] == {1: {"value": 0.5, "n": 1}}
    assert found["age (shap)"][0]["value"] == 3.0
