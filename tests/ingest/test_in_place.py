"""Logs that stay where they are: the same tables as after copying, never another file's rows."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable, write_deltalake

import workbench
from workbench.errors import ConfigError, DataError
from workbench.forget import forget
from workbench.record import among, record

_RELATIONS = (
    "inferences", "feedback", "attribution", "labels", "credits", "enriched_feedback",
    "enriched_inferences", "quarantine", "ledger",
)  # fmt: skip


def _config(storage: str, source: str = "logs/*.parquet") -> str:
    return f"""
[inferences]
source = "{source}"
storage = "{storage}"
columns = {{ cohort = "CASE WHEN flag THEN 'a' ELSE 'b' END" }}
[inferences.features]
age = "DOUBLE"
[feedback]
source = "votes.jsonl"
[feedback.signals.thumb]
kind = "binary"
"""


def _log(path: Path, day: int, *, rows: int = 60, prefix: str = "r") -> None:
    """A day of calls; in day 1 one score is out of range, and one call of day 0 is repeated."""
    path.parent.mkdir(parents=True, exist_ok=True)
    duckdb.sql(
        f"SELECT CASE WHEN {day} = 1 AND i = 7 THEN '{prefix}0-3' ELSE '{prefix}{day}-' || i END "
        "AS request_id, "
        f"TIMESTAMPTZ '2026-01-01 00:00:00Z' + to_days({day}) + to_seconds(i) AS ts, "
        "'v1' AS model_version, 'u' || i % 5 AS user_id, 's' || i % 9 AS session_id, "
        "'question ' || i AS input, 'answer ' || i AS output, "
        f"CASE WHEN {day} = 1 AND i = 5 THEN 1.5 ELSE 0.25 END AS score, i % 2 = 0 AS flag, "
        "[0.25, 0.75] AS probabilities, i * 1.5 AS age, {'left': i} AS other "
        f"FROM range({rows}) t(i)"
    ).write_parquet(str(path))


def _project(path: Path, storage: str, source: str = "logs/*.parquet") -> workbench.Workbench:
    (path).mkdir(parents=True, exist_ok=True)
    (path / "workbench.toml").write_text(_config(storage, source))
    votes = [
        {"request_id": f"r{n % 2}-{n}", "ts": "2026-01-05T00:00:00Z", "name": "thumb",
         "value": n % 3 == 0, "rater_id": f"u{n % 5}"}
        for n in range(0, 60, 3)
    ]  # fmt: skip
    (path / "votes.jsonl").write_text("".join(json.dumps(vote) + "\n" for vote in votes))
    return workbench.open(path)


def _tables(project: workbench.Workbench) -> dict[str, list[Any]]:
    """Every relation in full, but for what says when and as which row something was received."""
    return {
        name: sorted(
            project.sql(
                f"SELECT COLUMNS(c -> c NOT IN ('ingested_at', 'row_id')) FROM {name}", limit=None
            ).table.to_pylist(),
            key=repr,
        )
        for name in _RELATIONS
    }


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, workbench.Workbench]:
    made = {}
    for storage in ("copy", "in_place"):
        path = tmp_path_factory.mktemp(storage) / "project"
        for day in range(2):
            _log(path / "logs" / f"d{day}.parquet", day)
        made[storage] = _project(path, storage)
        made[storage].build()
    return made


def test_every_relation_is_what_it_is_after_copying(
    both: dict[str, workbench.Workbench],
) -> None:
    copied, stayed = _tables(both["copy"]), _tables(both["in_place"])
    for name in _RELATIONS:
        assert stayed[name] == copied[name], name
    assert len(copied["inferences"]) == 118
    assert len(copied["quarantine"]) == 2
    statuses = [{**both[storage].status(), "build": None} for storage in both]
    assert statuses[0] == statuses[1]


def test_nothing_is_copied(both: dict[str, workbench.Workbench]) -> None:
    lake = both["in_place"].project.state / "lake"
    assert not (lake / "inferences").exists()
    assert (both["copy"].project.state / "lake" / "inferences").exists()


def test_nothing_new_keeps_the_build(both: dict[str, workbench.Workbench]) -> None:
    project = both["in_place"]
    for path in (project.project.root / "logs").iterdir():
        os.utime(path)
    before = project.build()["build"]
    assert project.build()["build"] == before
    assert project.status()["inferences"]["received"] == 120


@pytest.fixture
def own(both: dict[str, workbench.Workbench], tmp_path: Path) -> workbench.Workbench:
    """A copy of the project whose log stays where it is, in another place."""
    folder = tmp_path / "moved"
    shutil.copytree(both["in_place"].project.root, folder)
    return workbench.open(folder)


def test_a_moved_project_reads_its_own_files(
    own: workbench.Workbench, both: dict[str, workbench.Workbench]
) -> None:
    assert _tables(own) == _tables(both["in_place"])


def test_a_file_that_was_written_anew_is_refused(own: workbench.Workbench) -> None:
    _log(own.project.root / "logs" / "d0.parquet", 0, prefix="x")
    with pytest.raises(DataError, match=r"logs/d0\.parquet was written anew"):
        workbench.open(own.project.root).sql("SELECT count(*) FROM inferences")
    with pytest.raises(DataError, match=r"logs/d0\.parquet was written anew"):
        workbench.open(own.project.root).build()


def test_a_file_that_is_gone_is_refused(own: workbench.Workbench) -> None:
    (own.project.root / "logs" / "d0.parquet").unlink()
    _log(own.project.root / "logs" / "d2.parquet", 2)
    with pytest.raises(DataError, match=r"logs/d0\.parquet is gone"):
        own.build()


def test_renamed_and_new_files_are_read(own: workbench.Workbench) -> None:
    logs = own.project.root / "logs"
    (logs / "d1.parquet").rename(logs / "later.parquet")
    _log(logs / "d2.parquet", 2, rows=10)
    own.build()
    assert own.status()["inferences"]["received"] == 130
    files = own.sql("SELECT DISTINCT source_file FROM quarantine ORDER BY 1").table.to_pylist()
    assert files == [{"source_file": "logs/later.parquet"}]


def test_storage_can_be_changed_both_ways(own: workbench.Workbench) -> None:
    expected = _tables(own)
    for storage in ("copy", "in_place"):
        (own.project.root / "workbench.toml").write_text(_config(storage))
        changed = workbench.open(own.project.root)
        changed.build()
        assert _tables(changed) == expected


def test_an_erased_user_stays_out(own: workbench.Workbench) -> None:
    done = forget(own.project, "u4")
    assert done["rows"]["inferences"] == 24
    own.build()
    found = own.sql("SELECT count(*) AS n FROM inferences WHERE user_id = 'u4'").table
    assert found.to_pylist() == [{"n": 0}]
    assert own.sql("SELECT count(*) AS n FROM inferences").table.to_pylist() == [{"n": 94}]


def test_a_delta_table_is_its_live_files(tmp_path: Path) -> None:
    for day in range(2):
        _log(tmp_path / "days" / f"d{day}.parquet", day)
    rows = duckdb.sql(f"FROM read_parquet('{tmp_path}/days/*.parquet')").to_arrow_table()
    table = tmp_path / "project" / "calls"
    write_deltalake(str(table), rows.slice(0, 60))
    write_deltalake(str(table), rows.slice(60), mode="append")
    DeltaTable(str(table)).delete("session_id = 's0'")
    kept = duckdb.sql("SELECT count(*) FROM rows WHERE session_id <> 's0'").fetchall()[0][0]
    for storage in ("copy", "in_place"):
        shutil.rmtree(tmp_path / "project" / ".workbench", ignore_errors=True)
        project = _project(tmp_path / "project", storage, "calls")
        ingested = project.ingest()
        assert ingested["rows"]["inferences"] + ingested["refused"]["inferences"] == kept


def test_only_parquet_can_stay(tmp_path: Path) -> None:
    project = _project(tmp_path, "in_place", "calls.jsonl")
    (tmp_path / "calls.jsonl").write_text('{"request_id": "a"}\n')
    with pytest.raises(ConfigError, match=r"calls\.jsonl is not Parquet"):
        project.ingest()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('[inferences]\nsource = "a"\nstorage = "in_place"\nsql = "FROM source"\n'
         '[feedback]\nsource = "b"\n', "cannot reshape rows"),
        ('[inferences]\nsource = "a"\n[feedback]\nsource = "b"\nstorage = "in_place"\n',
         r"only \[inferences\] may be"),
    ],
)  # fmt: skip
def test_what_cannot_stay_is_said(tmp_path: Path, config: str, message: str) -> None:
    (tmp_path / "workbench.toml").write_text(config)
    with pytest.raises(ConfigError, match=message):
        workbench.open(tmp_path)


@pytest.mark.parametrize("storage", ["copy", "in_place"])
def test_rows_with_some_ids_are_those_of_the_view(tmp_path: Path, storage: str) -> None:
    project = _project(tmp_path / "p", storage)
    for day in (0, 1):
        _log(tmp_path / "p" / "logs" / f"{day}.parquet", day)
    project.build()
    # The next one refreshes the last, which has the view already.
    _log(tmp_path / "p" / "logs" / "2.parquet", 2, rows=30)
    project.build()
    build = project.current
    for ids in (
        ["r0-3"],
        ["r0-3", "r0-59", "r0-0"],
        ["r2-29", "r0-0", "r1-8", "r1-9"],
        ["r1-5", "nobody", "r2-1"],
        ["nobody", "' OR true --"],
        [],
    ):
        found = build.arrow(f"FROM {among(build, ids)}")
        whole = build.arrow("FROM enriched_inferences WHERE list_contains($1, request_id)", [ids])
        assert found.schema == whole.schema
        assert sorted(found.to_pylist(), key=repr) == sorted(whole.to_pylist(), key=repr)
    assert ("narrow.payload" in among(build, ["r0-3"])) == (storage == "in_place")
    assert record(build, "r2-29") == build.arrow(
        "FROM enriched_inferences WHERE request_id = 'r2-29'"
    ).to_pylist()[0]  # fmt: skip
