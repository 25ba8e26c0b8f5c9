"""The confident joint and the suspected labels against cleanlab."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest

from workbench import label_quality

cleanlab = pytest.importorskip("cleanlab", reason="cleanlab is not installed: make oracles")

Array = np.ndarray[Any, Any]


def noisy(seed: int) -> tuple[Array, Array]:
    """Probabilities of a model that is often right, and labels of which some are wrong."""
    rng = np.random.default_rng(seed)
    n, classes = int(rng.integers(40, 1500)), int(rng.integers(2, 9))
    truth = rng.integers(0, classes, n)
    p = rng.dirichlet(np.full(classes, rng.choice([0.3, 1.0, 3.0])), n)
    p = 0.6 * p + 0.4 * np.eye(classes)[np.where(rng.random(n) < 0.8, truth, 0)]
    if seed % 3 == 0:
        p = np.round(p, 1)
        p[p.sum(axis=1) == 0, 0] = 1.0
    p /= p.sum(axis=1, keepdims=True)
    labels = np.where(rng.random(n) < 0.25, rng.integers(0, classes, n), truth)
    return p, labels


def table(p: Array, labels: Array) -> Any:
    return ibis.memtable(
        pa.table(
            {
                "request_id": [str(i) for i in range(len(labels))],
                "label": [f"class {k}" for k in labels],
                "label_index": pa.array(labels, pa.int32()),
                "probabilities": pa.array(p.tolist(), pa.list_(pa.float64())),
            }
        )
    )


def is_that_of_cleanlab(p: Array, labels: Array) -> None:
    from cleanlab.count import compute_confident_joint
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_normalized_margin_for_each_label as margin
    from cleanlab.rank import get_self_confidence_for_each_label as self_confidence

    rows, classes = table(p, labels), p.shape[1]
    joint = np.zeros((classes, classes), int)
    for row in label_quality.confident_joint(rows).to_pyarrow().to_pylist():
        joint[row["label_index"], row["suggested_index"]] = row["n"]
    np.testing.assert_array_equal(joint, compute_confident_joint(labels, p, calibrate=False))

    names = [f"class {k}" for k in range(classes)]
    found = label_quality.label_issues(rows, names).order_by("self_confidence").to_pyarrow()
    wanted = find_label_issues(labels, p, filter_by="confident_learning", n_jobs=1)
    ids = [int(i) for i in found["request_id"].to_pylist()]
    assert sorted(ids) == np.flatnonzero(wanted).tolist()
    np.testing.assert_allclose(found["self_confidence"], self_confidence(labels, p)[ids], atol=0)
    np.testing.assert_allclose(found["normalized_margin"], margin(labels, p)[ids], atol=1e-15)
    assert all(
        a != b for a, b in zip(*(found[n].to_pylist() for n in ("label", "suggested_label")),
                               strict=True)
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_random_labels(seed: int) -> None:
    is_that_of_cleanlab(*noisy(seed))


def test_a_class_that_is_no_label() -> None:
    p, labels = noisy(1)
    is_that_of_cleanlab(p, np.where(labels == 1, 0, labels))


@pytest.mark.real_data
def test_public_probabilities(real_data: Path) -> None:
    raw = np.loadtxt(
        real_data / "cifar10_vgg_probs" / "cifar_probs.csv.gz", delimiter=",", skiprows=1
    )
    is_that_of_cleanlab(raw[:, 1:11], raw[:, 11].astype(int))
