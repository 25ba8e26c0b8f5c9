"""Suspected labels against the definition, row by row, and in groups."""

from __future__ import annotations

from collections import Counter
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pytest

from workbench import label_quality
from workbench.metrics import evaluate

Array = np.ndarray[Any, Any]


def table(p: list[Any], labels: list[Any], **more: Any) -> ir.Table:
    return ibis.memtable(
        pa.table(
            {
                "request_id": [f"r{i}" for i in range(len(labels))],
                "label": pa.array([None if k is None else "abcdefgh"[k] for k in labels]),
                "label_index": pa.array(labels, pa.int32()),
                "probabilities": pa.array(p, pa.list_(pa.float64())),
                **more,
            }
        )
    )


def noisy(seed: int, n: int = 400, classes: int = 4) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, n)
    p = 0.5 * rng.dirichlet(np.ones(classes), n) + 0.5 * np.eye(classes)[truth]
    return p, np.where(rng.random(n) < 0.3, rng.integers(0, classes, n), truth)


def counted_by_hand(p: Array, labels: Array) -> list[int | None]:
    """The class that each row is counted as: Northcutt et al. 2021, with cleanlab's tolerance."""
    means = {k: max(p[labels == k, k].mean(), 2e-6) for k in set(labels.tolist())}
    found: list[int | None] = []
    for row in p:
        reached = [k for k in range(len(row)) if k in means and row[k] >= means[k] - 1e-6]
        found.append(
            None if not reached else reached[0] if len(reached) == 1 else int(row.argmax())
        )
    return found


@pytest.mark.parametrize("seed", range(4))
def test_rows_are_counted_by_the_definition(seed: int) -> None:
    p, labels = noisy(seed)
    p[:3] = [[0.25] * 4, [1.0, 0.0, 0.0, 0.0], [0.4, 0.4, 0.1, 0.1]]
    wanted = counted_by_hand(p, labels)
    rows = table(p.tolist(), labels.tolist())
    found = label_quality.counted(rows).to_pyarrow().to_pylist()
    by_id = {row["request_id"]: row for row in found}
    assert [by_id[f"r{i}"]["suggested_index"] for i in range(len(p))] == wanted
    issues = [
        k is not None and k != y and row.max() > row[y] + 1e-6
        for k, y, row in zip(wanted, labels, p, strict=True)
    ]
    assert [by_id[f"r{i}"]["label_issue"] for i in range(len(p))] == issues

    joint = Counter((int(y), k) for y, k in zip(labels, wanted, strict=True) if k is not None)
    listed = label_quality.confident_joint(rows).to_pyarrow().to_pylist()
    got = {(r["label_index"], r["suggested_index"]): r["n"] for r in listed}
    assert got == {**dict.fromkeys(((k, k) for k in range(4)), 1), **joint}

    names = label_quality.label_issues(rows, list("abcd")).to_pyarrow().to_pylist()
    assert {r["request_id"] for r in names} == {f"r{i}" for i, bad in enumerate(issues) if bad}
    for r in names:
        assert "abcd".index(r["suggested_label"]) == by_id[r["request_id"]]["suggested_index"]

    (row,) = evaluate(rows, ["label_issue_rate"], ())
    assert (row["value"], row["n"]) == (pytest.approx(np.mean(issues)), len(p))


def test_each_group_has_its_own_thresholds() -> None:
    (p, a), (q, b) = noisy(1, 200), noisy(2, 300)
    q = 0.5 * q + 0.125
    group = pa.array(["x"] * 200 + ["y"] * 300)
    both = table([*p.tolist(), *q.tolist()], [*a.tolist(), *b.tolist()], group=group)
    together = evaluate(both, ["label_issue_rate"], ["group"])
    for row, probabilities, labels in zip(together, (p, q), (a, b), strict=True):
        (alone,) = evaluate(
            table(probabilities.tolist(), labels.tolist()), ["label_issue_rate"], ()
        )
        assert (row["value"], row["n"]) == (alone["value"], alone["n"])


def test_a_class_that_nobody_was_ever_given_is_never_suggested() -> None:
    rows = table([[0.1, 0.1, 0.8], [0.9, 0.1, 0.0], [0.2, 0.8, 0.0]], [0, 0, 1])
    found = label_quality.counted(rows).order_by("request_id").to_pyarrow()
    assert found["suggested_index"].to_pylist() == [None, 0, 1]
    assert found["label_issue"].to_pylist() == [False] * 3


def test_rows_that_cannot_be_judged_are_left_out() -> None:
    nan = float("nan")
    bad: list[Any] = [None, [], [nan, 1.0], [0.5, None], [0.9, 0.9], [0.5, 0.5], [0.5, 0.5], [1.0]]
    labels = [0, 0, 0, 0, 0, None, 7, 1]
    rows = table([[0.9, 0.1], [0.2, 0.8], *bad], [0, 1, *labels])
    assert label_quality.counted(rows).count().execute() == 2
    (row,) = evaluate(rows, ["label_issue_rate"], ())
    assert (row["value"], row["n"]) == (0.0, 2)
    (row,) = evaluate(table(bad, labels), ["label_issue_rate"], ())
    assert (row["value"], row["reason"]) == (None, "not_applicable")
    joint = label_quality.confident_joint(table(bad, labels)).to_pyarrow()
    assert joint.num_rows == 0
