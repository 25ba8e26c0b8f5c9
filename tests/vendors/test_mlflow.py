"""A real MLflow: what its own client sent stands in the build, and its verdicts are ours."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import workbench
from tests.importers import laws
from tests.importers.laws import Outcome, Sample
from workbench.guess import guess_project

WORLD = Path(__file__).with_name("mlflow_world.py")
ROUTES = {"frame": "first-frame.json", "parquet": "first.parquet", "lines": "first.jsonl"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a MLflow that was built from, went on, and was built from again."""
    folder = tmp_path_factory.mktemp("mlflow")
    default = Path(__file__).resolve().parents[2] / ".venv-vendors"
    python = Path(os.environ.get("WORKBENCH_VENDORS", default)) / "bin" / "python"
    if not python.is_file():
        pytest.skip("the environment of other systems is absent: make vendors")

    def live(part: str) -> None:
        subprocess.run([python, WORLD, folder, part], check=True, capture_output=True, cwd=folder)

    live("first")
    database = folder / "mlflow.db"
    copy = folder / "first.db"
    copy.write_bytes(database.read_bytes())
    (folder / "workbench.toml").write_text(
        guess_project([database], [database], project_dir=folder).toml, encoding="utf-8"
    )
    project = workbench.open(folder)
    project.build()
    live("more")
    project.build()
    return folder


def told(folder: Path, part: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = json.loads((folder / f"{part}.json").read_text())
    return found


@pytest.fixture(scope="module")
def database(world: Path) -> Outcome:
    return laws.stage("mlflow", [world / "first.db"])


def ask(folder: Path, query: str) -> list[Any]:
    rows = workbench.open(folder).sql(query).table.to_pylist()
    return [tuple(row.values()) for row in rows]


def test_every_span_that_was_sent_is_an_inference(world: Path, database: Outcome) -> None:
    sent = {one["span"]: one for one in told(world, "first")["sent"]}
    rows = {row["request_id"]: row for _, row in database.rows["inferences"]}
    assert rows.keys() == sent.keys()
    for key, one in sent.items():
        row = rows[key]
        assert row["trace_id"] == one["trace"]
        assert (row["user_id"], row["session_id"]) == (one["user"], one["session"])
        for name in ("input_tokens", "output_tokens", "model_version"):
            if name in one:
                assert row[name] == one[name]
        if one["kind"] == "CHAT_MODEL":
            assert json.loads(row["input"]) == one["input"]
            assert row["output"] == one["output"]
        elif one["kind"] == "TOOL":
            assert json.loads(row["output"]) == json.loads(one["output"])
        elif one["kind"] == "RETRIEVER":
            assert [document["id"] for document in row["retrieved"]] == [one["retrieved"]]
        else:
            assert row["output"] == one["output"]


def test_every_assessment_is_an_event(world: Path, database: Outcome) -> None:
    rows = {row["feedback_id"]: row for _, row in database.rows["feedback"]}
    for one in told(world, "first")["said"]:
        if one["name"] == "safety":
            continue
        row = rows.pop(one["id"])
        wanted = json.dumps(one["value"]) if not isinstance(one["value"], str) else one["value"]
        given = row["value"] if row["value"] is not None else row["corrected_output"]
        assert laws.readings(given) & laws.readings(wanted) or json.loads(given) == one["value"]
        assert (row["request_id"], row["trace_id"]) == (one["span"], one["trace"])
    assert {row["name"] for row in rows.values()} == {"retraction"}
    refused = [reason for rows in database.refused.values() for _, reason, _ in rows]
    assert refused == ["judge_error"]


@pytest.mark.parametrize("route", sorted(ROUTES))
def test_each_way_out_gives_what_the_database_holds(
    world: Path, database: Outcome, route: str
) -> None:
    other = laws.stage("mlflow", [world / ROUTES[route]])
    for table, rows in database.rows.items():

        def plain(found: Any) -> list[str]:
            return sorted(
                repr(sorted((k, v) for k, v in row.items() if k != "metadata")) for _, row in found
            )

        assert plain(other.rows[table]) == plain(rows), table


@pytest.mark.parametrize("name", ["first.jsonl", "first.parquet", "first-frame.json", "mlflow.db"])
def test_no_value_of_an_export_is_lost(world: Path, name: str) -> None:
    tables = ("inferences", "feedback", "aliases")
    laws.check(Sample(importer="mlflow", paths=[world / name], tables=tables, across=True))


def test_what_decides_is_what_the_system_holds_for_true(world: Path) -> None:
    truth = {
        (one["trace"], one["span"], one["name"], one["rater"])
        for one in told(world, "more")["said"]
        if one["valid"] and one["name"] != "safety"
    }
    events = ask(
        world,
        "SELECT f.trace_id, f.request_id, f.name, coalesce(f.rater_id, 'default') "
        "FROM feedback f JOIN attribution a USING (feedback_id) "
        "WHERE a.status = 'attributed' AND NOT a.retracted AND f.retracts IS NULL",
    )
    assert set(events) == truth


def test_what_was_overwritten_is_kept_and_the_newest_decides(world: Path) -> None:
    stars = ask(
        world,
        "SELECT f.value, f.feedback_id LIKE '%@%' FROM feedback f WHERE f.name = 'stars' "
        "ORDER BY f.ts",
    )
    assert stars == [("4", False), ("1", True)]


def test_a_database_that_went_on_is_received_once(world: Path) -> None:
    for table, received in (("inferences", 44), ("feedback", 29)):
        statuses = dict(ask(world, f"SELECT status, n FROM ledger WHERE \"table\" = '{table}'"))
        assert statuses["received"] == received
        assert not statuses.get("duplicate")
