from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from workbench.worst import benjamini_hochberg
from workbench.worst._statistics import Sums, difference


def sums(*groups: np.ndarray) -> Sums:
    return Sums(
        *(np.array([f(group) for group in groups], float)
          for f in (len, np.sum, lambda g: np.sum(g * g)))
    )  # fmt: skip


def of_shares(k: int, n: int) -> Sums:
    return Sums(*(np.array([float(value)]) for value in (n, k, k)))


@pytest.mark.parametrize(("k", "n", "l", "m"), [(56, 70, 48, 80), (9, 10, 3, 10), (1, 200, 40, 90)])
def test_shares_are_compared_by_the_test_of_two_proportions(k: int, n: int, l: int, m: int) -> None:  # noqa: E741
    found = difference(of_shares(k, n), of_shares(l, m), binary=True)
    table = [[k, n - k], [l, m - l]]
    assert found.p[0] == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)
    assert found.effect[0] == pytest.approx(k / n - l / m)


def test_newcombe_prints_this_interval() -> None:
    """Newcombe 1998, table II (a) and (e), method 10."""
    found = difference(of_shares(56, 70), of_shares(48, 80), binary=True)
    assert (found.low[0], found.high[0]) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    found = difference(of_shares(5, 56), of_shares(0, 29), binary=True)
    assert (found.low[0], found.high[0]) == pytest.approx((-0.0381, 0.1926), abs=5e-5)


def test_other_numbers_are_compared_by_welch() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.random(60), rng.beta(2, 5, 90)
    found = difference(sums(one), sums(other), binary=False)
    statistic = stats.ttest_ind(one, other, equal_var=False).statistic
    assert found.p[0] == pytest.approx(2 * stats.norm.sf(abs(statistic)), rel=1e-9)
    assert found.low[0] < found.effect[0] < found.high[0]


def test_what_cannot_be_told_is_no_finding() -> None:
    alike = Sums(*(np.array([3.0]) for _ in range(3)))
    assert difference(alike, alike, binary=True).p[0] == 1
    assert difference(alike, alike, binary=False).p[0] == 1
    single = Sums(np.array([1.0]), np.array([0.3]), np.array([0.09]))
    assert difference(single, alike, binary=False).p[0] == 1


def test_adjusted_p_values_are_those_of_scipy() -> None:
    p = np.random.default_rng(1).random(50) ** 3
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p))
    assert len(benjamini_hochberg(np.zeros(0))) == 0


def test_intervals_cover_the_difference() -> None:
    rng = np.random.default_rng(2)
    k, l = rng.binomial(80, 0.3, 1000), rng.binomial(400, 0.5, 1000)  # noqa: E741
    shares = difference(
        Sums(np.full(1000, 80.0), k.astype(float), k.astype(float)),
        Sums(np.full(1000, 400.0), l.astype(float), l.astype(float)),
        binary=True,
    )
    assert 0.93 <= np.mean((shares.low <= -0.2) & (shares.high >= -0.2)) <= 0.97
    one, other = rng.beta(2, 4, (1000, 100)), rng.beta(4, 2, (1000, 300))
    numbers = difference(sums(*one), sums(*other), binary=False)
    assert 0.93 <= np.mean((numbers.low <= -1 / 3) & (numbers.high >= -1 / 3)) <= 0.97
