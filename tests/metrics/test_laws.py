"""Laws that every registered metric obeys; a new file in the package is under them at once."""

from __future__ import annotations

import math
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.metrics.rows import SCHEMA, evaluate, run, stored, table
from workbench.errors import ConfigError
from workbench.metrics import FAMILIES, REASONS, metrics

NAN = float("nan")
KEYS = ["metric", "by", "value", "low", "high", "n", "n_labelled", "reason"]
CALLS = [
    *metrics.names(),
    "ece(bins=3, bin_rule='guo')",
    "ece(bins=3, bin_rule='equal_mass')",
    "ece(bins=3, bin_rule='ntile')",
    "mce(bins=3, least=3)",
    "l2_calibration_error(correction='none')",
    "classwise_ece(absent='skip')",
    "ecce_r(scaled=True)",
    "ips_value(min_effective=0)",
    "snips_value(min_effective=0)",
    "clipped_ips_value(cap=2, min_effective=0)",
    "error_detection_auroc(score='mean_logprob')",
    "error_capture_rate(share=0.25)",
    "error_capture_rate(share=1, score='mean_logprob')",
]

unit = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0]) | st.floats(0, 1)
broken = st.none() | st.just(NAN)
a_row = st.fixed_dictionaries(
    {
        "calibration_p": unit | broken,
        "calibration_y": st.sampled_from([0.0, 1.0, None]),
        "score": unit | st.none(),
        "correct": st.sampled_from([True, False, None]),
        "reward": unit | broken,
        "label": st.sampled_from(["1", "0", None]),
        "selected": st.sampled_from([True, False, None]),
        "positive": st.sampled_from([True, False, None]),
        "model_version": st.sampled_from(["v1", "v2", None]),
        "n_events": st.sampled_from([0, 1, 2, None]),
        "propensity": unit | broken,
        "n_choices": st.sampled_from([0, 1, 3, None]),
        "probabilities": st.none() | st.lists(unit | broken, min_size=2, max_size=3),
        "label_index": st.sampled_from([0, 1, 2, None]),
        "agreement": unit | broken,
        "n_raters": st.sampled_from([0, 1, 2, 5]),
        "least_confidence": unit | broken,
        "mean_logprob": st.sampled_from([-0.1, -2.5, -1000.0, None]),
    }
)
some_rows = st.lists(a_row, min_size=1, max_size=25)
law = settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))


def close(one: dict[str, Any], other: dict[str, Any]) -> bool:
    same = all(one[key] == other[key] for key in ("metric", "n", "n_labelled", "reason"))
    numbers = [(one[key], other[key]) for key in ("value", "low", "high")]
    return same and all(
        (a is None and b is None)
        or (a is not None and b is not None and math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12))
        for a, b in numbers
    )


def is_sound(row: dict[str, Any]) -> None:
    assert list(row) == KEYS
    assert (row["value"] is None) == (row["reason"] in REASONS)
    assert row["reason"] is None or row["value"] is None
    assert (row["low"] is None) == (row["high"] is None)
    assert type(row["n"]) is int
    assert type(row["n_labelled"]) is int
    if row["value"] is None:
        assert row["n"] == 0
        assert row["low"] is None
    else:
        assert math.isfinite(row["value"])
        assert row["n"] > 0
        if row["low"] is not None:
            assert row["low"] <= row["value"] <= row["high"]


@pytest.mark.parametrize("name", metrics.names())
def test_a_metric_says_what_it_is(name: str) -> None:
    metric = metrics.get(name)
    assert metric.name == name
    guide = metric.guide
    for text in (metric.about, guide.shows, guide.read, guide.do, guide.definition):
        assert text.endswith((".", "`.", ".)"))
        assert text[0].isupper() or text[0] in "`0123456789"
    assert metric.family in FAMILIES
    assert metric.needs
    assert metric.better in ("higher", "lower", "none")
    assert all(param.about for param in metric.params.values())
    assert (metric.expr is None) == (metric.state is not None and metric.estimate is not None)


@law
@given(some_rows)
def test_values_are_sound_whatever_the_rows(rows: list[dict[str, Any]]) -> None:
    for by in ((), ("model_version",)):
        found = evaluate(table(rows), CALLS, by)
        for row in found:
            is_sound(row)
            assert list(row["by"]) == list(by)
        groups = {row["model_version"] for row in rows} if by else {None}
        assert len(found) == len(CALLS) * len(groups)


@law
@given(some_rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[dict[str, Any]], random: Any) -> None:
    before = evaluate(table(rows), CALLS, ["model_version"])
    random.shuffle(rows)
    after = evaluate(table(rows), CALLS, ["model_version"])
    assert all(close(a, b) for a, b in zip(before, after, strict=True))
    assert [row["by"] for row in before] == [row["by"] for row in after]


@law
@given(some_rows)
def test_no_groups_equals_one_big_group(rows: list[dict[str, Any]]) -> None:
    whole = evaluate(table(rows), CALLS, ())
    grouped = evaluate(table([{**row, "country": "one"} for row in rows]), CALLS, ["country"])
    assert all(close(a, b) for a, b in zip(whole, grouped, strict=True))


@law
@given(some_rows)
def test_a_group_does_not_depend_on_the_others(rows: list[dict[str, Any]]) -> None:
    together = evaluate(table(rows), CALLS, ["model_version"])
    version = rows[0]["model_version"]
    alone = evaluate(table([row for row in rows if row["model_version"] == version]), CALLS, ())
    chosen = [row for row in together if row["by"]["model_version"] == version]
    assert all(close(a, b) for a, b in zip(chosen, alone, strict=True))


@law
@given(some_rows)
def test_weight_one_is_no_weight(rows: list[dict[str, Any]]) -> None:
    plain = evaluate(table(rows), CALLS, ["model_version"])
    ones = table(rows).mutate(w=ibis.literal(1.0))
    assert all(
        close(a, b)
        for a, b in zip(plain, evaluate(ones, CALLS, ["model_version"], weight="w"), strict=True)
    )


@law
@given(st.lists(st.tuples(a_row, st.integers(0, 3)), min_size=1, max_size=20))
def test_weight_two_is_the_row_twice(rows: list[tuple[dict[str, Any], int]]) -> None:
    """The values are; the number of rows stays, and the interval is that of the effective size."""
    weighted = stored(
        table([row for row, _ in rows])
        .to_pyarrow()
        .append_column("w", pa.array([float(w) for _, w in rows], pa.float64()))
    )
    repeated = table([row for row, times in rows for _ in range(times)])
    for one, other in zip(
        evaluate(weighted, CALLS, (), weight="w"), evaluate(repeated, CALLS, ()), strict=True
    ):
        is_sound(one)
        if other["value"] is None:
            assert one["value"] is None
        else:
            assert one["value"] == pytest.approx(other["value"], rel=1e-9, abs=1e-12)


@law
@given(some_rows)
def test_rows_without_a_value_are_not_counted(rows: list[dict[str, Any]]) -> None:
    """NULL and NaN in everything: the values stay, and so do their numbers of rows."""
    nothing: dict[str, Any] = {"calibration_p": NAN, "calibration_y": None, "reward": None}
    less = {**nothing, "calibration_p": None, "calibration_y": 1.0}
    calls = [call for call in CALLS if call != "label_coverage"]
    before = evaluate(table(rows), calls, ())
    after = evaluate(table([*rows, nothing, less]), calls, ())
    for a, b in zip(before, after, strict=True):
        if a["value"] is not None:
            assert close(a, b)
        else:
            assert b["value"] is None


@pytest.mark.parametrize("call", CALLS)
def test_no_rows_give_no_value(call: str) -> None:
    nothing = table([])
    (row,) = evaluate(nothing, [call], ())
    assert row == {
        "metric": call,
        "by": {},
        "value": None,
        "low": None,
        "high": None,
        "n": 0,
        "n_labelled": 0,
        "reason": "empty",
    }
    assert evaluate(nothing, [call], ["country"]) == []


@pytest.mark.parametrize("call", CALLS)
def test_unlabelled_rows_have_coverage_and_no_quality(call: str) -> None:
    row = {"calibration_p": 0.7, "selected": True, "model_version": "v1", "n_events": 0}
    row["score"] = 0.7
    rows = table([row] * 4)
    (row,) = evaluate(rows, [call], ())
    is_sound(row)
    if metrics.get(call.partition("(")[0]).over == "labelled":
        assert (row["value"], row["n"], row["reason"]) == (None, 0, "empty")
    else:
        assert row["n"] == 4
    assert row["n_labelled"] == 0


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("y", [0.0, 1.0])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_one_class_and_one_score_are_sound(call: str, y: float, p: float) -> None:
    one = {"calibration_p": p, "calibration_y": y, "correct": bool(y), "reward": y, "label": "1"}
    for rows in ([one], [one] * 3):
        (row,) = evaluate(table(rows), [call], ())
        is_sound(row)


@pytest.mark.parametrize("call", CALLS)
def test_labelled_rows_without_what_is_needed(call: str) -> None:
    (row,) = evaluate(table([{"label": "1"}] * 3), [call], ())
    is_sound(row)
    if call != "label_coverage":
        assert row["reason"] == "not_applicable"
        assert row["n_labelled"] == 3


@pytest.mark.parametrize("call", CALLS)
def test_a_missing_column_is_a_reason_and_not_an_exception(call: str) -> None:
    rows = table([{"label": "1", "country": "de"}, {"label": "0"}])
    needed = metrics.get(call.partition("(")[0]).needs[0]
    found = evaluate(rows.drop(needed), [call, "accuracy"], ["country"])
    assert [row["by"] for row in found[:2]] == [{"country": "de"}, {"country": None}]
    assert all(row["reason"] == "missing_column" for row in found[:2])
    for row in found:
        is_sound(row)


def test_a_single_number_has_no_interval_of_its_mean() -> None:
    one = {"reward": 0.4, "calibration_p": 0.4, "calibration_y": 1.0}
    for row in evaluate(table([one]), ["reward_mean", "brier_score", "ece"], ()):
        assert row["n"] == 1
        assert row["low"] is None


def test_equal_numbers_have_an_interval_of_some_width() -> None:
    (row,) = evaluate(table([{"reward": 0.1}] * 3), ["reward_mean"], ())
    assert row["high"] - row["low"] > 0.3
    (row,) = evaluate(table([{"reward": 1.0}] * 3), ["reward_mean"], ())
    assert row["low"] < 0.5
    assert row["high"] == 1


def test_null_values_are_a_group_of_their_own_and_last() -> None:
    rows = table([{"country": c, "label": "1"} for c in ("b", None, "a", None)])
    found = evaluate(rows, ["label_coverage"], ["country"])
    assert [(row["by"]["country"], row["n"]) for row in found] == [("a", 1), ("b", 1), (None, 2)]


def test_groups_may_have_any_name_and_any_type() -> None:
    data = {
        "n": pa.array([1, 1, None]),
        "value": pa.array([NAN, NAN, 2.0]),
        "user": pa.array([{"tier": "free"}, {"tier": "free"}, None]),
        "label": pa.array(["1", "0", None]),
        "tags": pa.array([["x"], ["x"], None]),
        "calibration_p": [0.1, 0.2, 0.3],
        "calibration_y": [0.0, 1.0, 1.0],
    }
    rows = ibis.memtable(pa.table(data))
    by = ["n", "value", "user", "label", "tags", "calibration_p"]
    found = evaluate(rows, ["ece", "brier_score"], by)
    assert len(found) == 6
    assert all(row["n"] == 1 for row in found)
    first = found[0]["by"]
    assert list(first) == by
    assert first["user"] == {"tier": "free"}
    assert math.isnan(first["value"])
    assert len(evaluate(rows, ["ece"], ["value", "user", "value"])) == 2


def test_an_unknown_group_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'country'"):
        evaluate(table([]), ["ece"], ["contry"])


def test_simple_metrics_share_one_scan() -> None:
    statements: list[str] = []

    def execute(sql: str) -> pa.Table:
        statements.append(sql)
        return run(sql)

    simple = [name for name in metrics.names() if metrics.get(name).expr is not None]
    assert len(simple) >= 5
    evaluate(table([{"label": "1"}]), simple, ["country"], execute)
    assert len(statements) == 1
    evaluate(table([{"label": "1"}]), [*simple, "ece"], ["country"], execute)
    assert len(statements) == 3


def test_sql_that_is_kept_gives_what_is_compiled_anew() -> None:
    """For other rows, other weights, other columns and other types."""
    rng = np.random.default_rng(3)

    def some(n: int) -> ir.Table:
        p = rng.choice([0.0, 0.1, 0.3, 0.6, 0.95, 1.0], n)
        rows = [
            {"calibration_p": a, "calibration_y": float(b), "score": a, "correct": bool(b),
             "label": str(int(b)), "label_index": int(b), "probabilities": [1 - a, a],
             "reward": a, "selected": bool(a > 0.5), "positive": bool(b), "propensity": 0.5,
             "n_choices": 2, "model_version": f"v{int(v)}", "least_confidence": 1 - a,
             "mean_logprob": -a, "n_events": int(v), "agreement": a, "n_raters": 2,
             "country": "de" if c < 2 else None}
            for a, b, v, c in zip(p, rng.integers(0, 2, n), rng.integers(0, 3, n),
                                  rng.integers(0, 4, n), strict=True)
        ]  # fmt: skip
        return table(rows).mutate(w=lambda found: found.calibration_p + 1.0)

    first, other = some(60), some(80)
    evaluate(first, CALLS, ["country"])
    most = other.group_by("country").mutate(most=lambda found: found.calibration_p.max())
    joined = most.filter(most.most > 0.5).drop("most").union(first.limit(9))
    narrow = other.mutate(calibration_p=other.calibration_p.cast("float32")).drop("reward")
    for rows, weight in [(joined, None), (other, "w"), (narrow, None)]:
        kept = evaluate(rows, CALLS, ["country"], weight=weight)
        anew = evaluate(rows, CALLS, ["country"], None, weight)
        assert all(close(a, b) for a, b in zip(kept, anew, strict=True))
        assert [row["by"] for row in kept] == [row["by"] for row in anew]


def test_probabilities_outside_their_range_are_left_out() -> None:
    rows = [
        {"calibration_p": p, "calibration_y": 1.0, "label": "1"} for p in (0.5, 1.5, -0.1, math.inf)
    ]
    for row in evaluate(table(rows), ["brier_score", "ece"], ()):
        assert row["n"] == 1
        assert row["n_labelled"] == 4


def test_columns_of_null_type_are_columns_without_values() -> None:
    rows = ibis.memtable(pa.table({name: pa.nulls(2, pa.null()) for name in SCHEMA.names}))
    for row in evaluate(rows, CALLS, ["country"]):
        is_sound(row)


def test_adding_a_metric_is_adding_one_file(tmp_path: Any, monkeypatch: Any) -> None:
    import workbench.metrics as package

    (tmp_path / "latency_seconds_mean.py").write_text(
        '"""Mean latency in seconds.\n\nOver all rows.\n"""\n'
        "from __future__ import annotations\n\n"
        "from workbench.metrics import simple_metric\n\n"
        "metric = simple_metric(\n"
        '    family="quality",\n'
        "    expr=lambda rows: rows.latency_ms / 1000,\n"
        '    needs=("latency_ms",),\n'
        '    better="lower",\n'
        '    over="all",\n'
        '    interval="none",\n'
        ")\n"
    )
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    assert metrics.get("latency_seconds_mean").about == "Mean latency in seconds."
    rows = ibis.memtable({"latency_ms": [500.0, 1500.0, None]})
    (row,) = evaluate(rows, ["latency_seconds_mean"], ())
    assert (row["value"], row["n"], row["low"]) == (1.0, 2, None)
