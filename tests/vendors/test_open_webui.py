"""A real Open WebUI: what people rated in it stands in the build, from the file that it exports."""

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

WORLD = Path(__file__).with_name("open_webui_world.py")


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the administrator downloads after six chats."""
    default = Path(__file__).resolve().parents[2] / ".venv-vendors"
    programs = Path(os.environ.get("WORKBENCH_VENDORS", default)) / "bin"
    if not (programs / "open-webui").is_file():
        pytest.skip("the environment of other systems is absent: make vendors")
    folder = tmp_path_factory.mktemp("open-webui")
    done = subprocess.run(
        [programs / "python", WORLD, folder], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "feedback.json"


@pytest.fixture(scope="module")
def read(export: Path) -> Outcome:
    return laws.stage("open_webui", [export])


def told(export: Path) -> dict[str, Any]:
    """What was rated how, by the answer."""
    found: dict[str, Any] = json.loads(export.with_name("said.json").read_text())
    return found


def test_every_rating_is_an_event_or_refused(export: Path, read: Outcome) -> None:
    thumbs = {r["request_id"]: r for _, r in read.rows["feedback"] if r["name"] == "thumb"}
    said = told(export)
    assert {key: row["value"] for key, row in thumbs.items()} == {
        key: str(one["rating"] > 0).lower() for key, one in said.items() if one["rating"]
    }
    for key, row in thumbs.items():
        assert row["feedback_id"].split("@")[0] == said[key]["id"]
        assert (row["rater_id"], row["session_id"]) == (said[key]["user"], said[key]["chat"])
    others = sorted(
        (row["name"], row["request_id"] or row["chosen_id"])
        for _, row in read.rows["feedback"]
        if row["name"] != "thumb"
    )
    assert others == [
        ("comment", "a-4"),
        ("preference", "a-0"),
        ("preference", "a-3"),
        ("preference", "b-1"),
        ("rating", "a-0"),
    ]
    assert [reason for rows in read.refused.values() for _, reason, _ in rows] == ["no_verdict"]
    assert len(read.records) == len(said) == 6


def test_a_rating_that_was_changed_is_the_last_one(read: Outcome) -> None:
    (row,) = [
        row
        for _, row in read.rows["feedback"]
        if (row["name"], row["request_id"]) == ("thumb", "a-3")
    ]
    assert (row["value"], row["comment"]) == ("true", "On second thoughts")
    assert "@" in row["feedback_id"]


def test_every_answer_is_an_inference_with_its_thread(read: Outcome) -> None:
    rows = {row["request_id"]: row for _, row in read.rows["inferences"]}
    assert rows.keys() == {f"{side}-{n}" for n in range(6) for side in "ab"}
    for n in range(6):
        row = rows[f"a-{n}"]
        assert (row["output"], row["reasoning"], row["model_version"]) == (
            f"Answer {n}.",
            "Hm.",
            "big",
        )
        assert (row["input_tokens"], row["output_tokens"]) == (str(10 + n), str(20 + n))
        assert json.loads(row["input"]) == [
            {"role": "system", "content": "Be terse."},
            {"role": "user", "content": f"Question {n}?"},
        ]
        assert rows[f"b-{n}"]["model_version"] == "small"


def test_no_value_of_the_export_is_lost(export: Path) -> None:
    def values(value: Any) -> Any:
        """The value without the answers that begin with a thought, which two columns hold."""
        if isinstance(value, dict):
            return {key: values(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [values(inner) for inner in value]
        return None if isinstance(value, str) and value.startswith("<details") else value

    tables = ("inferences", "feedback")
    laws.check(
        Sample(importer="open_webui", paths=[export], tables=tables, across=True, values=values)
    )


def test_the_export_leads_to_a_build_in_which_all_is_attributed(export: Path) -> None:
    folder = export.parent
    guess = guess_project([export], [export], project_dir=folder)
    (folder / "workbench.toml").write_text(guess.toml, encoding="utf-8")
    project = workbench.open(folder)
    project.build()
    status = project.status()
    assert status["received"] == status["attributed"] + status["invalid"] == 10
    assert status["quarantine"] == {"no_verdict": 1}
    # The same export once more, as it is downloaded a day later.
    records = json.loads(export.read_text())
    export.write_text(json.dumps(records[::-1], indent=1))
    project.build()
    again = project.status()
    assert again["attributed"] == status["attributed"]
    assert again["duplicate"] == 0
