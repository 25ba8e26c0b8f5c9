"""Response propensities against another implementation, and weights against a known truth."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from workbench.artefacts import Fitted, Rows, propensity
from workbench.artefacts import _propensity as model
from workbench.errors import DataError
from workbench.metrics import evaluate

PARAMS = {"columns": "device, user.tier", "folds": 5, "levels": 20}
Array = np.ndarray[Any, Any]


def population(n: int, seed: int, *, silent: float = 0.05) -> dict[str, Any]:
    """Free users on mobile seldom answer, and are less pleased than the others."""
    rng = np.random.default_rng(seed)
    device = rng.choice(["mobile", "desktop"], n)
    tier = rng.choice(["free", "pro", None], n, p=[0.5, 0.4, 0.1])
    quiet = (device == "mobile") & (tier == "free")
    pleased = rng.random(n) < np.where(quiet, 0.3, 0.7)
    answered = rng.random(n) < np.where(quiet, silent, 0.5)
    return {
        "ids": [f"r{seed}-{i}" for i in range(n)], "device": device, "tier": tier,
        "pleased": pleased.astype(float), "answered": answered,
    }  # fmt: skip


def rows_of(people: dict[str, Any]) -> pa.Table:
    reward = [r if a else None for r, a in zip(people["pleased"], people["answered"], strict=True)]
    return pa.table(
        {
            "request_id": people["ids"],
            "device": pa.array(people["device"].tolist(), pa.string()),
            "user": pa.array([{"tier": tier} for tier in people["tier"]]),
            "reward": pa.array(reward, pa.float64()),
            "label": pa.array([None if r is None else str(int(r)) for r in reward], pa.string()),
            "labelled": people["answered"],
        }
    )


def fitted(table: pa.Table, **changed: Any) -> tuple[Fitted, pa.Table]:
    project: Any = SimpleNamespace(
        contexts=[
            SimpleNamespace(name="outcome", join="within"),
            SimpleNamespace(name="user", join="as_of"),
        ]
    )
    rows = ibis.memtable(table)
    found = propensity.fit(
        Rows(table=rows, execute=lambda e: e.to_pyarrow(), project=project), {**PARAMS, **changed}
    )
    applied = rows.mutate(**propensity.apply(rows, found.state)).order_by("request_id")
    return found, applied.to_pyarrow()


def test_is_a_logistic_regression_that_did_not_see_the_row() -> None:
    """Row by row with scikit-learn, on indicators made by hand, fold by fold."""
    people = population(4000, 1)
    found, applied = fitted(rows_of(people))
    assert [term["columns"] for term in found.state["terms"]] == [
        ["device"], ["user.tier"], ["device", "user.tier"],
    ]  # fmt: skip
    names = [f"{d}|{t}" for d, t in zip(people["device"], people["tier"], strict=True)]
    columns = [people["device"].astype(str), people["tier"].astype(str), np.array(names)]
    design = np.concatenate(
        [(c[:, None] == np.unique(c)[None, :]).astype(float) for c in columns], axis=1
    )
    fold = np.array([int(hashlib.md5(i.encode()).hexdigest()[:8], 16) % 5 for i in people["ids"]])
    expected = np.zeros(4000)
    for k in range(5):
        other = LogisticRegression(C=1.0, tol=1e-10, max_iter=5000)
        other.fit(design[fold != k], people["answered"][fold != k])
        expected[fold == k] = other.predict_proba(design[fold == k])[:, 1]
    by_id = dict(zip(people["ids"], expected, strict=True))
    for row in applied.to_pylist():
        assert row["response_propensity"] == pytest.approx(by_id[row["request_id"]], abs=1e-5)
        if row["labelled"]:
            weight = people["answered"].mean() / row["response_propensity"]
            assert row["sample_weight"] == pytest.approx(weight, rel=1e-12)
        else:
            assert row["sample_weight"] is None
    assert found.figures["auc"] == pytest.approx(
        roc_auc_score(people["answered"], expected), abs=1e-6
    )
    weight = people["answered"].mean() / expected[people["answered"]]
    assert found.figures["n_effective"] == pytest.approx(
        weight.sum() ** 2 / (weight**2).sum(), rel=1e-4
    )
    assert found.figures["largest_weight"] == pytest.approx(weight.max(), rel=1e-4)


def test_no_row_is_scored_by_a_model_that_saw_it() -> None:
    """Turning the labels of one fold round changes nothing of that fold's own propensities."""
    people = population(3000, 2)
    _, before = fitted(rows_of(people))
    fold = np.array([int(hashlib.md5(i.encode()).hexdigest()[:8], 16) % 5 for i in people["ids"]])
    people["answered"] = np.where(fold == 3, ~people["answered"], people["answered"])
    _, after = fitted(rows_of(people))
    of_fold = dict(zip(people["ids"], fold, strict=True))
    changed = 0
    for one, other in zip(before.to_pylist(), after.to_pylist(), strict=True):
        if of_fold[one["request_id"]] == 3:
            assert one["response_propensity"] == pytest.approx(
                other["response_propensity"], rel=1e-9
            )
        else:
            changed += one["response_propensity"] != other["response_propensity"]
    assert changed > 1000


def test_weights_find_the_mean_that_silence_hides() -> None:
    """Of many populations, the observed mean misses the truth and the reweighted one covers it."""
    covered = missed = 0
    for seed in range(20):
        people = population(3000, 100 + seed)
        _, applied = fitted(rows_of(people))
        truth = 0.75 * 0.7 + 0.25 * 0.3
        (plain,) = evaluate(ibis.memtable(applied), ["reward_mean"])
        (weighted,) = evaluate(ibis.memtable(applied), ["reward_mean"], weight="sample_weight")
        covered += weighted["low"] <= truth <= weighted["high"]
        missed += not plain["low"] <= truth <= plain["high"]
    assert missed == 20
    assert covered >= 17


def test_rare_values_are_one_and_a_missing_one_is_its_own() -> None:
    people = population(2000, 3)
    people["device"] = np.array([f"d{i % 7}" for i in range(1400)] + ["rare"] * 3 + ["d0"] * 597)
    found, applied = fitted(rows_of(people), levels=3)
    assert len(found.state["levels"]["device"]) == 3
    assert propensity.response.MISSING in found.state["levels"]["user.tier"]
    assert "rest" in found.figures["coefficients"]["device"]
    assert None not in applied["response_propensity"].to_pylist()
    # A value that was never seen is one of the rest.
    unseen = rows_of(people).slice(0, 1).set_column(1, "device", pa.array(["new"]))
    rows = ibis.memtable(unseen)
    (row,) = rows.mutate(**propensity.apply(rows, found.state)).to_pyarrow().to_pylist()
    assert 0 < row["response_propensity"] < 1


def test_columns_are_found_and_those_of_the_future_are_not() -> None:
    people = population(2000, 4)
    table = rows_of(people)
    later = [{"converted": bool(a)} for a in people["answered"]]
    table = table.append_column("outcome", pa.array(later))
    noise = np.random.default_rng(400).integers(0, 5, 2000)
    table = table.append_column("position", pa.array(noise))
    found, _ = fitted(table, columns="")
    # Nor is one that tells nothing, unless it is named.
    assert list(found.state["levels"]) == ["device", "user.tier"]
    named, _ = fitted(table, columns="position, device")
    assert list(named.state["levels"]) == ["position", "device"]
    for name in ("outcome.converted", "label", "reward"):
        with pytest.raises(DataError, match="known only after"):
            fitted(table, columns=name)
    with pytest.raises(DataError, match="no values to tell apart"):
        fitted(table.append_column("score", pa.array([0.5] * 2000)), columns="score")
    with pytest.raises(DataError, match=r"no column 'user\.teir'"):
        fitted(table, columns="user.teir")


def test_where_nothing_tells_who_answers_all_weights_are_about_one() -> None:
    people = population(3000, 7, silent=0.5)
    _, applied = fitted(rows_of(people), columns="")
    weights = [w for w in applied["sample_weight"].to_pylist() if w is not None]
    assert min(weights) > 0.9
    assert max(weights) < 1.1


def test_too_few_labels_are_refused() -> None:
    people = population(500, 5)
    people["answered"][:] = False
    people["answered"][:20] = True
    with pytest.raises(DataError, match="20 of 500 inferences have a label"):
        fitted(rows_of(people))


def test_pairs_that_chance_explains_are_not_taken_in() -> None:
    rng = np.random.default_rng(6)
    n = np.full(50 * 5, 40.0)
    codes = np.stack([np.tile(np.arange(10) // 2, 25), np.tile(np.arange(10) % 2, 25)], axis=1)
    cells = model.Cells(
        np.arange(250) % 5, codes, [5, 2], n, rng.binomial(40, 0.3, 250).astype(float)
    )
    assert model.cross_fit(cells, 5).terms == [(0,), (1,)]
