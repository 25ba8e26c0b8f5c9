"""Dawid and Skene's model against a second implementation, a simulation and its symmetries."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from workbench import dawid_skene


def simulated(
    seed: int, items: int, accuracies: list[float], k: int, each: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Items, raters and what they said of them, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(k, items, p=np.arange(1, k + 1) / (k * (k + 1) / 2))
    votes = []
    for i, t in enumerate(truth):
        for j in rng.choice(len(accuracies), each, replace=False):
            right = rng.random() < accuracies[j]
            said = t if right else (t + 1 + rng.integers(k - 1)) % k
            votes.append((i, j, said))
    item, rater, said = np.array(votes).T
    return item, rater, said, truth


def slowly(
    item: np.ndarray, rater: np.ndarray, said: np.ndarray, k: int, rounds: int
) -> list[list[float]]:
    """Expectation maximisation as the paper has it, in plain Python."""
    votes = list(zip(item.tolist(), rater.tolist(), said.tolist(), strict=True))
    n, raters = max(item) + 1, max(rater) + 1
    p = [[0.0] * k for _ in range(n)]
    for i, _, v in votes:
        p[i][v] += 1.0
    p = [[x / sum(row) for x in row] for row in p]
    for _ in range(rounds):
        prior = [sum(row[t] for row in p) / n for t in range(k)]
        table = [[[0.0] * k for _ in range(k)] for _ in range(raters)]
        for i, j, v in votes:
            for t in range(k):
                table[j][t][v] += p[i][t]
        for j in range(raters):
            for t in range(k):
                whole = sum(table[j][t])
                table[j][t] = [x / whole for x in table[j][t]] if whole else [1 / k] * k
        logs = [[math.log(x) if x else -math.inf for x in prior] for _ in range(n)]
        for i, j, v in votes:
            for t in range(k):
                x = table[j][t][v]
                logs[i][t] += math.log(x) if x else -math.inf
        p = [[math.exp(x - max(row)) for x in row] for row in logs]
        p = [[x / sum(row) for x in row] for row in p]
    return p


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [2, 3])
def test_is_expectation_maximisation(seed: int, k: int) -> None:
    item, rater, said, _ = simulated(seed, 60, [0.9, 0.8, 0.7, 0.55, 0.5], k, 3)
    found = dawid_skene.consensus(item, rater, said, k)
    expected = slowly(item, rater, said, k, found.rounds)
    assert found.probabilities == pytest.approx(np.array(expected), abs=1e-9)
    assert found.converged
    n, right = dawid_skene.hits(found, item, rater, said)
    for j in range(5):
        mine = [expected[i][v] for i, r, v in zip(item, rater, said, strict=True) if r == j]
        assert (n[j], right[j]) == (len(mine), pytest.approx(sum(mine), abs=1e-8))


def test_finds_who_is_right_and_beats_the_majority() -> None:
    accuracies = [0.95, 0.9, 0.52, 0.52, 0.52]
    item, rater, said, truth = simulated(1, 3000, accuracies, 2, 5)
    found = dawid_skene.consensus(item, rater, said, 2)
    n, right = dawid_skene.hits(found, item, rater, said)
    assert right / n == pytest.approx(accuracies, abs=0.03)
    majority = np.bincount(item * 2 + said, minlength=6000).reshape(-1, 2).argmax(axis=1)
    assert np.mean(found.classes() == truth) > np.mean(majority == truth) + 0.05


def test_does_not_depend_on_the_order_of_the_votes_or_on_the_names() -> None:
    item, rater, said, _ = simulated(2, 200, [0.9, 0.7, 0.6], 3, 3)
    found = dawid_skene.consensus(item, rater, said, 3)
    order = np.random.default_rng(0).permutation(len(item))
    again = dawid_skene.consensus(item[order], rater[order], said[order], 3)
    assert (again.probabilities == found.probabilities).all()
    swapped = dawid_skene.consensus(item, 2 - rater, (said + 1) % 3, 3)
    assert np.roll(swapped.probabilities, -1, axis=1) == pytest.approx(
        found.probabilities, abs=1e-7
    )


def test_what_nothing_decides_is_a_tie() -> None:
    item, rater = np.repeat(np.arange(4), 2), np.tile([0, 1], 4)
    found = dawid_skene.consensus(item, rater, np.array([0, 1, 1, 0, 0, 1, 1, 0]), 2)
    assert found.classes().tolist() == [-1] * 4
    alone = dawid_skene.consensus(item, rater, np.zeros(8, dtype=np.int64), 1)
    assert alone.classes().tolist() == [0] * 4


def test_texts_are_numbered_in_their_order() -> None:
    numbers, texts = dawid_skene.numbered(pa.chunked_array([["b", "a"], ["b", "é"]]))
    assert (numbers.tolist(), texts) == ([1, 0, 1, 2], ["a", "b", "é"])
