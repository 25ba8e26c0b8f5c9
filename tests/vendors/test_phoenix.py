"""A real Phoenix: what its clients sent stands in the build, read while the server runs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import workbench
from tests.importers import laws
from tests.importers.laws import Outcome, Sample
from workbench.guess import guess_project

WORLD = Path(__file__).with_name("phoenix_world.py")
SPANS = ("spans.json", "spans.parquet")
ANNOTATIONS = ("annotations.parquet", "annotations.csv", "annotations.jsonl")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[dict[str, int]]]]:
    """The folder of a Phoenix that was built from, went on, and was built from again."""
    default = Path(__file__).resolve().parents[2] / ".venv-vendors"
    programs = Path(os.environ.get("WORKBENCH_VENDORS", default)) / "bin"
    if not (programs / "phoenix").is_file():
        pytest.skip("the environment of other systems is absent: make vendors")
    folder = tmp_path_factory.mktemp("phoenix")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | {
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",
    }
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [programs / "phoenix", "serve"], env=environment, stdout=log, stderr=log
        )
        try:
            wait_for(server, f"{url}/healthz")
            yield folder, live(programs / "python", url, folder)
        finally:
            server.terminate()
            server.wait(30)


def wait_for(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            assert server.poll() is None, "Phoenix did not start"
            assert time.monotonic() < deadline, "Phoenix does not answer"
            time.sleep(0.2)


def live(python: Path, url: str, folder: Path) -> list[dict[str, int]]:
    """Send, build, send more, build again; the ledgers of the feedback after each."""
    ledgers = []
    for part in ("first", "more"):
        done = subprocess.run([python, WORLD, url, folder, part], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        if part == "first":
            database = folder / "phoenix.db"
            guess = guess_project([database], [database], project_dir=folder)
            (folder / "workbench.toml").write_text(guess.toml, encoding="utf-8")
        workbench.open(folder).build()
        ledgers.append(
            dict(ask(folder, "SELECT status, n FROM ledger WHERE \"table\" = 'feedback'"))
        )
    return ledgers


def ask(folder: Path, query: str) -> list[Any]:
    rows = workbench.open(folder).sql(query).table.to_pylist()
    return [tuple(row.values()) for row in rows]


def sent(folder: Path, *parts: str) -> dict[str, dict[str, Any]]:
    """What each span was, by its id."""
    read = [json.loads((folder / f"sent-{part}.json").read_text()) for part in parts]
    return {span["span"]: span for one in read for span in one["spans"]}


def kept(folder: Path, part: str) -> int:
    """How many annotations Phoenix holds of what a part sent."""
    return int(json.loads((folder / f"sent-{part}.json").read_text())["annotations"])


@pytest.fixture(scope="module")
def database(world: Any) -> Outcome:
    """The running server's database: the newest rows are in its write-ahead log."""
    folder, _ = world
    assert (folder / "phoenix.db-wal").stat().st_size > 0
    return laws.stage("phoenix", [folder / "phoenix.db"])


def test_every_span_that_was_sent_is_an_inference(world: Any, database: Outcome) -> None:
    folder, _ = world
    spans = sent(folder, "first", "more")
    rows = {row["request_id"]: row for _, row in database.rows["inferences"]}
    assert rows.keys() == spans.keys()
    for key, span in spans.items():
        row = rows[key]
        assert row["trace_id"] == span["trace"]
        assert row["session_id"] == span.get("session")
        for name in ("output", "input_tokens", "output_tokens"):
            if name in span:
                assert row[name] == span[name]
        if span["kind"] in ("LLM", "EMBEDDING"):
            assert row["model_version"] == span["model"]
        else:
            assert row["model"] is None
        if span["kind"] == "AGENT":
            assert row["input"] == span["input"]
        if "user" in span and span["kind"] == "LLM":
            assert row["user_id"] == span["user"]
        if "document" in span:
            assert row["retrieved"][0]["id"] == span["document"]
        if "tool_call" in span:
            assert json.loads(row["tool_calls"])[0]["id"] == span["tool_call"]
        if span["kind"] == "EMBEDDING":
            assert row["embedding"] == [0.125, -0.5, 0.75, 0.0625]


@pytest.mark.parametrize("name", SPANS)
def test_spans_are_the_same_by_each_way_out(world: Any, database: Outcome, name: str) -> None:
    folder, _ = world
    other = laws.stage("phoenix", [folder / name])

    def plain(outcome: Outcome) -> dict[str, Any]:
        # Only the database knows the session of a trace's first span, and what a call cost.
        apart = {"metadata", "cost", "session_id"}
        return {
            row["request_id"]: {key: value for key, value in row.items() if key not in apart}
            for _, row in outcome.rows["inferences"]
        }

    assert plain(other) == plain(database)


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_annotations_are_the_same_by_each_way_out(world: Any, database: Outcome, name: str) -> None:
    folder, _ = world
    events = {row["feedback_id"]: row for _, row in database.rows["feedback"]}
    found = [dict(row) for _, row in laws.stage("phoenix", [folder / name]).rows["feedback"]]
    of_spans = [e for e in events.values() if e["feedback_id"].startswith("SpanAnnotation:")]
    assert len(found) == len(of_spans) > 0
    for row in found:
        row.pop("metadata")
        event = dict(events[row["feedback_id"]])
        assert row == {key: event[key] for key in row}


@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("phoenix.db", ("inferences", "feedback")),
        *((name, ("inferences",)) for name in SPANS),
        *((name, ("feedback",)) for name in ANNOTATIONS),
        ("span-annotations.json", ("feedback",)),
    ],
)
def test_no_value_of_an_export_is_lost(world: Any, name: str, tables: tuple[str, ...]) -> None:
    folder, _ = world
    laws.check(
        Sample(
            importer="phoenix", paths=[folder / name], tables=tables, across=name == "phoenix.db"
        )
    )


def test_the_ledger_has_every_annotation_that_phoenix_kept(world: Any) -> None:
    folder, (before, after) = world
    judges = [s for s in sent(folder, "first").values() if s["kind"] == "EVALUATOR"]
    assert before["received"] == kept(folder, "first") + len(judges)
    # Phoenix stores no links: whom these judged is gone, and they are refused.
    assert before["invalid"] == len(judges)
    assert before["received"] == before["attributed"] + before["invalid"]
    assert after["received"] == after["attributed"] + after["invalid"]


def test_a_second_build_receives_what_is_new(world: Any) -> None:
    folder, (before, after) = world
    judges = [s for s in sent(folder, "more").values() if s["kind"] == "EVALUATOR"]
    # The last is the verdict that was written over.
    assert after["received"] == before["received"] + kept(folder, "more") + len(judges) + 1
    assert after.get("duplicate", 0) == 0
    assert ask(folder, "SELECT count(*) FROM inferences") == [(len(sent(folder, "first", "more")),)]


def test_a_verdict_that_was_written_over_is_kept_and_replaced(world: Any) -> None:
    folder, _ = world
    first = next(s for s in sent(folder, "first").values() if s.get("input_tokens"))
    states = ask(
        folder,
        "SELECT value, comment FROM feedback WHERE name = 'thumb' AND rater_id = 'ann' "
        f"AND request_id = '{first['span']}' ORDER BY ts",
    )
    assert states == [("0.0", None), ("1.0", "on second thoughts")]


def test_verdicts_have_the_scope_and_the_rater_that_they_were_sent_with(world: Any) -> None:
    folder, _ = world
    found = ask(folder, "SELECT DISTINCT name, scope, rater_kind FROM feedback ORDER BY 1")
    assert found == [
        ("document.relevant", "inference", "code"),
        ("helpful", "inference", "model"),
        ("language", "inference", "code"),
        ("note", "inference", "human"),
        ("resolved", "trace", "human"),
        ("satisfied", "session", "human"),
        ("thumb", "inference", "human"),
    ]
