"""What applies an artefact means the same on each engine."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.soundness.tables import ENGINES, Row, Tables
from workbench.artefacts import artefacts

COLUMNS = {"n": "BIGINT", "calibration_p": "DOUBLE", "probabilities": "DOUBLE[]"}
KNOTS = [0.0, 0.1, np.nextafter(0.1, 1), 0.3, 0.7000000000000001, 1.0]

STATES: list[tuple[str, dict[str, Any]]] = [
    ("recalibration", {"on": "score", "method": "platt", "a": 0.7, "b": -0.1}),
    ("recalibration", {"on": "score", "method": "temperature", "temperature": 1.7}),
    ("recalibration", {"on": "score", "method": "beta", "a": 0.3, "b": 1.1, "c": 0.1}),
    (
        "recalibration",
        {"on": "score", "method": "isotonic", "x": KNOTS, "y": [0.0, 0.2, 0.6, 0.6, 0.7, 1.0]},
    ),
    ("recalibration", {"on": "score", "method": "isotonic", "x": [0.4], "y": [0.3]}),
    ("recalibration", {"on": "probabilities", "method": "temperature", "temperature": 1.7}),
    ("gap", {"bins": 7, "bin_rule": "numpy", "gaps": {"0": 0.1, "1": -0.2, "3": 1 / 3, "5": 0.0}}),
]


def cut(p: float) -> float:
    return math.log(max(p, 2.220446049250313e-16))


def expected(kind: str, state: dict[str, Any], p: float | None, q: list[float] | None) -> Any:
    """The value by its definition, one row at a time."""
    if p is None or not 0 <= p <= 1:
        return None
    if kind == "gap":
        bins = [k for k in range(7) if np.linspace(0, 1, 8)[k] <= p]
        return state["gaps"].get(str(bins[-1]))
    if state["on"] == "probabilities":
        if q is None or min(abs(v - p) for v in q) > 1e-6:
            return None
        powers = [math.exp(cut(v) / state["temperature"]) for v in q]
        return math.exp(cut(p) / state["temperature"]) / sum(powers)
    if state["method"] == "isotonic":
        return float(np.interp(p, state["x"], state["y"]))
    z = {
        "platt": lambda: state["a"] * (cut(p) - cut(1 - p)) + state["b"],
        "temperature": lambda: (cut(p) - cut(1 - p)) / state["temperature"],
        "beta": lambda: state["a"] * cut(p) - state["b"] * cut(1 - p) + state["c"],
    }[state["method"]]()
    return 1 / (1 + math.exp(-z))


@pytest.fixture(scope="module", params=ENGINES)
def tables(request: pytest.FixtureRequest) -> Tables:
    return Tables({"x": COLUMNS}, engine=request.param)


def test_an_applied_artefact_is_its_definition(tables: Tables) -> None:
    beside = [float(np.nextafter(k, to)) for k in KNOTS for to in (-1, 2)]
    given = [*KNOTS, *beside, 0.25, 0.5, 0.9, 1e-300, 1 - 2**-53, None, math.nan, 1.5, -0.5]
    rows: list[Row] = []
    for p in given:
        inside = p is not None and 0 <= p <= 1
        lists = [[p, 1 - p], [1 - p, p], [0.2, 0.8], None] if inside else [[0.2, 0.8], None]
        rows += [{"calibration_p": p, "probabilities": q} for q in lists]
    rows = [{"n": n, **row} for n, row in enumerate(rows)]
    tables.fill(x=rows)
    x = tables.table("x")
    made = {
        f"v{place}": next(iter(artefacts.get(kind).values(x, state).values()))
        for place, (kind, state) in enumerate(STATES)
    }
    found = tables.run("all", lambda: x.select("n", **made))
    assert len(found) == len(rows)
    for row in found:
        asked = rows[row["n"]]
        for place, (kind, state) in enumerate(STATES):
            value = expected(kind, state, asked["calibration_p"], asked["probabilities"])
            if value is None:
                assert row[f"v{place}"] is None, (kind, state, asked)
            else:
                assert row[f"v{place}"] == pytest.approx(value, rel=1e-12, abs=1e-15), (
                    state,
                    asked,
                )
