"""What a mark of a chart counts is what its condition finds; the numbers against numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.datasets import Slice
from workbench.errors import QueryError
from workbench.measure import measure
from workbench.query import Build, open_build
from workbench.reliability import reliability
from workbench.ui import data, data_drift, data_groups, data_reliability, data_uncertainty
from workbench.uncertainty import distribution, error_rates, scores

RULES = ("numpy", "right", "verified", "guo", "torchmetrics", "equal_mass", "ntile")
ROWS = "SELECT 1 AS x FROM narrow.enriched_inferences WHERE "


@pytest.fixture(scope="module")
def build(demo: Path) -> Build:
    return open_build(demo)


@pytest.mark.parametrize("rule", RULES)
def test_bins_are_those_of_the_calibration_error(build: Build, rule: str) -> None:
    rows = reliability(build, 12, rule).rows
    (ece,) = measure(build, [f"ece(bins=12, bin_rule={rule!r})"])
    n = sum(row["n"] for row in rows)
    gaps = sum(
        row["n"] * abs(row["predicted"] - row["observed"]) for row in rows if row["bin"] is not None
    )
    assert n == ece["n"]
    assert gaps / n == pytest.approx(ece["value"], abs=1e-12)
    assert all(row["low"] <= row["observed"] <= row["high"] for row in rows)
    for row in rows:
        assert build.count(ROWS + row["where"]) == row["n"]


def test_bins_of_groups_lead_to_their_rows(build: Build) -> None:
    found = data_reliability.bins_of(build, 5, "numpy", "features.language", "latency_ms > 0")
    assert len({row["mark"] for row in found.rows}) == len(found.rows)
    whole = reliability(build, 5, "numpy", where="latency_ms > 0").rows
    assert sum(row["n"] for row in found.rows) == sum(row["n"] for row in whole)
    for row in found.rows:
        where = f"latency_ms > 0 AND {row['where']}"
        assert build.count(f"SELECT 1 AS x FROM enriched_inferences WHERE {where}") == row["n"]
    assert build.arrow(found.sql).num_rows == len(found.rows)


def test_tenths_of_a_score_hold_what_sorting_gives(build: Build) -> None:
    held = build.arrow(
        "SELECT least_confidence AS v, correct FROM narrow.enriched_inferences "
        "WHERE correct IS NOT NULL AND least_confidence IS NOT NULL"
    )
    value, wrong = held["v"].to_numpy(), ~held["correct"].to_numpy(zero_copy_only=False)
    order = np.argsort(-value, kind="stable")
    value, wrong = value[order], wrong[order].astype(float)
    first = np.searchsorted(-value, -value, side="left")
    part = first * 10 // len(value) + 1
    found = error_rates(build, "least_confidence").rows
    assert [row["part"] for row in found] == sorted(set(part))
    for row in found:
        inside = part == row["part"]
        assert row["n"] == inside.sum() == build.count(ROWS + row["where"])
        assert row["value"] == pytest.approx(wrong[inside].mean())
        assert (row["first"], row["last"]) == (value[inside].min(), value[inside].max())
        assert row["low"] <= row["value"] <= row["high"]


def test_the_least_sure_answers_hold_the_errors_that_are_said(build: Build) -> None:
    errors = build.count(ROWS + "correct = false")
    for row in data_uncertainty.capture(build, "entropy", None):
        found = build.count(ROWS + f"correct = false AND {row['where']}")
        # A row on the border counts in part there and whole here.
        assert found / errors == pytest.approx(row["value"], abs=0.01)
        assert build.count(ROWS + row["where"]) == pytest.approx(row["share"] * row["n"], abs=15)


def test_a_score_of_which_small_means_unsure_is_turned(build: Build) -> None:
    from workbench.metrics import UNCERTAINTY_SCORES

    assert {name for name, sign in UNCERTAINTY_SCORES.items() if sign < 0} == {
        "sum_logprob", "mean_logprob", "min_logprob", "density",
    }  # fmt: skip
    assert scores(build) == ["least_confidence", "margin", "entropy"]


@pytest.mark.parametrize("score", ["least_confidence", "entropy"])
def test_ranges_of_a_score_part_all_rows(build: Build, score: str) -> None:
    rows = distribution(build, score).rows
    values = build.arrow(f"SELECT {score} AS v FROM narrow.enriched_inferences")["v"].to_numpy()
    counts, _ = np.histogram(values, bins=20)
    assert [row["n"] for row in rows] == [int(n) for n in counts if n]
    assert sum(row["n_wrong"] for row in rows) == build.count(ROWS + "correct = false")
    for row in rows:
        assert build.count(ROWS + row["where"]) == row["n"]


def test_wrong_rows_are_in_order(build: Build) -> None:
    for surest in (False, True):
        rows = data_uncertainty.wrong_rows(build, "entropy", None, surest=surest, limit=30)
        values = rows["entropy"].to_pylist()
        assert values == sorted(values, reverse=not surest)
        assert set(rows["correct"].to_pylist()) == {False}


def test_crossed_groups_lead_to_their_rows_and_small_ones_are_hidden(build: Build) -> None:
    by = ("device", "features.language")
    rows = data_groups.by_groups(build, "selection_rate", by, None, 150)
    hidden = [row for row in rows if row["reason"] == "suppressed"]
    assert hidden
    for row in rows:
        n = build.count(f"SELECT 1 AS x FROM enriched_inferences WHERE {row['where']}")
        assert row["n"] == (0 if row in hidden else n)


def test_too_many_crossed_groups_are_refused_and_pairs_lead_to_their_rows(build: Build) -> None:
    with pytest.raises(QueryError, match="groups together, more than 60"):
        data_groups.by_groups(build, "accuracy", ("hour(ts)", "features.language"), None, 0)
    by = ("features.language", "device")
    sizes = {
        tuple(row["by"].values()): build.count(
            f"SELECT 1 AS x FROM enriched_inferences WHERE {row['where']}"
        )
        for row in data_groups.by_groups(build, "accuracy", by, None, 0)
    }
    for row in data_groups.disparities(build, "accuracy", by, None, 20):
        if row["difference"] is not None:
            two = sum(sizes[tuple(row[end].values())] for end in ("lowest", "highest"))
            found = f"SELECT 1 AS x FROM enriched_inferences WHERE {row['where']}"
            assert build.count(found) == two


@pytest.mark.parametrize("reference", [None, "ts < '2026-03-10'"])
def test_chunks_lead_to_their_rows(build: Build, reference: str | None) -> None:
    rows = data_drift.followed(build, ("device",), "day", reference, (), None)
    for row in rows:
        assert build.count(ROWS + data_drift.in_chunk(row, reference)) == row["n"]
    assert build.count(data_drift.rows_sql(build, "device", "day", reference, None)) == 3000


@pytest.mark.parametrize("reference", [None, "ts < '2026-03-12'"])
def test_measured_accuracy_has_its_interval_beside_the_promise(
    build: Build, reference: str | None
) -> None:
    rows = data_drift.promised(build, "week", reference, (), None)
    own = [row for row in rows if row["column"] == "expected_accuracy"]
    for row in own:
        (one,) = measure(build, ["accuracy"], where=data_drift.in_chunk(row, reference))
        ends = ("low", "high", "n_labelled")
        assert [row[name] for name in ends] == [one[name] for name in ends]
        assert row["low"] <= row["measured"] <= row["high"]
    whole = data.measured(build, ("accuracy",), None)[0]
    assert sum(row["n_labelled"] for row in own) == whole["n_labelled"]


def test_a_preview_has_whole_rows_of_the_slice_and_no_others(build: Build) -> None:
    every = build.arrow("SELECT request_id FROM narrow.inferences WHERE latency_ms > 300")
    shown = data.preview(build, Slice(where="latency_ms > 300"))
    assert shown.column_names == list(build.columns("enriched_inferences"))
    assert shown.num_rows == 20
    assert {*shown["request_id"].to_pylist()} < {*every["request_id"].to_pylist()}
    for nothing in (Slice(where="false"), Slice(limit=0)):
        assert data.preview(build, nothing).num_rows == 0
    assert data.preview(build, Slice(limit=3)).num_rows == 3


def test_the_sql_of_a_metric_is_compiled_and_runs(build: Build) -> None:
    sql = data.compiled(build, ("accuracy", "ece"), "latency_ms > 0", ("model_version",))
    for one in sql.split(";\n\n"):
        assert build.arrow(one).num_rows >= 3


def test_events_of_a_record_are_those_that_the_views_join(build: Build) -> None:
    ids = build.arrow(
        "SELECT request_id, count(*) AS n FROM credits GROUP BY 1 ORDER BY n DESC, 1 LIMIT 2"
    ).to_pylist()
    assert ids[0]["n"] > 1
    for request_id in [*(row["request_id"] for row in ids), "nobody"]:
        joined = build.arrow(
            "SELECT f.* EXCLUDE (request_id), "
            "a.* EXCLUDE (feedback_id, raw, source_file, source_row), c.weight "
            "FROM credits c JOIN feedback f USING (feedback_id) "
            "JOIN attribution a USING (feedback_id) WHERE c.request_id = $id "
            "ORDER BY f.ts, f.feedback_id",
            {"id": request_id},
        )
        assert data.events_of(build, request_id) == joined.to_pylist()
