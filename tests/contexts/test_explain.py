"""Feature attributions of a model file: against their formula, kept from build to build."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsRegressor

import workbench as wb
from workbench.errors import ConfigError

pytest.importorskip("shap")

CONFIG = """
[inferences]
source = "calls*.jsonl"
[inferences.features]
age = "DOUBLE"
visits = "BIGINT"
plus = "BOOLEAN"
[feedback]
source = "feedback.jsonl"
[context.why]
join = "explain"
model = "model.joblib"
"""
NAMES = ("age", "visits", "plus")


def rows(n: int, start: int = 0) -> list[dict[str, Any]]:
    choose = np.random.default_rng(5 + start)
    return [
        {
            "request_id": f"r{start + k}", "ts": "2026-01-01T00:00:00Z", "model_version": "v1",
            "age": float(choose.normal(40, 9)), "visits": int(choose.integers(0, 9)),
            "plus": bool(choose.integers(0, 2)),
        }
        for k in range(n)
    ]  # fmt: skip


def matrix(calls: list[dict[str, Any]]) -> Any:
    return np.array([[float(call[name]) for name in NAMES] for call in calls])


def project(folder: Path, model: Any, calls: list[dict[str, Any]]) -> wb.Workbench:
    (folder / "workbench.toml").write_text(CONFIG)
    (folder / "feedback.jsonl").write_text("")
    (folder / "calls.jsonl").write_text("".join(json.dumps(call) + "\n" for call in calls))
    values = matrix(calls)
    target = values[:, 0] + 5 * values[:, 2] > 42
    if model is not None:
        joblib.dump(model.fit(values, target.astype(int)), folder / "model.joblib")
    return wb.open(folder)


MODELS = {
    "logistic": LogisticRegression(max_iter=1000),
    "linear": LinearRegression(),
    "forest": RandomForestClassifier(n_estimators=10, max_depth=3, random_state=0),
    "boosting": GradientBoostingClassifier(n_estimators=10, random_state=0),
    "neighbours": KNeighborsRegressor(3),
}


@pytest.mark.parametrize("name", MODELS)
def test_attributions_add_up_to_the_models_own_output(tmp_path: Path, name: str) -> None:
    calls = rows(60)
    built = project(tmp_path, MODELS[name], calls)
    built.build()
    report = built.status()["contexts"]["why"]
    assert (report["explained"], report["matched"], report["not_additive"]) == (60, 60, 0)
    found = built.sql("SELECT request_id, why FROM enriched_inferences").table.to_pylist()
    model = joblib.load(tmp_path / "model.joblib")
    for row in found:
        call = calls[int(row["request_id"][1:])]
        why = row["why"]
        listed = {entry["feature"]: entry for entry in why["attributions"]}
        assert {feature: entry["value"] for feature, entry in listed.items()} == {
            feature: float(call[feature]) for feature in NAMES
        }
        total = why["base"] + sum(entry["attribution"] for entry in listed.values())
        assert total == pytest.approx(why["output"], abs=1e-6)
        assert why["top"] == max(listed, key=lambda feature: abs(listed[feature]["attribution"]))
        inputs = matrix([call])
        units = {"logistic": "log_odds", "boosting": "log_odds", "forest": "probability"}
        assert why["units"] == units.get(name, "value")
        if why["units"] == "log_odds":
            expected = model.decision_function(inputs)[0]
        elif why["units"] == "probability":
            expected = model.predict_proba(inputs)[0, 1]
        else:
            expected = model.predict(inputs)[0]
        assert why["output"] == pytest.approx(expected, abs=1e-9)


def test_a_linear_models_attributions_are_their_formula(tmp_path: Path) -> None:
    calls = rows(40)
    built = project(tmp_path, MODELS["linear"], calls)
    built.build()
    model = joblib.load(tmp_path / "model.joblib")
    mean = matrix(calls).mean(axis=0)
    for row in built.sql("SELECT request_id, why FROM enriched_inferences").table.to_pylist():
        values = matrix([calls[int(row["request_id"][1:])]])[0]
        shares = [entry["attribution"] for entry in row["why"]["attributions"]]
        assert shares == pytest.approx(list(model.coef_ * (values - mean)), abs=1e-9)


def test_a_row_is_explained_once_for_each_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shap

    explained: list[int] = []
    call = shap.LinearExplainer.__call__

    def counted(self: Any, values: Any, *rest: Any, **more: Any) -> Any:
        explained.append(len(values))
        return call(self, values, *rest, **more)

    monkeypatch.setattr(shap.LinearExplainer, "__call__", counted)
    calls = rows(30)
    built = project(tmp_path, MODELS["logistic"], calls)
    built.build()
    first = built.sql("SELECT request_id, why FROM enriched_inferences ORDER BY 1").table
    more = [*rows(5, 30), {**calls[0], "request_id": "again"}]
    (tmp_path / "calls-2.jsonl").write_text("".join(json.dumps(row) + "\n" for row in more))
    built.build()
    assert explained == [30, 5]
    kept = built.sql(
        "SELECT request_id, why FROM enriched_inferences "
        "WHERE request_id IN (SELECT 'r' || range FROM range(30)) ORDER BY 1"
    ).table
    assert kept.equals(first)
    joblib.dump(
        LogisticRegression(C=0.1).fit(matrix(calls), [0, 1] * 15), tmp_path / "model.joblib"
    )
    (tmp_path / "calls-3.jsonl").write_text(json.dumps({**rows(1, 90)[0]}) + "\n")
    built.build()
    assert explained == [30, 5, 36]


def test_a_row_that_lacks_a_feature_says_so(tmp_path: Path) -> None:
    calls = rows(20)
    built = project(tmp_path, MODELS["linear"], calls)
    (tmp_path / "calls-2.jsonl").write_text(
        json.dumps({**rows(1, 50)[0], "request_id": "lacks", "age": None}) + "\n"
    )
    built.build()
    assert built.status()["contexts"]["why"]["reasons"] == {"missing_features": 1}
    row = built.sql("SELECT why FROM enriched_inferences WHERE request_id = 'lacks'").table
    assert row["why"].to_pylist() == [None]


def test_what_is_wrong_with_a_model_is_said(tmp_path: Path) -> None:
    calls = rows(20)
    built = project(tmp_path, None, calls)
    with pytest.raises(ConfigError, match="no such file"):
        built.build()
    joblib.dump(LinearRegression().fit(np.eye(4), range(4)), tmp_path / "model.joblib")
    with pytest.raises(ConfigError, match="4 features, but 3"):
        built.build()
