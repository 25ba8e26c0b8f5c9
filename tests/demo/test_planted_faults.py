"""Each planted fault is found through the command line, as a user would find it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, Built

STATUSES = ("received", "invalid", "duplicate", "spam", "orphan", "ambiguous", "attributed")
INVALID = ("not_json", "missing_value", "bad_value", "bad_type", "ts_out_of_range")


def _groups(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(row["by"].values()): row for row in rows}


def test_the_build_prints_the_planted_ledger(built: Built) -> None:
    ledger = built.build["ledger"]
    assert {status: ledger[status] for status in STATUSES} == built.truth.ledger


def test_status_agrees_in_every_count(built: Built) -> None:
    status, facts = built.run("status", "--json"), built.truth.facts
    assert {name: status[name] for name in STATUSES} == built.truth.ledger
    assert status["build"] == built.build["build"]
    assert status["quarantine"] == {reason: facts["quarantine"][reason] for reason in INVALID}
    assert status["inferences"]["quarantine"] == {"out_of_range": facts["inferences"]["invalid"]}
    assert status["methods"] == facts["methods"]
    inferences = {
        name: status["inferences"][name]
        for name in ("received", "invalid", "duplicate", "accepted", "labelled", "unlabelled")
    }
    positive = facts["inferences"]["positive"]
    assert {**inferences, "positive": positive} == facts["inferences"]
    contexts = status["contexts"]
    planted = {name: facts["contexts"][name] for name in contexts}
    assert {name: contexts[name]["matched"] for name in contexts} == planted


def test_a_second_build_receives_nothing_new(built: Built) -> None:
    again = built.run("build", "--json")
    assert {name: again["ledger"][name] for name in STATUSES} == built.truth.ledger


def test_labels_are_those_of_the_agents(built: Built) -> None:
    facts = built.truth.facts["inferences"]
    [row] = built.sql(
        """SELECT count(*) AS accepted, count(label) AS labelled,
             count(*) FILTER (label = '1') AS positive FROM enriched_inferences"""
    )
    assert row == {name: facts[name] for name in row}


def test_flags_and_late_events(built: Built) -> None:
    facts = built.truth.facts
    [row] = built.sql(
        """SELECT count(*) FILTER (early) AS early,
             count(*) FILTER (other_model_version) AS other_model_version,
             count(*) FILTER (retracted) AS retracted,
             count(*) FILTER (delay > 7 * 86400) AS late
           FROM attribution WHERE status = 'attributed'"""
    )
    assert row.pop("late") == facts["late"]["events"]
    assert row == facts["flags"]


def test_nothing_is_lost(built: Built) -> None:
    """Every row that was refused or not attributed is kept as it was read."""
    facts = built.truth.facts
    refused = built.sql(
        """SELECT reason, count(*) AS n, count(raw) AS kept FROM quarantine
           WHERE "table" = 'feedback' GROUP BY reason"""
    )
    assert {row["reason"]: row["n"] for row in refused} == facts["quarantine"]
    assert all(row["kept"] == row["n"] for row in refused)
    lost = built.sql(
        """SELECT status, count(*) AS n, count(raw) AS kept, count(reason) AS explained
           FROM attribution WHERE status <> 'attributed' GROUP BY status"""
    )
    ledger = built.truth.ledger
    assert {row["status"]: row["n"] for row in lost} == {
        name: ledger[name] for name in ("orphan", "ambiguous")
    }
    assert all(row["kept"] == row["explained"] == row["n"] for row in lost)


def test_events_without_an_answer_found_the_right_one(built: Built) -> None:
    """The customer who sent the thumb is the one who asked, and the answer is the latest."""
    [row] = built.sql(
        """SELECT count(*) AS n, count(*) FILTER (rater_id = user_id) AS same,
             count(*) FILTER (delay BETWEEN 0 AND 1200) AS soon
           FROM enriched_feedback WHERE method IN ('session', 'user')"""
    )
    methods = built.truth.facts["methods"]
    assert row["n"] == row["same"] == row["soon"] == methods["session"] + methods["user"]


def test_one_version_is_overconfident_for_one_language(built: Built) -> None:
    fault = built.truth.facts["overconfident"]
    groups = _groups(built.metrics("ece", "model_version", "features.language"))
    culprit = groups.pop((fault["model_version"], fault["language"]))
    assert culprit["n"] == culprit["n_labelled"] == fault["labelled"]
    assert culprit["value"] > 0.2
    assert culprit["low"] > max(row["value"] for row in groups.values())
    [gap] = built.sql(
        f"""SELECT avg(score - label::DOUBLE) AS gap FROM enriched_inferences
            WHERE model_version = '{fault["model_version"]}'
              AND features.language = '{fault["language"]}'"""
    )
    assert gap["gap"] == pytest.approx(fault["gap"], rel=1e-9)


def test_one_cohort_is_silent(built: Built) -> None:
    fault = built.truth.facts["silent"]
    groups = _groups(built.metrics("label_coverage", "user.tier", "device"))
    culprit = groups.pop((fault["tier"], fault["device"]))
    assert (culprit["n"], culprit["n_labelled"]) == (fault["inferences"], fault["labelled"])
    assert culprit["value"] == pytest.approx(fault["coverage"], rel=1e-12)
    assert culprit["high"] < 0.05 < 0.4 < min(row["low"] for row in groups.values())


def test_who_is_silent_is_found_without_knowing_where_to_look(built: Built) -> None:
    rows = built.run("metrics", "--skew", "--json")
    quietest = rows[0]
    assert quietest["by"] == {"device x user.tier": "mobile, free"}
    assert quietest["n"] == built.truth.facts["silent"]["inferences"]
    everyone = [row for row in rows if list(row["by"]) == ["device"]]
    overall = sum(row["n"] * row["value"] for row in everyone) / sum(row["n"] for row in everyone)
    assert quietest["high"] < overall / 4
    others = [row for row in rows if list(row["by"]) == list(quietest["by"])][1:]
    assert all(row["low"] > overall for row in others)


def test_the_groups_of_both_faults_are_named_as_the_ones_that_are_apart(built: Built) -> None:
    """The pair is found among all, so the interval that counts is the one for all pairs."""
    [ece] = built.disparities("ece", "model_version", "features.language")
    assert tuple(ece["highest"].values()) == ("v3", "pt-BR")
    assert ece["adjusted_low"] > 0.05
    [coverage] = built.disparities("label_coverage", "user.tier", "device")
    assert tuple(coverage["lowest"].values()) == ("free", "mobile")
    assert coverage["adjusted_low"] > 0.4
    assert (coverage["below_four_fifths"], coverage["four_fifths_certain"]) == (True, True)


def test_one_rater_is_a_bot(built: Built) -> None:
    """The query of docs/demo.md puts the bot first."""
    fault = built.truth.facts["bot"]
    text = (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")
    [query] = [q for q in re.findall(r"```sql\n(.*?)```", text, re.DOTALL) if "rater_id" in q]
    first, *others = built.sql(query)
    assert first["rater_id"] == fault["rater_id"]
    assert (first["thumbs"], first["up"]) == (fault["events"], 1.0)
    assert first["agreement"] == pytest.approx(fault["agreement"], rel=1e-9)
    assert first["agreement"] < 0.65
    assert others
    assert all(row["up"] < 0.75 and row["agreement"] > 0.8 for row in others)


def test_the_bot_is_found_among_all_raters_and_nobody_else(built: Built) -> None:
    fault = built.truth.facts["bot"]
    rows = built.run("metrics", "--raters", "--json")
    bot, *people = rows
    assert (bot["rater_id"], bot["name"], bot["n"]) == (fault["rater_id"], "thumb", fault["events"])
    assert bot["flagged"]
    found = {sign["sign"]: sign for sign in bot["signs"] if sign["found"]}
    assert set(found) == {"regular_gaps", "one_value", "chance_agreement"}
    assert all(sign["p_value"] < 1e-6 for sign in found.values())
    assert (found["regular_gaps"]["value"], found["one_value"]["value"]) == (1.0, 1.0)
    assert "97 s" in bot["reason"]
    assert bot["kappa"] == pytest.approx(0.0, abs=1e-9)
    assert len(people) > 20
    for row in people:
        assert row["n_signs"] == 0, row["reason"]
        assert bot["kappa_high"] < row["kappa_low"]


def test_one_deploy_broke_the_answers(built: Built) -> None:
    fault = built.truth.facts["incident"]
    by = "coalesce(health.error_rate > 0.1, false)"
    for metric, least_drop in (("reward_mean", 0.2), ("accuracy", 0.2)):
        groups = {next(iter(row["by"].values())): row for row in built.metrics(metric, by)}
        assert groups[True]["n"] == groups[True]["n_labelled"] == fault["labelled"]
        assert groups[True]["value"] + least_drop < groups[False]["value"]
        assert groups[True]["high"] < groups[False]["low"]
    [row] = built.sql(
        """SELECT min(ts)::VARCHAR AS first, max(ts)::VARCHAR AS last,
             avg((label = '1')::INTEGER) AS resolved
           FROM enriched_inferences WHERE health.error_rate > 0.1"""
    )
    assert row["first"].replace(" ", "T") >= fault["start"][:19]
    assert row["last"].replace(" ", "T") < fault["end"][:19]
    assert row["resolved"] == pytest.approx(fault["resolved"], rel=1e-12)


def test_the_load_test_is_spam(built: Built) -> None:
    fault = built.truth.facts["load_test"]
    [row] = built.sql(
        f"""SELECT (SELECT count(*) FROM quarantine WHERE reason = 'spam') AS spam,
              (SELECT count(*) FROM feedback WHERE rater_id = '{fault["rater_id"]}') AS accepted"""
    )
    assert row == {"spam": fault["events"], "accepted": 0}


def _worst(built: Built, metric: str, *options: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = built.run("metrics", "--worst", metric, *options, "--json")
    for row in rows:
        assert row["low"] <= row["effect"] <= row["high"]
        assert row["low"] * row["high"] > 0
        assert row["q"] <= 0.05
    return rows


def test_a_search_over_all_slices_finds_the_overconfidence_and_the_deploy(built: Built) -> None:
    """Among ten thousand slices, these two and no other."""
    facts = built.truth.facts
    deploy, fault = _worst(built, "calibration_gap")
    assert deploy["slice"] == {"incident.name": "deploy of v3"}
    assert deploy["n_slices"] > 5000
    planted = facts["overconfident"]
    assert fault["slice"] == {"model_version": "v3", "features.language": "pt-BR"}
    assert (fault["n"], fault["n_rows"]) == (planted["labelled"], planted["inferences"])
    assert fault["value"] == pytest.approx(planted["gap"], abs=1e-3)
    assert fault["low"] > 0.2


def test_a_search_over_all_slices_finds_who_is_silent(built: Built) -> None:
    silent = built.truth.facts["silent"]
    [row] = _worst(built, "label_coverage")
    assert row["slice"] == {"device": "mobile", "user.tier": "free"}
    assert row["n"] == silent["inferences"]
    assert row["value"] == pytest.approx(silent["coverage"])
    assert row["other"] == pytest.approx(silent["coverage_elsewhere"])
    assert row["high"] < -0.45


@pytest.mark.parametrize("metric", ["reward_mean", "accuracy"])
def test_a_search_over_all_slices_finds_the_two_hours_of_the_deploy(
    built: Built, metric: str
) -> None:
    worst = _worst(built, metric)[0]
    [column] = worst["slice"]
    assert column in ("health.error_rate", "incident.name", "health.p95_latency")
    incident = built.truth.facts["incident"]
    [inside] = built.sql(
        f"SELECT count(*) AS n, count(*) FILTER (ts >= TIMESTAMPTZ '{incident['start']}' AND "
        f"ts < TIMESTAMPTZ '{incident['end']}') AS hit FROM enriched_inferences "
        f"WHERE {worst['where']}"
    )
    assert inside["n"] == worst["n_rows"]
    assert inside["hit"] > 0.95 * inside["n"]
    assert worst["high"] < -0.15


def test_the_rows_of_a_slice_are_exported_by_its_condition(built: Built, tmp_path: Path) -> None:
    [row] = _worst(built, "label_coverage")
    done = built.run(
        "export", "enriched_inferences", "--where", row["where"], "-o",
        str(tmp_path / "worst.parquet"), "--json",
    )  # fmt: skip
    assert done["rows"] == row["n_rows"]
