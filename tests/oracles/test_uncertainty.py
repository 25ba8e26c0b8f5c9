"""Scores of uncertainty against scikit-activeml."""

from __future__ import annotations

import ibis
import numpy as np
import pyarrow as pa
import pytest

from tests.metrics.test_uncertainty import ensembles, measured
from workbench import formulas

pytest.importorskip("skactiveml", reason="scikit-activeml is not installed: make oracles")


def test_scores_of_class_probabilities() -> None:
    from skactiveml.pool import uncertainty_scores

    p = np.random.default_rng(3).dirichlet(np.full(7, 0.3), 400)
    p[:2] = [[1.0, *[0.0] * 6], [0.5, 0.5, *[0.0] * 5]]
    rows = ibis.memtable(
        pa.table({"p": pa.array(p.tolist()), "c": pa.nulls(len(p), pa.float64()), "n": range(400)})
    )
    names = {
        "least_confident": formulas.least_confidence,
        "margin_sampling": formulas.margin,
        "entropy": formulas.entropy,
    }
    found = rows.select("n", **{n: f(rows.p, rows.c) for n, f in names.items()}).order_by("n")
    for method in names:
        np.testing.assert_allclose(
            found.to_pyarrow()[method], uncertainty_scores(p, method=method), atol=1e-15
        )


def test_disagreement_of_members() -> None:
    from skactiveml.pool import average_kl_divergence, vote_entropy

    # It divides by the sum, which 32 bits do not keep at 1, and lifts what is below eps, in place.
    given = [e / e.sum(axis=1, keepdims=True) for e in ensembles(4, 200) if e.shape[1] > 1]
    gained = measured("mutual_information", [e.tolist() for e in given])
    votes = measured("vote_entropy", [e.tolist() for e in given])
    for i, members in enumerate(given):
        (wanted,) = average_kl_divergence(members[:, None, :].copy(), eps=1e-300)
        assert gained[i] == pytest.approx(wanted, abs=1e-12)
        chosen = members.argmax(axis=1)
        (wanted,) = vote_entropy(chosen[None, :], classes=range(members.shape[1]))
        assert votes[i] == pytest.approx(wanted, abs=1e-12)
