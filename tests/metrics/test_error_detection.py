"""Whether doubt finds errors: against scikit-learn and a second count, with ties and weights."""

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from tests.metrics.rows import table
from workbench.errors import ConfigError
from workbench.metrics import evaluate
from workbench.metrics._uncertain import SCORES

Array = np.ndarray[Any, Any]


def rows_of(score: Array, wrong: Array, name: str = "least_confidence", **more: Any) -> ir.Table:
    columns = {key: pa.nulls(len(score), pa.float64()) for key in SCORES}
    columns |= {name: pa.array(score, pa.float64()), "correct": pa.array(~wrong)}
    columns |= {"label": pa.array(["1"] * len(score)), **more}
    return ibis.memtable(pa.table(columns))


def value(rows: ir.Table, call: str, **options: Any) -> dict[str, Any]:
    (row,) = evaluate(rows, [call], (), **options)
    return row


def tied(seed: int, n: int = 300) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    score = np.round(rng.random(n), 1)
    return score, rng.random(n) < 0.1 + 0.5 * score


def captured(score: Array, wrong: Array, share: float, seed: int = 0) -> float:
    """Mean over many orders of the ties, counting the row on the border in part."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(400):
        order = np.lexsort((rng.random(len(score)), -score))
        k = share * len(score)
        room = np.clip(k - np.arange(len(score)), 0, 1)
        found.append((wrong[order] * room).sum() / wrong.sum())
    return float(np.mean(found))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SCORES)
def test_the_area_is_that_of_scikit_learn(name: str, seed: int) -> None:
    score, wrong = tied(seed)
    row = value(rows_of(score, wrong, name), f"error_detection_auroc(score={name!r})")
    turned = -score if name in ("sum_logprob", "mean_logprob", "min_logprob", "density") else score
    assert row["value"] == pytest.approx(roc_auc_score(wrong, turned), abs=1e-15)
    assert row["n"] == 300


def test_the_weighted_area_is_that_of_scikit_learn() -> None:
    score, wrong = tied(7)
    weight = np.random.default_rng(8).exponential(size=len(score)) + 0.01
    rows = rows_of(score, wrong, w=pa.array(weight))
    expected = roc_auc_score(wrong, score, sample_weight=weight)
    found = value(rows, "error_detection_auroc", weight="w")
    assert found["value"] == pytest.approx(expected, rel=1e-12)


def test_perfect_and_useless_doubt() -> None:
    wrong = np.array([True, True, False, False, False])
    call = "error_detection_auroc"
    assert value(rows_of(wrong.astype(float), wrong), call)["value"] == 1
    assert value(rows_of(1.0 - wrong, wrong), call)["value"] == 0
    assert value(rows_of(np.full(5, 0.3), wrong), call)["value"] == 0.5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.001, 0.0501, 0.1, 1 / 3, 0.9, 1])
def test_captured_errors_are_those_of_a_second_count(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    score = rng.random(307)
    wrong = rng.random(307) < score / 2
    found = value(rows_of(score, wrong), f"error_capture_rate(share={share})")
    room = np.clip(share * 307 - np.arange(307), 0, 1)
    expected = (wrong[np.argsort(-score)] * room).sum() / wrong.sum()
    assert found["value"] == pytest.approx(expected, abs=1e-12)


def test_ties_on_the_border_count_in_part() -> None:
    score, wrong = tied(3)
    found = value(rows_of(score, wrong), "error_capture_rate(share=0.15)")
    assert found["value"] == pytest.approx(captured(score, wrong, 0.15), abs=0.003)
    equal = value(rows_of(np.full(300, 0.5), wrong), "error_capture_rate(share=0.15)")
    assert equal["value"] == pytest.approx(0.15, abs=1e-12)


def test_scores_that_are_missing_are_left_out_and_not_counted() -> None:
    score = np.array([0.9, np.nan, 0.1, np.inf, 0.2])
    wrong = np.array([True, True, False, False, False])
    for call in ("error_detection_auroc", "error_capture_rate(share=0.34)"):
        row = value(rows_of(score, wrong), call)
        assert (row["value"], row["n"], row["n_labelled"]) == (1, 3, 5)


def test_where_nothing_is_wrong_there_is_nothing_to_detect() -> None:
    fine = rows_of(np.array([0.1, 0.2]), np.array([False, False]))
    assert value(fine, "error_detection_auroc")["reason"] == "single_class"
    assert value(fine, "error_capture_rate")["reason"] == "no_positives"
    bad = rows_of(np.array([0.1, 0.2]), np.array([True, True]))
    assert value(bad, "error_detection_auroc")["reason"] == "single_class"
    assert value(bad, "error_capture_rate")["value"] == pytest.approx(0.1)


def test_an_unknown_score_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="entropy"):
        evaluate(table([]), ["error_detection_auroc(score='entrpy')"], ())


@pytest.mark.parametrize(
    ("n", "power"), [(150, 1.0), (400, 3.0)], ids=["many errors", "few errors"]
)
def test_the_intervals_cover_the_truth(n: int, power: float) -> None:
    """Of 300 samples, drawn as groups of one table."""
    rng = np.random.default_rng(5)

    def draw(count: int) -> tuple[Array, Array]:
        score = rng.random(count) ** power
        return score, rng.random(count) < 0.7 * score

    score, wrong = draw(1_000_000)
    truth = {
        "error_detection_auroc": roc_auc_score(wrong, score),
        "error_capture_rate": wrong[score > np.quantile(score, 0.9)].sum() / wrong.sum(),
    }
    score, wrong = draw(300 * n)
    rows = rows_of(score, wrong, sample=pa.array(np.repeat(np.arange(300), n)))
    for call, expected in truth.items():
        found = evaluate(rows, [call], ["sample"])
        inside = sum(row["low"] <= expected <= row["high"] for row in found)
        assert 0.92 <= inside / len(found) <= 0.985, call


def test_agreement_is_of_what_several_raters_judged() -> None:
    judged = [(1.0, 2), (0.0, 3), (1.0, 1), (None, 2), (0.5, 4), (None, 0)]
    rows = table([{"agreement": a, "n_raters": n, "label": "1"} for a, n in judged])
    row = value(rows, "rater_agreement")
    assert (row["value"], row["n"], row["n_labelled"]) == (0.5, 3, 6)
    alone = table([{"agreement": 1.0, "n_raters": 1, "label": "1"}])
    assert value(alone, "rater_agreement")["reason"] == "not_applicable"
