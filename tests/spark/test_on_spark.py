"""A build on Spark holds what a build on DuckDB holds, and is read, kept and removed like one."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import duckdb
import ibis
import ibis.expr.types as ir
import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

import workbench as wb
from tests.cli.conftest import run
from tests.soundness.tables import spark_server
from tests.spark.same import KEYS, differ, differences
from workbench.build import on_spark
from workbench.configuration._contexts import _JOINS
from workbench.contexts import (
    ContextJoin,
    JoinSpec,
    age_column,
    contexts,
    known_column,
    reason_column,
)
from workbench.demo import generate
from workbench.errors import ConfigError, DataError

#: What the demo does not have of what a project can have: other settings, and one more context.
OTHERS = {
    "\n[inferences]\n": '\n[inferences]\nstorage = "in_place"\n',
    "\n[attribution]\n": '\n[attribution]\ncredit = "discounted"\nclock_skew = "correct"\n',
    'maturity = "0s"': 'maturity = "2d"',
}
MORE = """
[context.why]
join = "explain"
model = "model.joblib"
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The demo with every context, built on DuckDB and on Spark."""
    pytest.importorskip("shap")
    one = tmp_path_factory.mktemp("both") / "duckdb"
    generate(one, n=1_000)
    settings = one / "workbench.toml"
    text = settings.read_text() + MORE
    for old, new in OTHERS.items():
        assert old in text
        text = text.replace(old, new, 1)
    settings.write_text(text)
    features = wb.open(one).project.inferences.features
    numbers = [name for name, kind in features.items() if kind in ("DOUBLE", "BIGINT")]
    model = LinearRegression().fit(np.eye(len(numbers)), np.arange(len(numbers)))
    model.feature_names_in_ = np.array(numbers, dtype=object)
    joblib.dump(model, one / "model.joblib")
    other = one.with_name("spark")
    shutil.copytree(one, other)
    wb.open(one).build()
    done = run("--project", other, "build", "--json", "--engine", "spark", "--remote",
               spark_server())  # fmt: skip
    assert done.code == 0, done.err
    return one, other


def test_every_table_is_that_of_duckdb(both: tuple[Path, Path]) -> None:
    one, other = both
    project = wb.open(one).project
    assert {context.join for context in project.contexts} == set(contexts.names())
    assert {c.log for c in project.contexts} >= {"inferences", "feedback"}
    assert differences(one, other) == []
    held = wb.open(other).current
    # What is not compared would not have been.
    rows = {name: held.count(f"FROM narrow.{name}") for name in KEYS}
    assert {name for name, n in rows.items() if not n} <= {"enriched_steps"}


def test_a_difference_of_one_value_is_found() -> None:
    kind = "STRUCT(a DOUBLE, b STRUCT(c DOUBLE)[], d VARCHAR)"
    value = "{{'a': {}, 'b': [{{'c': {}}}], 'd': '{}'}}"
    same, first = value.format("0.3", "1e300", "x"), value.format("0.1 + 0.2", "1e300", "x")
    for other, differs in (
        (first, False),
        (value.format("0.3", "1e300", "y"), True),
        (value.format("0.3", "1.00001e300", "x"), True),
        (value.format("NULL", "1e300", "x"), True),
        (value.format("0.3", "'inf'::DOUBLE", "x"), True),
        (same.replace("[{'c': 1e300}]", "[]"), True),
        ("NULL", True),
    ):
        sql = f"SELECT {differ('a', 'b', kind)} FROM (SELECT {same}::{kind} a, {other}::{kind} b)"
        assert duckdb.sql(sql).fetchall() == [(differs,)], other


def test_a_build_of_spark_is_read_where_it_was_moved(
    both: tuple[Path, Path], tmp_path: Path
) -> None:
    one, other = both
    moved = Path(shutil.copytree(other, tmp_path / "moved"))
    query = "SELECT label, count(*), sum(n_feedback) FROM enriched_inferences GROUP BY 1 ORDER BY 1"
    with wb.open(moved).current as here, wb.open(one).current as there:
        assert here.arrow(query).equals(there.arrow(query))
    exported = tmp_path / "rows.parquet"
    assert wb.open(moved).export("enriched_feedback", exported)["rows"] == wb.open(
        one
    ).current.count("FROM narrow.enriched_feedback")
    manifest = json.loads((moved / ".workbench" / "current").read_text())
    assert manifest["engine"] == "spark"


def test_what_duckdb_builds_after_spark_is_whole(both: tuple[Path, Path], tmp_path: Path) -> None:
    moved = Path(shutil.copytree(both[1], tmp_path / "moved"))
    project = wb.open(moved)
    folder = moved / ".workbench" / "builds"
    (made,) = folder.glob("*/")
    (folder / "20200101T000000-killed" / "labels").mkdir(parents=True)
    assert project.build(spark=spark_server())["fresh"] is False
    assert [path.name for path in folder.glob("*/")] == [made.name]
    with (moved / "logs" / "feedback" / "late.jsonl").open("w") as late:
        late.write(next((moved / "logs" / "feedback").glob("*.jsonl")).read_text().splitlines()[0])
    assert project.build()["fresh"] is True
    assert wb.open(moved).current.manifest["engine"] == "duckdb"
    assert made.exists()
    assert project.prune(1)["removed"] == [made.name]
    assert not made.exists()


SMALL = """
[inferences]
source = "calls.jsonl"
[feedback]
source = "feedback.jsonl"
"""
FOREIGN = """
[context.twin]
join = "alike"
"""


@ibis.udf.scalar.builtin(name="jaro_winkler_similarity")
def _alike(a: str, b: str) -> float: ...  # type: ignore[empty-body]


class _Plugin:
    """What another package would register."""

    name = "alike"

    def load(self) -> ContextJoin:
        def join(inferences: ir.Table, _: ir.Table, spec: JoinSpec) -> ir.Table:
            alike = ibis.struct({"score": _alike(inferences["request_id"], "r")})
            return inferences.mutate(
                **{
                    spec.name: alike,
                    age_column(spec.name): ibis.null("float64"),
                    reason_column(spec.name): ibis.null("string"),
                    known_column(spec.name): ibis.null("timestamp('UTC')"),
                }
            )

        return ContextJoin(join=join, keys="none", source="none", columns="none")


def small(folder: Path, settings: str = "") -> wb.Workbench:
    (folder / "workbench.toml").write_text(SMALL + settings)
    call = {"request_id": "r1", "ts": "2026-01-01T00:00:00Z", "model_version": "v1"}
    (folder / "calls.jsonl").write_text(json.dumps(call) + "\n")
    (folder / "feedback.jsonl").write_text("")
    return wb.open(folder)


def test_rows_that_a_worker_kept_for_itself_are_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Sail cannot count, so its word is put in: it made 7 rows of a table of which none is here.
    said = SimpleNamespace(get={"n": 7})
    monkeypatch.setattr(on_spark.Spark, "_counted", lambda _, rows: (rows, said))
    with pytest.raises(DataError, match=r"wrote 7 rows of narrow.clocks, and 0 of them are here"):
        small(tmp_path).build(spark=spark_server())
    assert not (tmp_path / ".workbench" / "current").exists()


def test_a_context_that_spark_does_not_know_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for registry in (contexts, _JOINS):
        monkeypatch.setitem(registry.__dict__, "_plugins", {_Plugin.name: _Plugin()})
        monkeypatch.setattr(registry, "_loaded", {})
    with pytest.raises(DataError, match=r"\[context.twin\] failed on Spark") as failed:
        small(tmp_path, FOREIGN).build(spark=spark_server())
    assert "leave [context.twin] out" in failed.value.hint
    assert not (tmp_path / ".workbench" / "current").exists()
    assert wb.open(tmp_path).build()["fresh"]
    assert [path.name for path in (tmp_path / ".workbench" / "builds").glob("*/")] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--engine", "spark"], "workbench build --engine spark --remote sc://host:15002"),
        (["--remote", "sc://127.0.0.1:9"], "--remote is the server of --engine spark."),
        (["--engine", "spark", "--remote", "sc://127.0.0.1:9", "--watch"], "Leave out --watch"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    both: tuple[Path, Path], options: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    done = run("--project", both[0], "build", *options)
    assert done.code == 2
    assert said in done.err


def test_errors_say_what_to_do(
    both: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = wb.open(both[0])
    for remote, said in (
        ("127.0.0.1:15002", "sc://host:15002"),
        ("sc://127.0.0.1:9", "No Spark Connect server answers at 127.0.0.1:9"),
        (
            "sc://no.such.host.invalid",
            "No Spark Connect server answers at no.such.host.invalid:15002",
        ),
    ):
        with pytest.raises(ConfigError, match=said):
            project.build(spark=remote)
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(ConfigError, match=r"feedback-workbench\[spark\]"):
        project.build(spark="sc://127.0.0.1:9")
