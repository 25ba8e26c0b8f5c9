"""Each method of recalibration is what an independent implementation of it gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from tests.artefacts.rows import applied, rows, scores
from workbench.artefacts import artefacts
from workbench.errors import ConfigError, DataError

KIND = artefacts.get("recalibration")
EPS = 2.220446049250313e-16


def fitted(p: Any, y: Any, method: str, **given: Any) -> dict[str, Any]:
    params = {"method": method, "on": "score", **given}
    return dict(KIND.fit(rows(calibration_p=p, calibration_y=y), params).state)


def cut(p: np.ndarray) -> np.ndarray:
    return np.maximum(p, EPS)


def logit(p: np.ndarray) -> np.ndarray:
    return np.log(cut(p)) - np.log(cut(1 - p))


GIVEN = [scores(3_000, 1), scores(3_000, 2, digits=1), scores(200, 3, digits=2), scores(12, 4)]
GIVEN[1][0][:5] = [0.0, 1.0, 0.0, 1.0, 1.0]
EDGES = np.array([0.0, 1.0, 0.5, EPS, 1 - EPS / 2, 1e-300, np.nextafter(0.5, 1)])


@pytest.mark.parametrize(("p", "y"), GIVEN)
def test_platt_is_that_of_scikit_learn(p: np.ndarray, y: np.ndarray) -> None:
    oracle = _SigmoidCalibration().fit(logit(p), y)
    state = fitted(p, y, "platt")
    # scikit-learn stops when its gradient is small; the likelihood is flat to half the digits.
    assert state["a"] == pytest.approx(-oracle.a_, rel=1e-5)
    assert state["b"] == pytest.approx(-oracle.b_, rel=1e-5, abs=1e-5)
    found = applied(KIND, {"on": "score", "method": "platt", **state}, calibration_p=p)
    assert np.abs(found - oracle.predict(logit(p))).max() < 1e-5


@pytest.mark.parametrize(("p", "y"), GIVEN)
def test_platt_is_at_the_least_loss_to_eight_digits(p: np.ndarray, y: np.ndarray) -> None:
    state = fitted(p, y, "platt")
    high, low = (y.sum() + 1) / (y.sum() + 2), 1 / (len(y) - y.sum() + 2)
    x, t = logit(p), np.where(y == 1, high, low)
    # The same likelihood as a logistic regression in which each row is there with both outcomes.
    oracle = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-14, max_iter=1000)
    oracle.fit(np.tile(x, 2)[:, None], np.repeat([1, 0], len(x)), np.concatenate([t, 1 - t]))
    assert state["a"] == pytest.approx(oracle.coef_[0, 0], rel=1e-8)
    assert state["b"] == pytest.approx(oracle.intercept_[0], rel=1e-8, abs=1e-9)


@pytest.mark.parametrize(("p", "y"), GIVEN)
def test_temperature_has_the_least_loss(p: np.ndarray, y: np.ndarray) -> None:
    x = logit(p)

    def loss(slope: float) -> float:
        return float(np.mean(np.logaddexp(0, slope * x) - y * slope * x))

    oracle = minimize_scalar(loss, bounds=(1e-6, 20), method="bounded", options={"xatol": 1e-10})
    state = fitted(p, y, "temperature")
    assert 1 / state["temperature"] == pytest.approx(oracle.x, rel=1e-6)
    found = applied(KIND, state, calibration_p=EDGES)
    assert found == pytest.approx(1 / (1 + np.exp(-logit(EDGES) / state["temperature"])), rel=1e-12)


@pytest.mark.parametrize(("p", "y"), GIVEN[:3])
def test_beta_is_a_logistic_regression_on_both_logarithms(p: np.ndarray, y: np.ndarray) -> None:
    x = np.column_stack([np.log(cut(p)), -np.log(cut(1 - p))])
    oracle = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-14, max_iter=1000)
    oracle.fit(x, y)
    assert (oracle.coef_ > 0).all()
    state = fitted(p, y, "beta")
    assert [state["a"], state["b"]] == pytest.approx(list(oracle.coef_[0]), rel=1e-6)
    assert state["c"] == pytest.approx(oracle.intercept_[0], rel=1e-6)
    found = applied(KIND, state, calibration_p=p)
    assert found == pytest.approx(oracle.predict_proba(x)[:, 1], rel=1e-6)


def test_beta_never_turns_the_order_round() -> None:
    rng = np.random.default_rng(5)
    p = rng.uniform(0.01, 0.99, 4_000)
    # Rises near 1 only, and falls a little near 0.
    y = (rng.random(4_000) < 0.3 + 0.2 * (p - 0.4) ** 2 + 0.4 * p**8).astype(np.float64)
    x = np.column_stack([np.log(p), -np.log(1 - p)])
    free = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000).fit(x, y)
    assert free.coef_[0, 0] < 0
    state = fitted(p, y, "beta")
    oracle = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-14).fit(x[:, 1:], y)
    assert state["a"] == 0.0
    assert state["b"] == pytest.approx(oracle.coef_[0, 0], rel=1e-6)
    assert (np.diff(applied(KIND, state, calibration_p=np.linspace(0, 1, 101))) >= 0).all()


@pytest.mark.parametrize(("p", "y"), GIVEN)
def test_isotonic_is_that_of_scikit_learn(p: np.ndarray, y: np.ndarray) -> None:
    oracle = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(p, y)
    state = fitted(p, y, "isotonic")
    assert state["x"] == oracle.X_thresholds_.tolist()
    assert state["y"] == pytest.approx(oracle.y_thresholds_.tolist(), rel=1e-15)
    beside = [np.nextafter(state["x"], to) for to in (-1.0, 2.0)]
    asked = np.clip(np.concatenate([p, state["x"], *beside, EDGES, np.linspace(0, 1, 501)]), 0, 1)
    found = applied(KIND, state, calibration_p=asked)
    assert np.abs(found - oracle.predict(asked)).max() < 1e-12


def test_temperature_of_all_classes_has_the_least_loss() -> None:
    rng = np.random.default_rng(6)
    z = rng.normal(size=(2_000, 3)) * 2
    q = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    true = np.array([rng.choice(3, p=np.exp(r / 2) / np.exp(r / 2).sum()) for r in z])
    names = np.array(["cat", "dog", "owl"])
    columns = {
        "calibration_p": q.max(axis=1),
        "calibration_y": (q.argmax(axis=1) == true).astype(np.float64),
        "probabilities": list(q),
        "label": names[true],
    }
    given = rows(tuple(names), **columns)
    state = KIND.fit(given, {"method": "temperature", "on": "probabilities"}).state

    def soft(t: float) -> np.ndarray:
        powered = np.exp(np.log(q) / t)
        return np.asarray(powered / powered.sum(axis=1, keepdims=True))

    def loss(t: float) -> float:
        return float(-np.log(soft(t)[np.arange(len(q)), true]).mean())

    oracle = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9})
    assert state["temperature"] == pytest.approx(oracle.x, rel=1e-6)
    found = applied(KIND, state, **columns)
    assert found == pytest.approx(soft(state["temperature"]).max(axis=1), rel=1e-12)


def test_a_score_that_is_no_class_is_refused_and_has_no_value() -> None:
    columns = {
        "calibration_p": [0.7, 0.65],
        "calibration_y": [1.0, 0.0],
        "probabilities": [[0.3, 0.7], [0.4, 0.6]],
        "label": ["b", "a"],
    }
    params = {"method": "temperature", "on": "probabilities"}
    with pytest.raises(DataError, match="1 of 2 rows is none of their probabilities"):
        KIND.fit(rows(("a", "b"), **columns), params)
    state = {"on": "probabilities", "method": "temperature", "temperature": 1.0}
    found = applied(KIND, state, **columns)
    assert found[0] == pytest.approx(0.7)
    assert np.isnan(found[1])


def test_what_cannot_be_fitted_is_said_in_words() -> None:
    with pytest.raises(DataError, match="All 3 outcomes to fit on are 1"):
        fitted([0.2, 0.5, 0.9], [1.0, 1.0, 1.0], "platt")
    with pytest.raises(DataError, match="no temperature corrects that"):
        fitted([0.2, 0.9, 0.8, 0.1], [1.0, 0.0, 1.0, 1.0], "temperature")
    with pytest.raises(DataError, match="separate"):
        fitted([0.2, 0.3, 0.8, 0.9], [0.0, 0.0, 1.0, 1.0], "beta")
    with pytest.raises(ConfigError, match="not for probabilities"):
        fitted([0.2, 0.3], [0.0, 1.0], "platt", on="probabilities")
    with pytest.raises(ConfigError, match="no names"):
        fitted([0.2, 0.3], [0.0, 1.0], "temperature", on="probabilities")


def test_platt_is_finite_where_the_scores_separate() -> None:
    state = fitted([0.2, 0.3, 0.8, 0.9], [0.0, 0.0, 1.0, 1.0], "platt")
    assert 0 < state["a"] < 100


@pytest.mark.parametrize("method", ["beta", "isotonic", "platt", "temperature"])
def test_no_score_gives_no_value(method: str) -> None:
    state = fitted(*GIVEN[1], method)
    found = applied(KIND, state, calibration_p=[None, np.nan, 1.5, -0.1, 0.0, 1.0])
    assert np.isnan(found[:4]).all()
    assert ((found[4:] >= 0) & (found[4:] <= 1)).all()


@pytest.mark.parametrize("method", ["beta", "isotonic", "platt", "temperature"])
def test_the_order_and_the_cut_of_the_rows_do_not_matter(method: str) -> None:
    p, y = GIVEN[2]
    turned = np.random.default_rng(7).permutation(len(p))
    one, other = fitted(p, y, method), fitted(p[turned], y[turned], method)
    for name, value in one.items():
        assert other[name] == (pytest.approx(value, rel=1e-9) if name in "abcxy" else other[name])
