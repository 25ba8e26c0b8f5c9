"""Every macro against a second definition, and what a person sees who types it."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.macros.conftest import make_build
from workbench import contract
from workbench.errors import ConfigError, QueryError
from workbench.formulas import BIN_RULES
from workbench.macros import Given, definitions, macros
from workbench.measure import measure
from workbench.metrics import metrics
from workbench.query import Build, open_build

Rows = list[dict[str, Any]]


def ask(build: Build, sql: str) -> Rows:
    return build.run(sql, limit=None).table.to_pylist()


def close(a: Any, b: Any) -> bool:
    if a is None or b is None or not isinstance(a, float):
        return bool(a == b)
    return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-14)


# -- the shape -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", macros.names())
def test_a_macro_is_a_view_with_the_columns_of_the_contract(build: Build, name: str) -> None:
    declared = {column.name: column.type for column in contract.table(name).columns.values()}
    assert build.columns(name) == declared
    described = ask(build, f"DESCRIBE FROM {name}()")
    assert {row["column_name"]: row["column_type"] for row in described} == declared
    assert ask(build, f"FROM {name}()") == ask(build, f"FROM {name}")


@pytest.mark.parametrize("name", macros.names())
def test_a_macro_says_what_it_is(build: Build, name: str) -> None:
    macro = macros.get(name)
    guide = macro.guide
    for text in (guide.at_a_glance, guide.shows, guide.read, guide.do, guide.definition):
        assert text.endswith(".")
        assert text[0].isupper() or text[0] == "`"
    assert build.macros()[name] == f"{name}({', '.join(macro.arguments)})"
    assert f"{name}({', '.join(macro.arguments)})" in contract.table(name).comment


@pytest.mark.parametrize("name", macros.names())
def test_a_macro_of_no_rows_is_empty_and_not_an_error(tmp_path: Path, name: str) -> None:
    with open_build(make_build(tmp_path, [], [])) as build:
        assert ask(build, f"FROM {name}") == []


@pytest.mark.parametrize("name", macros.names())
def test_groups_are_those_of_the_expression_and_rows_those_that_are_kept(
    build: Build, name: str
) -> None:
    whole = ask(build, f"FROM {name}(keep := model_version = 'v1')")
    grouped = ask(build, f"FROM {name}(per := model_version) WHERE per = 'v1'")
    assert whole
    assert [{**row, "per": None} for row in grouped] == whole
    crossed = ask(build, f"FROM {name}(per := {{'v': model_version, 'early': request_id < 'r3'}})")
    assert {row["per"]["v"] for row in crossed} >= {"v1", "v2"}
    assert {row["per"]["early"] for row in crossed} == {True, False}
    assert ask(build, f"FROM {name}(keep := false)") == []
    assert ask(build, f"FROM {name}(keep := NULL)") == []


# -- the numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", BIN_RULES)
@pytest.mark.parametrize("bins", [1, 7, 10])
def test_the_reliability_table_adds_up_to_the_ece(build: Build, bins: int, rule: str) -> None:
    call = f"calibration(per := model_version, bins := {bins}, bin_rule := '{rule}')"
    found = ask(build, f"SELECT per, sum(share * abs(gap)) AS ece, sum(n) AS n FROM {call} "
                "GROUP BY per ORDER BY per")  # fmt: skip
    expected = measure(build, [f"ece(bins={bins}, bin_rule='{rule}')"], ["model_version"])
    assert len(found) == len(expected) == 3
    for one, other in zip(found, expected, strict=True):
        assert one["per"] == other["by"]["model_version"]
        assert close(one["ece"], other["value"])
        assert one["n"] == other["n"]


def test_the_reliability_table_is_that_of_numpy(build: Build, inferences: Rows) -> None:
    known = [r for r in inferences if None not in (r["calibration_p"], r["calibration_y"])]
    p = np.array([r["calibration_p"] for r in known])
    y = np.array([r["calibration_y"] for r in known])
    edges = np.linspace(0, 1, 8)
    n, _ = np.histogram(p, edges)
    sp, _ = np.histogram(p, edges, weights=p)
    sy, _ = np.histogram(p, edges, weights=y)
    found = ask(build, "FROM calibration(bins := 7)")
    assert [row["bin"] for row in found] == list(range(7))
    for row, a, b, c in zip(found, n, sp, sy, strict=True):
        assert row["n"] == a
        assert close(row["share"], a / len(p))
        assert close(row["mean_predicted"], b / a)
        assert close(row["observed"], c / a)
        assert math.isclose(row["gap"], (b - c) / a, abs_tol=1e-14)
        assert row["low"] < row["observed"] < row["high"]


@pytest.mark.parametrize("by", [None, "model_version", "channel"])
def test_group_metrics_are_the_metrics(build: Build, by: str | None) -> None:
    simple = [m.name for m in metrics if m.expr is not None
              and not set(m.needs) & set(contract.WIDE_COLUMNS)]  # fmt: skip
    call = "group_metrics()" if by is None else f"group_metrics(per := {by})"
    found = {(row["metric"], row["per"]): row for row in ask(build, f"FROM {call}")}
    expected = measure(build, simple, [by] if by else [])
    assert len(found) == len(expected)
    for row in expected:
        other = found[row["metric"], row["by"].get(by)]
        for key in ("value", "low", "high", "n", "n_labelled", "reason"):
            assert close(row[key], other[key]), (row, other)


def test_group_metrics_say_why_a_value_is_missing(build: Build) -> None:
    call = "group_metrics(keep := positive IS NOT true)"
    found = {row["metric"]: row for row in ask(build, f"FROM {call}")}
    assert found["true_positive_rate"]["reason"] == "no_positives"
    assert found["true_positive_rate"]["value"] is None


def test_uncertainty_by_bin(build: Build, inferences: Rows) -> None:
    found = ask(build, "FROM uncertainty(bins := 1)")
    bare = [r for r in inferences if r["calibration_p"] is None]
    rest = [r for r in inferences if r["calibration_p"] is not None]
    assert [row["bin"] for row in found] == [0, None]
    for row, group in zip(found, (rest, bare), strict=True):
        judged = [r["correct"] for r in group if r["correct"] is not None]
        assert (row["n"], row["n_judged"]) == (len(group), len(judged))
        assert close(row["correct"], float(np.mean(judged)))
    assert close(found[0]["margin"], float(np.mean([r["margin"] for r in rest])))
    assert found[1]["margin"] is None
    bins = ask(build, "SELECT bin, n FROM uncertainty WHERE bin IS NOT NULL")
    n, _ = np.histogram([r["calibration_p"] for r in rest], np.linspace(0, 1, 11))
    assert [row["n"] for row in bins] == list(n)


def test_agreement_of_the_latest_values_of_two_raters(build: Build, feedback: Rows) -> None:
    latest: dict[tuple[str, str, str], tuple[Any, ...]] = {}
    for event in feedback:
        if event["retracted"] or event["rater_id"] is None or event["value"] is None:
            continue
        key = (event["request_id"], event["name"], event["rater_id"])
        value = "0" if event["value"] == "0" else "1"
        found = (event["feedback_ts"], event["feedback_id"], value)
        latest[key] = max(latest.get(key, found), found)
    said: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for (request, name, rater), (_, _, value) in latest.items():
        said[request, name][rater] = value
    expected: dict[tuple[str, str, str], list[bool]] = defaultdict(list)
    for (_, name), values in said.items():
        for a, b in itertools.combinations(sorted(values), 2):
            expected[name, a, b].append(values[a] == values[b])
    rows = ask(build, "FROM agreement")
    assert len(rows) == len(expected) > 5
    for row in rows:
        same = expected[row["name"], row["rater_a"], row["rater_b"]]
        assert (row["n"], row["n_agree"]) == (len(same), sum(same))
        assert close(row["agreement"], sum(same) / len(same))
        assert row["low"] <= row["agreement"] <= row["high"]


def test_delays_are_those_of_numpy(build: Build, feedback: Rows) -> None:
    found = ask(build, "FROM label_delay")
    assert [row["name"] for row in found] == ["resolved", "thumb"]
    for row in found:
        events = [e for e in feedback if e["name"] == row["name"] and not e["retracted"]]
        delays = [e["delay"] for e in events if e["delay"] is not None]
        assert row["n"] == len(delays)
        assert row["n_no_clock"] == len(events) - len(delays) > 0
        assert row["n_early"] == sum(d < 0 for d in delays) > 0
        assert (row["shortest"], row["longest"]) == (min(delays), max(delays))
        assert close(row["median"], float(np.median(delays)))
        assert close(row["p90"], float(np.quantile(delays, 0.9)))


# -- what a person is told -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "message", "hint"),
    [
        ("FROM calibration(bin := 3)", "no parameter called 'bin'", "'bins'"),
        ("FROM calibration(by := model_version)", "no parameter called 'by'", "per"),
        ("FROM calibration(NULL, true, 3, 'guo', 5)", "4 parameters at most", "bin_rule"),
        ("FROM calibratoin(bins := 3)", "no relation 'calibratoin'", "'calibration'"),
        ("FROM calibration(bins := 0)", "bins must be a whole number", ""),
        ("FROM calibration(bin_rule := 'floor')", "bin_rule must be one of numpy", ""),
        ("FROM calibration(per := modle_version)", "modle_version", ""),
        ("FROM group_metrics(per := input)", "input", ""),
    ],
)
def test_mistakes_are_named(build: Build, sql: str, message: str, hint: str) -> None:
    with pytest.raises(QueryError) as caught:
        build.run(sql)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_parameter_that_does_not_exist_is_a_mistake_of_the_macro() -> None:
    given = Given(macros.get("calibration").arguments)
    with pytest.raises(ConfigError, match="no parameter 'pre'"):
        given.constant("pre")


@pytest.mark.parametrize("name", macros.names())
def test_no_mark_of_a_parameter_is_left(build: Build, name: str) -> None:
    macro = macros.get(name)
    rows = build.table(macro.relation, narrow=True)
    for sql in definitions(macro, rows):
        assert "macro_parameter" not in sql.lower()
