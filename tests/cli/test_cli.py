"""The command line: exit codes, what goes to which stream, and the shapes of JSON."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import jsonschema
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import CONFIG, Run, run, write
from tests.ingest.folder import Folder, inference, lines
from workbench import progress
from workbench.cli.main import COMMANDS
from workbench.metrics import metrics

MODULE = [sys.executable, "-m", "workbench.cli.main"]

#: A query that no machine finishes in time.
SLOW = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range + b.range = 7"


# --- usage ------------------------------------------------------------------------------------


def test_help_lists_every_command() -> None:
    done = run("--help")
    assert done.code == 0
    assert all(f"\n  {name} " in done.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_says_as_much_in_the_list(name: str) -> None:
    done = run(name, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: workbench {name}")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["metrcs"], "Did you mean 'metrics'?"),
        (["--project", ".", "xyzzy"], "build"),
        (["sql", "--formt", "csv", "SELECT 1"], "--format"),
        (["sql", "--format", "xml", "SELECT 1"], "parquet"),
        (["sql", "--limit", "-1", "SELECT 1"], "--limit"),
        (["sql", "--timeout", "0", "SELECT 1"], "--timeout"),
        (["export", "labels"], "--output"),
        (["metrics", "--only", "acuracy"], "Did you mean 'accuracy'?"),
        (["metrics", "--only", "ece(bns=3)"], "bins"),
        (["metrics", "--only", "ece(bins=20, bin_rule='guo'"], "ece"),
        (["metrics", "--fail-if", "ece is bad"], "'ece > 0.05'"),
        (["metrics", "--fail-if", "ecce > 0.05"], "Did you mean 'ece'?"),
        (["export", "labels", "-o", "labels.xml"], "jsonl"),
        (["export", "labels", "--format", "xml", "-o", "labels.csv"], "jsonl"),
    ],
)
def test_wrong_usage_ends_with_2(at: Run, arguments: list[str], hint: str) -> None:
    done = at(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert hint in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["sql", "SELECT requst_id FROM inferences"], "request_id"),
        (["sql", "FROM infrences"], "inferences"),
        (["metrics", "--by", "model_versoin"], "model_version"),
        (["metrics", "--where", "confidnce > 1"], "confidence"),
        (["metrics", "--where", "true) OR (true"], "expression"),
        (["export", "labels", "-o", "labels.csv", "--where", "rewrd = 1"], "reward"),
    ],
)
def test_a_failing_query_ends_with_1(at: Run, arguments: list[str], hint: str) -> None:
    done = at(*arguments)
    assert done.code == 1
    assert done.out == ""
    assert hint in done.err
    assert not (Path.cwd() / "labels.csv").exists()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; SELECT 2",
        "DROP TABLE narrow.labels",
        "COPY (SELECT 1) TO 'stolen.csv'",
        "ATTACH 'other.duckdb'",
        "SET memory_limit = '1GB'",
        "PRAGMA database_list",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'stolen.csv'",
        "SELECT * FROM read_text('workbench.toml')",
        "FROM 'users.csv'",
        "",
    ],
)
def test_what_is_not_one_select_over_the_build_ends_with_1(at: Run, sql: str) -> None:
    done = at("sql", sql)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Error: ")
    assert not Path("stolen.csv").exists()


@pytest.mark.parametrize("command", ["status", "metrics", "sql", "export"])
def test_no_project_and_no_build_end_with_3(tmp_path: Path, command: str) -> None:
    more = {"sql": ["SELECT 1"], "export": ["labels", "-o", tmp_path / "x.csv"]}.get(command, [])
    done = run(command, *more, "--project", tmp_path)
    assert (done.code, done.out) == (3, "")
    assert "workbench build" in done.err


@pytest.mark.parametrize("command", ["build", "ingest"])
def test_no_configuration_ends_with_3(tmp_path: Path, command: str) -> None:
    done = run(command, "--project", tmp_path)
    assert (done.code, done.out) == (3, "")
    assert "workbench init" in done.err
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_exist_ends_with_3(at: Run) -> None:
    done = at("export", "lables", "-o", "x.csv")
    assert done.code == 3
    assert "Did you mean 'labels'?" in done.err


def test_a_wrong_configuration_ends_with_2(tmp_path: Path) -> None:
    folder = write(tmp_path / "project")
    folder.write("workbench.toml", CONFIG + '[lables]\npolicy = "mean"\n')
    done = run("build", "--project", folder.path)
    assert (done.code, done.out) == (2, "")
    assert "Did you mean 'labels'?" in done.err


# --- where the project is -----------------------------------------------------------------------


def test_the_project_is_named_before_or_after_the_command_or_is_here(
    project: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = run("--project", project.path, "--json", "status")
    after = run("status", "--project", project.path, "--json")
    # The nearer one wins.
    both = run("--project", tmp_path, "status", "--json", "--project", project.path)
    monkeypatch.chdir(project.path)
    here = run("status", "--json")
    assert before.code == after.code == both.code == here.code == 0
    assert before.out == after.out == both.out == here.out != ""


# --- shapes -------------------------------------------------------------------------------------


def test_build_as_json(tmp_path: Path) -> None:
    folder = write(tmp_path / "project")
    done = run("build", "--json", "--project", folder.path)
    assert done.code == 0
    found = json.loads(done.out)
    assert list(found) == ["build", "ledger", "seconds", "stages", "notes", "fresh"]
    assert found["ledger"] == {
        "received": 24, "invalid": 2, "duplicate": 0, "spam": 0, "attributed": 21, "ambiguous": 0,
        "orphan": 1,
    }  # fmt: skip
    assert found["fresh"] is True
    assert found["seconds"] == progress.seconds(found["stages"])
    stages = {stage.pop("stage"): stage for stage in found["stages"]}
    through = {name: stage["rows"] for name, stage in stages.items() if stage["rows"]}
    assert through == {
        "ingest inferences": 40, "ingest feedback": 24, "ingest context_user": 2,
        "sort out": 62, "attribute": 22, "label": 22, "enrich": 40,
    }  # fmt: skip
    events = folder.path / "events" / "a.jsonl"
    assert stages["ingest feedback"]["bytes"] == events.stat().st_size
    made = folder.path / ".workbench" / "builds" / f"{found['build']}.duckdb"
    assert stages["finish"]["bytes"] == made.stat().st_size
    for stage in stages.values():
        assert list(stage) == ["seconds", "rows", "bytes", "peak_memory", "reason"]
        assert (stage["peak_memory"] is None) == (stage["reason"] is not None)
    assert "reading" in done.err
    # Again, in words: the ledger is data, the rest is narration.
    again = run("build", "--project", folder.path)
    assert again.out.split()[:2] == ["feedback", "events"]
    assert "received" in again.out
    assert f"Nothing is new; build {found['build']} stays in force." in again.err
    nothing = json.loads(run("ingest", "--json", "--project", folder.path).out)
    assert list(nothing) == ["files", "rows", "refused", "notes"]
    assert not any(nothing["files"].values())


def test_status_as_json(at: Run, project: Folder) -> None:
    found = json.loads(at("status", "--json").out)
    names = ["received", "invalid", "duplicate", "spam", "attributed", "ambiguous", "orphan"]
    assert [name for name in found if name in names] == names
    assert found["received"] == sum(found[name] for name in names[1:]) == 24
    assert found["quarantine"] == {"bad_value": 1, "not_json": 1}
    assert found["methods"] == {"request_id": 21}
    assert found["inferences"]["received"] == found["inferences"]["accepted"] == 40
    assert found["inferences"]["labelled"] == 20
    assert set(found["contexts"]) == {"user"}
    assert (found["contexts"]["user"]["matched"], found["contexts"]["user"]["rows"]) == (20, 40)
    assert found["build"] == project.status()["build"]
    words = at("status")
    assert all(name in words.out for name in names)
    assert found["build"] in words.err


def test_metrics_as_json(at: Run) -> None:
    done = at("metrics", "--json")
    rows = json.loads(done.out)
    keys = ["metric", "by", "value", "low", "high", "n", "n_labelled", "reason"]
    assert [list(row) for row in rows] == [keys] * len(metrics.names())
    assert [row["metric"] for row in rows] == list(metrics.names())
    found = {row["metric"]: row for row in rows}
    # Of twenty labelled ones, five (every fourth) are wrong.
    assert found["accuracy"]["value"] == 0.75
    assert found["accuracy"]["low"] < 0.75 < found["accuracy"]["high"]
    assert (found["accuracy"]["n"], found["accuracy"]["n_labelled"]) == (20, 20)
    assert found["label_coverage"]["value"] == 0.5
    assert found["label_coverage"]["n"] == 40
    assert found["selection_rate"]["value"] == 0.5


def test_the_interval_of_the_accuracy_is_wilson_s(at: Run) -> None:
    [row] = json.loads(at("metrics", "--json", "--only", "accuracy").out)
    z, n, p = 1.959963984540054, 20, 0.75
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    assert row["low"] == pytest.approx(middle - half, rel=1e-12)
    assert row["high"] == pytest.approx(middle + half, rel=1e-12)


def test_metrics_with_parameters_and_repeated(at: Run) -> None:
    joined = at("metrics", "--json", "--only", "ece(bins=20, bin_rule='guo'),accuracy")
    repeated = at(
        "metrics", "--json", "--only", "ece(bins=20, bin_rule='guo')", "--only", "accuracy"
    )
    assert joined.out == repeated.out
    assert [row["metric"] for row in json.loads(joined.out)] == [
        "ece(bins=20, bin_rule='guo')", "accuracy",
    ]  # fmt: skip


def test_metrics_by_several_expressions_of_a_part(at: Run) -> None:
    by = [
        "model_version",
        '"user".tier',
        "CASE WHEN confidence > 0.5 THEN 'sure' ELSE 'unsure' END",
    ]
    flags = [part for expression in by for part in ("--by", expression)]
    condition = "user_id <> 'u1'"
    done = at(
        "metrics", "--json", "--only", "accuracy,label_coverage", *flags, "--where", condition
    )
    rows = json.loads(done.out)
    assert all(list(row["by"]) == by for row in rows)
    coverage = {tuple(row["by"].values()): row for row in rows if row["metric"] == "label_coverage"}
    assert len(coverage) * 2 == len(rows)
    assert sum(row["n"] for row in coverage.values()) == 30
    assert {group[1] for group in coverage} == {"gold", "free", None}
    nobody = [row for row in rows if row["metric"] == "accuracy" and row["by"][by[1]] is None]
    assert all((row["value"], row["n"]) == (None, 0) and row["reason"] for row in nobody)
    table = at("metrics", "--only", "accuracy", "--by", "model_version")
    assert table.out.splitlines()[0].split() == [
        "metric", "model_version", "value", "low", "high", "n", "n_labelled", "reason",
    ]  # fmt: skip


def test_the_list_of_metrics(at: Run) -> None:
    rows = json.loads(at("metrics", "--list", "--json").out)
    assert [row["name"] for row in rows] == list(metrics.names())
    assert all(row["about"] for row in rows)
    assert json.loads(at("--json", "metrics", "--list").out) == rows


@pytest.mark.parametrize(
    ("gates", "code"),
    [
        (["accuracy < 0.8"], 5),
        (["accuracy < 0.7"], 0),
        (["accuracy >= 0.75"], 5),
        (["accuracy < 0.7", "ece(bins=5, bin_rule='equal_mass') > 0"], 5),
    ],
)
def test_gates(at: Run, gates: list[str], code: int) -> None:
    flags = [part for gate in gates for part in ("--fail-if", gate)]
    done = at("metrics", "--json", "--only", "accuracy", *flags)
    assert done.code == code
    assert [row["metric"] for row in json.loads(done.out)] == ["accuracy"]
    if code:
        assert gates[-1] in done.err
    else:
        assert "No gate failed." in done.err


def test_a_gate_does_not_pass_where_its_metric_is_undefined(at: Run) -> None:
    done = at("metrics", "--fail-if", "accuracy < 0.1", "--where", "model_version = 'v2'")
    assert done.code == 5
    assert "not defined" in done.err


def test_a_gate_is_over_the_chosen_part(at: Run) -> None:
    # Those that are wrong are multiples of 8.
    where = "try_cast(substr(request_id, 2) AS INTEGER) % 8 <> 0"
    assert at("metrics", "--fail-if", "accuracy < 0.8", "--where", where).code == 0


def test_demo_and_init_as_json(tmp_path: Path, project: Folder) -> None:
    logs, events = project.path / "logs", project.path / "events"
    flags = ("--inferences", logs, "--feedback", events)
    done = run("init", tmp_path / "new", *flags, "--json")
    assert done.code == 0
    found = json.loads(done.out)
    assert list(found) == ["config", "questions", "notes"]
    assert Path(found["config"]).is_file()
    again = run("init", tmp_path / "new", *flags)
    assert (again.code, again.out) == (2, "")
    assert "--force" in again.err
    assert run("init", tmp_path / "new", *flags, "--force").code == 0
    assert run("init", tmp_path / "other", *flags[:2]).code == 2
    made = run("demo", tmp_path / "demo", "-n", 1000, "--no-serve", "--json")
    assert made.code == 0
    assert json.loads(made.out)["ledger"]["received"] > 0
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    assert run("demo", tmp_path / "full", "--no-serve").code == 2
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"


# --- sql ----------------------------------------------------------------------------------------

QUERY = (
    "SELECT request_id, output, confidence, probabilities, ts FROM inferences ORDER BY ts LIMIT 3"
)


def test_rows_as_json(at: Run) -> None:
    done = at("sql", "--format", "json", QUERY)
    assert json.loads(done.out)[1] == {
        "request_id": "r1", "output": 'grüß "you", 🎉\nbye', "confidence": 0.1,
        "probabilities": [0.25, 0.75], "ts": "2026-03-01T00:00:01Z",
    }  # fmt: skip
    assert done.err == ""
    assert at("sql", "--json", QUERY).out == at("--json", "sql", QUERY).out == done.out
    undefined = at("sql", "--json", "SELECT 'nan'::DOUBLE AS a, 'inf'::DOUBLE AS b, NULL AS c")
    assert json.loads(undefined.out) == [{"a": None, "b": None, "c": None}]
    assert json.loads(at("sql", "--json", "FROM labels WHERE false").out) == []


def test_rows_as_csv(at: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(at("sql", "--format", "csv", QUERY).out)))
    assert [row["request_id"] for row in rows] == ["r0", "r1", "r2"]
    assert rows[1] == {
        "request_id": "r1", "output": 'grüß "you", 🎉\nbye', "confidence": "0.1",
        "probabilities": "[0.25, 0.75]", "ts": "2026-03-01T00:00:01Z",
    }  # fmt: skip
    assert at("sql", "--format", "csv", "FROM labels WHERE false").out.startswith("request_id")


def test_rows_as_a_table(at: Run) -> None:
    done = at("sql", QUERY)
    head, rule, *body = done.out.splitlines()
    assert head.split() == ["request_id", "output", "confidence", "probabilities", "ts"]
    assert set(rule) == {"-", " "}
    assert len(body) == 3


def test_rows_as_parquet(project: Folder) -> None:
    done = subprocess.run(
        [*MODULE, "sql", "--project", str(project.path), "--format", "parquet", QUERY],
        capture_output=True, check=True,
    )  # fmt: skip
    table = pq.read_table(io.BytesIO(done.stdout))
    assert table["request_id"].to_pylist() == ["r0", "r1", "r2"]
    assert table["probabilities"].to_pylist()[0] == [0.25, 0.75]


def test_a_query_from_a_file_or_from_standard_input(
    at: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "query.sql"
    path.write_text("-- grüße\n" + QUERY + ";\n", encoding="utf-8")
    expected = at("sql", "--json", QUERY).out
    assert at("sql", "--json", "-f", path).out == expected
    monkeypatch.setattr(sys, "stdin", io.StringIO(QUERY))
    assert at("sql", "--json", "-").out == expected
    assert at("sql", "-f", tmp_path / "none.sql").code == 2


@pytest.mark.parametrize(("limit", "rows", "more"), [(5, 5, True), (40, 40, False), (0, 0, True)])
def test_the_row_limit_says_when_it_cut(at: Run, limit: int, rows: int, more: bool) -> None:
    done = at("sql", "--json", "--limit", limit, "FROM inferences")
    assert done.code == 0
    assert len(json.loads(done.out)) == rows
    assert ("there are more" in done.err) == more


def test_a_table_is_cut_and_data_is_not(at: Run) -> None:
    query = "SELECT range FROM range(1200)"
    table = at("sql", query)
    assert len(table.out.splitlines()) == 1002
    assert "first 1,000 rows" in table.err
    assert len(json.loads(at("sql", "--json", query).out)) == 1200


def test_a_long_query_ends_with_4(at: Run) -> None:
    started = time.monotonic()
    done = at("sql", "--timeout", 0.5, SLOW)
    assert (done.code, done.out) == (4, "")
    assert "--timeout" in done.err
    assert time.monotonic() - started < 10


def _ended(process: subprocess.Popen[str], seconds: float) -> tuple[int, str, str]:
    """Press Ctrl-C, and how the process ended; it is killed when it does not end in time."""
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
        process.wait()
    return process.returncode, out, err


def _begun(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*MODULE, *(str(argument) for argument in arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_an_interrupted_query_ends_at_once_with_130(project: Folder) -> None:
    process = _begun("sql", "--project", project.path, SLOW)
    # Nothing tells that a query runs; imports take a second or two.
    time.sleep(3)
    code, out, err = _ended(process, 15)
    assert (code, out, err.strip()) == (130, "", "Interrupted.")


def test_an_interrupted_build_ends_with_130_and_is_finished_later(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "project")
    folder.write("logs/a.jsonl", lines(inference(n) for n in range(20_000)))
    process = _begun("build", "--project", folder.path)
    assert process.stderr is not None
    # The first line of the narration: the build has begun.
    first = process.stderr.readline()
    code, out, err = _ended(process, 60)
    assert (code, out) == (130, "")
    assert "Traceback" not in first + err
    assert err.rstrip().endswith("Interrupted.")
    folder.build()
    assert folder.status()["inferences"]["accepted"] == 20_000
    assert folder.status()["inferences"]["duplicate"] == 0


def test_a_reader_that_goes_away_is_no_error(project: Folder) -> None:
    command = f"{sys.executable} -m workbench.cli.main sql --project '{project.path}' --json "
    done = subprocess.run(
        ["bash", "-c", command + "'FROM range(20000)' | head -n 1; exit ${PIPESTATUS[0]}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "[\n", "")


# --- export -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv"])
def test_exports(at: Run, tmp_path: Path, form: str) -> None:
    path = tmp_path / f"out.{form}"
    done = at("export", "enriched_inferences", "-o", path, "--json", "--where", "confidence >= 0.5",
              "--columns", "request_id, output,confidence")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    content = path.read_bytes()
    assert list(found) == ["path", "rows", "bytes", "sha256", "stages"]
    assert (found["path"], found["rows"], found["bytes"]) == (str(path), 20, len(content))
    assert found["sha256"] == hashlib.sha256(content).hexdigest()
    relation = duckdb.sql(f"FROM '{path}'")
    assert relation.columns == ["request_id", "output", "confidence"]
    assert len(relation.fetchall()) == 20
    assert {row[1] for row in relation.fetchall()} == {'grüß "you", 🎉\nbye'}
    assert min(row[2] for row in relation.fetchall()) == 0.5


def test_a_file_that_exists_is_kept_unless_forced(at: Run, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("mine")
    done = at("export", "labels", "-o", path)
    assert (done.code, done.out) == (2, "")
    assert "--force" in done.err
    assert path.read_text() == "mine"
    forced = at("export", "labels", "-o", path, "--force")
    assert (forced.code, forced.out) == (0, "")
    assert "Wrote 20 rows" in forced.err
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out.csv"]


def test_a_limited_export_is_the_same_sample_each_time(at: Run, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.csv", "b.csv")]
    for path in files:
        at("export", "enriched_inferences", "-o", path, "--limit", 7, "--columns", "request_id")
    assert files[0].read_bytes() == files[1].read_bytes()
    rows = files[0].read_text().split()[1:]
    assert len(rows) == len(set(rows)) == 7
    assert rows != [f"r{n}" for n in range(7)]


def test_an_unknown_column_of_an_export(at: Run, tmp_path: Path) -> None:
    done = at("export", "labels", "-o", tmp_path / "x.csv", "--columns", "requst_id")
    assert done.code in (1, 2, 3)
    assert "request_id" in done.err
    assert list(tmp_path.iterdir()) == []


# --- doctor -------------------------------------------------------------------------------------


def test_doctor(at: Run, tmp_path: Path) -> None:
    checks = json.loads(at("doctor", "--json").out)
    assert all(list(check) == ["check", "ok", "found"] and check["ok"] for check in checks)
    assert {"workbench", "contract", "configuration", "build"} <= {c["check"] for c in checks}
    nowhere = at("doctor", "--project", tmp_path)
    assert nowhere.code == 0
    (tmp_path / "workbench.toml").write_text("not toml")
    broken = at("doctor", "--project", tmp_path, "--json")
    assert broken.code == 1
    [wrong] = [check for check in json.loads(broken.out) if not check["ok"]]
    assert wrong["check"] == "configuration"
    assert "configuration" in broken.err


_EVENT = {"request_id": "r1", "ts": "2026-03-01T00:00:00Z", "name": "thumb", "value": 1}


def test_the_schema_of_feedback(at: Run) -> None:
    done = at("doctor", "--schema", "feedback")
    schema = json.loads(done.out)
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    valid = validator(schema).is_valid
    assert valid(_EVENT)
    assert valid({**_EVENT, "kind": "binary", "rater_kind": "human", "tags": ["a"]})
    assert valid({**_EVENT, "value": True})
    for bad in (
        {},
        [],
        {name: value for name, value in _EVENT.items() if name != "ts"},
        {**_EVENT, "kind": "thumbs"},
        {**_EVENT, "rater_kind": "alien"},
        {**_EVENT, "scope": "world"},
        {**_EVENT, "schema_version": 2},
        {**_EVENT, "request_id": 7.5},
        {name: value for name, value in _EVENT.items() if name != "value"},
    ):
        assert not valid(bad), bad
    assert at("doctor", "--schema", "inferences").code == 2
