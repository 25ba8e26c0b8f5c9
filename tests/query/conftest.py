"""A build made by hand in the published layout, so that reading is tested apart from building."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from workbench.query import Build, open_build

BUILD_ID = "b0001"
ROWS = 1000


def make_project(folder: Path, rows: int = ROWS) -> Path:
    """Write a project with one build whose `inferences` have narrow and wide columns."""
    root = folder / ".workbench"
    (root / "builds").mkdir(parents=True)
    (root / "lake" / "inferences").mkdir(parents=True)
    wide = "lake/inferences/part 'one'.parquet"
    quoted = wide.replace("'", "''")
    connection = duckdb.connect()
    connection.execute(
        f"""COPY (
            SELECT i::BIGINT AS row_id,
                   CASE i % 5 WHEN 0 THEN '=1+1' WHEN 1 THEN 'grüße 🎉'
                        WHEN 2 THEN 'a,"b"' || chr(10) || 'c'
                        WHEN 3 THEN 'nul' || chr(0) || 'byte' ELSE '' END AS input,
                   {{'age': i::DOUBLE, 'tier': 'gold'}} AS features,
                   [i / 10.0, NULL]::DOUBLE[] AS probabilities
            FROM range({rows}) r(i)
        ) TO '{str(root).replace("'", "''")}/{quoted}' (FORMAT parquet)"""
    )
    connection.close()
    build = duckdb.connect(str(root / "builds" / f"{BUILD_ID}.duckdb"))
    build.execute(
        f"""CREATE SCHEMA narrow;
        CREATE TABLE narrow.inferences AS
            SELECT i::BIGINT AS row_id, 'r' || i AS request_id,
                   TIMESTAMPTZ '2026-01-01 00:00:00+00' + to_seconds(i) AS ts,
                   'v' || (i % 3 + 1) AS model_version,
                   CASE WHEN i % 10 = 0 THEN 'nan'::DOUBLE WHEN i % 10 = 1 THEN NULL
                        ELSE (i % 100) / 100.0 END AS confidence,
                   i % 2 = 0 AS correct
            FROM range({rows}) r(i);
        SET VARIABLE root = '{str(root).replace("'", "''")}/';
        CREATE VIEW main.inferences AS
            SELECT n.* EXCLUDE (row_id), l.* EXCLUDE (row_id)
            FROM narrow.inferences n JOIN read_parquet(
                list_transform(['{quoted}'], lambda f: getvariable('root') || f)) l USING (row_id);
        COMMENT ON COLUMN main.inferences.request_id IS 'Key of the model call.';"""
    )
    build.close()
    (root / "current").write_text(
        json.dumps(
            {"format": 1, "build": BUILD_ID, "file": f"builds/{BUILD_ID}.duckdb", "files": [wide]}
        )
    )
    return folder


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("it's a project") / "my project")


@pytest.fixture
def build(project: Path) -> Iterator[Build]:
    with open_build(project) as opened:
        yield opened
