"""Logistic regression on counts of combinations of values, cross-fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from workbench.response import HOUR, Execute

Array = np.ndarray[Any, Any]
Term = tuple[int, ...]

#: How often chance alone would take a pair of columns into the model, over all pairs.
_CHANCE = 1e-3
#: And a column, where none are named.
_CHANCE_COLUMN = 1e-2
_MOST_PAIRS = 10


def levels(
    table: ir.Table, values: Mapping[str, ir.StringValue], execute: Execute, most: int
) -> dict[str, list[str]]:
    """The commonest values of each column, in the order of their text."""
    found = {}
    for name, value in values.items():
        limit = max(most, 25) if name == HOUR else most
        counted = table.select(value=value).group_by("value").agg(n=lambda t: t.count())
        common = counted.order_by([ibis.desc("n"), "value"]).limit(limit)
        found[name] = sorted(execute(common)["value"].to_pylist())
    return found


def telling(table: ir.Table, values: Mapping[str, ir.StringValue], execute: Execute) -> list[str]:
    """Columns whose values differ in how often they are labelled, by more than chance.

    What does not is left out: it would make the weights noisier, and the table of counts as long
    as that of the rows. At least one column is returned, the strongest.
    """
    from scipy.stats import chi2

    counted = [
        table.select(value=value, labelled=table.labelled)
        .group_by("value")
        .agg(n=lambda t: t.count(), k=lambda t: t.count(where=t.labelled))
        .select("n", "k", place=ibis.literal(place))
        for place, value in enumerate(values.values())
    ]
    sums = execute(counted[0] if len(counted) == 1 else ibis.union(*counted))
    place, n, k = (sums[name].to_numpy().astype(np.float64) for name in ("place", "n", "k"))
    rate = k.sum() / n.sum()
    chance = {}
    for i, name in enumerate(values):
        own = place == i
        gaps = n[own] * (k[own] / n[own] - rate) ** 2
        statistic = gaps.sum() / max(rate * (1.0 - rate), 1e-300)
        chance[name] = float(chi2.sf(statistic, max(int(own.sum()) - 1, 1)))
    found = [name for name in values if chance[name] < _CHANCE_COLUMN / len(values)]
    return found or [min(chance, key=lambda name: chance[name])]


@dataclass(frozen=True)
class Cells:
    """How many inferences there are of each combination of fold and values.

    Attributes
    ----------
    fold
        Fold of each cell.
    codes
        Place of the value of each column, of shape (cells, columns).
    sizes
        Number of places of each column.
    n, k
        Inferences, and those of them that are labelled.
    """

    fold: Array
    codes: Array
    sizes: Sequence[int]
    n: Array
    k: Array

    @classmethod
    def of(cls, table: pa.Table, sizes: Sequence[int]) -> Cells:
        """Read the cells; ``c0``, ``c1``, ... are the codes."""
        columns = [table[f"c{i}"].to_numpy() for i in range(len(sizes))]
        return cls(
            table["fold"].to_numpy(),
            np.stack(columns, axis=1),
            sizes,
            table["n"].to_numpy().astype(np.float64),
            table["k"].to_numpy().astype(np.float64),
        )

    def places(self, term: Term) -> tuple[Array, int]:
        """Place of each cell among the combinations of the columns of a term, and their number."""
        place, size = np.zeros(len(self.n), np.int64), 1
        for column in term:
            place = place * self.sizes[column] + self.codes[:, column]
            size *= self.sizes[column]
        return place, size


@dataclass(frozen=True)
class Regression:
    """A cross-fitted logistic regression.

    Attributes
    ----------
    terms
        Columns of each term: one, or a pair.
    intercepts
        One per fold.
    coefficients
        Of each term, of shape (folds, places).
    probability
        Of each cell, from the model that did not see its fold.
    """

    terms: list[Term]
    intercepts: Array
    coefficients: list[Array]
    probability: Array


def cross_fit(cells: Cells, folds: int) -> Regression:
    """Fit one model per fold, on the cells of the others."""
    terms: list[Term] = [(column,) for column in range(len(cells.sizes))]
    everything = np.ones(len(cells.n), bool)
    terms += _pairs(cells, _predict(cells, terms, *_fit(cells, terms, everything)))
    intercepts, coefficients = [], []
    probability = np.zeros(len(cells.n))
    for fold in range(folds):
        inside = cells.fold == fold
        intercept, found = _fit(cells, terms, ~inside)
        intercepts.append(intercept)
        coefficients.append(found)
        probability[inside] = _predict(cells, terms, intercept, found)[inside]
    by_term = [np.stack(of_folds) for of_folds in zip(*coefficients, strict=True)]
    return Regression(terms, np.array(intercepts), by_term, probability)


def _fit(cells: Cells, terms: Sequence[Term], chosen: Array) -> tuple[float, list[Array]]:
    """Intercept and coefficients of each term, from the chosen cells."""
    from scipy.sparse import csr_matrix, hstack
    from sklearn.linear_model import LogisticRegression

    blocks, sizes = [], []
    count = int(chosen.sum())
    for term in terms:
        place, size = cells.places(term)
        ones = (np.ones(count), (np.arange(count), place[chosen]))
        blocks.append(csr_matrix(ones, shape=(count, size)))
        sizes.append(size)
    design = hstack(blocks).tocsr()
    n, k = cells.n[chosen], cells.k[chosen]
    # Each cell twice: its labelled inferences and the others.
    weights = np.concatenate([k, n - k])
    outcome = np.concatenate([np.ones(count), np.zeros(count)])
    used = weights > 0
    both = hstack([design.T, design.T]).T.tocsr()[used]
    model = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-8, max_iter=200)
    model.fit(both, outcome[used], sample_weight=weights[used])
    borders = np.cumsum(sizes)[:-1]
    return float(model.intercept_[0]), list(np.split(model.coef_[0], borders))


def _predict(
    cells: Cells, terms: Sequence[Term], intercept: float, coefficients: Sequence[Array]
) -> Array:
    logit = np.full(len(cells.n), intercept)
    for term, values in zip(terms, coefficients, strict=True):
        logit += values[cells.places(term)[0]]
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))


def _pairs(cells: Cells, probability: Array) -> list[Term]:
    """Pairs of columns whose cells differ from what the columns alone predict, strongest first."""
    from scipy.stats import chi2

    pairs = list(combinations(range(len(cells.sizes)), 2))
    found = []
    for pair in pairs:
        place, size = cells.places(pair)
        gap = np.bincount(place, cells.k - cells.n * probability, size)
        noise = np.bincount(place, cells.n * probability * (1.0 - probability), size)
        # A cell that expects next to nothing would make any label a wonder.
        there = noise >= 1.0
        degrees = int(there.sum()) - 1
        if degrees < 1:
            continue
        statistic = float((gap[there] ** 2 / noise[there]).sum())
        if chi2.sf(statistic, degrees) < _CHANCE / len(pairs):
            found.append((statistic / degrees, pair))
    return [pair for _, pair in sorted(found, reverse=True)[:_MOST_PAIRS]]


def figures(cells: Cells, probability: Array) -> dict[str, Any]:
    """How well labels are foreseen, and what the weights cost."""
    from sklearn.metrics import roc_auc_score

    n, k = cells.n, cells.k
    outcome = np.concatenate([np.ones(len(n)), np.zeros(len(n))])
    counts = np.concatenate([k, n - k])
    scores = np.concatenate([probability, probability])
    used = counts > 0
    weight = (k.sum() / n.sum()) / probability
    return {
        "auc": float(roc_auc_score(outcome[used], scores[used], sample_weight=counts[used])),
        "rate": float(k.sum() / n.sum()),
        "n_labelled": int(k.sum()),
        "n_effective": float((k * weight).sum() ** 2 / (k * weight**2).sum()),
        "largest_weight": float(weight[k > 0].max()),
        "cells": len(n),
    }
