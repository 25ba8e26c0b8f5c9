"""A build whose narrow tables are random rows, with every macro over them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from workbench import contract, engine
from workbench.build import macros as build_macros
from workbench.compiled import Parts
from workbench.query import Build, open_build
from workbench.state import create

START = 1_770_000_000


def some_inferences(n: int, seed: int) -> list[dict[str, Any]]:
    """Rows with gaps of every kind; scores are rounded, so that many lie on an edge."""
    rng = np.random.default_rng(seed)

    def one_of(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    rows = []
    for i in range(n):
        label = one_of("1", "0", "0", None)
        p = one_of(round(float(rng.random()), 1), float(rng.random()), None)
        rows.append(
            {
                "request_id": f"r{i}",
                "ts": datetime.fromtimestamp(START + i * 5_000, UTC),
                "calibration_p": p,
                "calibration_y": None if label is None else float(label),
                "correct": None if label is None else bool(rng.random() < 0.7),
                "reward": one_of(0.0, 1.0, 0.25, None),
                "label": label,
                "selected": None if p is None else p >= 0.5,
                "positive": None if label is None else label == "1",
                "model_version": one_of("v1", "v2", "v3"),
                "cohort": one_of("a", "b", None),
                "channel": one_of("web", "app", None),
                "least_confidence": None if p is None else min(p, 1 - p),
                "margin": None if p is None else 1 - abs(2 * p - 1),
                "entropy": p,
                "n_events": int(rng.integers(3)),
            }
        )
    return rows


def some_feedback(n: int, seed: int) -> list[dict[str, Any]]:
    """Verdicts of five raters, some of them twice, some withdrawn."""
    rng = np.random.default_rng(seed)
    return [
        {
            "feedback_id": f"f{i}",
            "request_id": f"r{rng.integers(12)}",
            "rater_id": [*"abcd", None][rng.integers(5)],
            "name": ["thumb", "resolved"][rng.integers(2)],
            "kind": "binary",
            "value": ["1", "true", "0", "1.0", None][rng.integers(5)],
            "feedback_ts": datetime.fromtimestamp(START + int(rng.integers(50)), UTC),
            "delay": [None, -1.0, float(rng.integers(500))][min(2, rng.integers(9))],
            "retracted": [False, False, True, None][rng.integers(4)],
            "model_version": ["v1", "v2"][rng.integers(2)],
        }
        for i in range(n)
    ]


#: The columns of the narrow tables that are filled; the others of the contract are NULL.
FEEDBACK = {"feedback_ts": "TIMESTAMPTZ", "delay": "DOUBLE", "retracted": "BOOLEAN"}
FEEDBACK |= dict.fromkeys(
    ("feedback_id", "request_id", "rater_id", "name", "kind", "value", "model_version"), "VARCHAR"
)
INFERENCES = {
    name: column.type
    for table in ("inferences", "enriched", "fitted")
    for name, column in contract.table(table).columns.items()
    if name not in contract.WIDE_COLUMNS
}


def make_build(
    folder: Path, inferences: list[dict[str, Any]], feedback: list[dict[str, Any]]
) -> Path:
    """Publish a build of these rows."""
    state = folder / ".workbench"
    (state / "builds").mkdir(parents=True)
    connection = engine.connect()
    connection.execute(f"ATTACH {engine.literal(str(state / 'builds' / 'b.duckdb'))} AS build")
    connection.execute("USE build")
    connection.execute("CREATE SCHEMA narrow")
    for name, rows, types in (
        ("enriched_inferences", inferences, INFERENCES),
        ("enriched_feedback", feedback, FEEDBACK),
    ):
        columns = ", ".join(f"{engine.identifier(c)} {t}" for c, t in types.items())
        connection.execute(f"CREATE TABLE narrow.{name} ({columns})")
        if rows:
            with engine.registered(connection, "given", pa.Table.from_pylist(rows)):
                connection.execute(f"INSERT INTO narrow.{name} BY NAME FROM given")
        connection.execute(f"CREATE VIEW main.{name} AS FROM narrow.{name}")
    compiled = Parts(connection=connection, backend=engine.backend(connection))
    build_macros.create(compiled)
    create(compiled)
    connection.close()
    (state / "current").write_text(
        json.dumps({"format": 1, "build": "b", "file": "builds/b.duckdb", "files": []})
    )
    return folder


@pytest.fixture(scope="session")
def inferences() -> list[dict[str, Any]]:
    return some_inferences(600, 1)


@pytest.fixture(scope="session")
def feedback() -> list[dict[str, Any]]:
    return some_feedback(300, 2)


@pytest.fixture(scope="session")
def build(
    tmp_path_factory: pytest.TempPathFactory,
    inferences: list[dict[str, Any]],
    feedback: list[dict[str, Any]],
) -> Iterator[Build]:
    folder = make_build(tmp_path_factory.mktemp("macros"), inferences, feedback)
    with open_build(folder) as opened:
        yield opened
