"""What the contexts of the demo say, through a real build, is what was planted."""

from __future__ import annotations

import re
import shlex

import pytest

from .conftest import ROOT, Built


def test_every_command_of_the_page_finds_something(built: Built) -> None:
    text = (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")
    queries = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    lines = re.findall(r"^workbench (metrics .*)$", text, re.MULTILINE)
    assert queries
    assert lines
    for query in queries:
        assert built.sql(query)
    for line in lines:
        assert built.run(*shlex.split(line), "--json")


def test_the_deploy_hurt_most(built: Built) -> None:
    groups = built.metrics("reward_mean", "coalesce(incident.name, 'none')")
    means = {next(iter(row["by"].values())): row["value"] for row in groups}
    assert means.pop("deploy of v3") < 0.45 < 0.6 < min(means.values())


def test_bugs_are_resolved_least(built: Built) -> None:
    [worst] = built.sql(
        """SELECT tags[1] AS topic FROM enriched_inferences WHERE label IS NOT NULL
           GROUP BY ALL ORDER BY avg((label = '1')::INTEGER) LIMIT 1"""
    )
    assert worst["topic"] == "bug"


def test_incidents_are_those_that_were_planted(built: Built) -> None:
    rows = built.sql(
        "SELECT incident.name AS name, count(*) AS n FROM enriched_inferences "
        "WHERE incident IS NOT NULL GROUP BY 1"
    )
    assert {row["name"]: row["n"] for row in rows} == built.truth.facts["incidents"]
    [deploy] = [row["n"] for row in rows if row["name"] == "deploy of v3"]
    assert deploy == built.truth.facts["incident"]["inferences"]


def test_history_holds_what_was_known_before(built: Built) -> None:
    [row] = built.sql(
        """SELECT sum(earlier.events) AS events,
             max(recent.answers) AS most, count(*) FILTER (len(recent.events) <> recent.answers)
             AS apart FROM enriched_inferences"""
    )
    assert row == {"events": built.truth.facts["earlier"]["events"], "most": 5, "apart": 0}


def test_the_silent_were_silent_before(built: Built) -> None:
    rows = built.sql(
        """SELECT earlier.events = 0 AS silent, count(label) / count(*) AS coverage
           FROM enriched_inferences WHERE recent.answers = 5 GROUP BY 1 ORDER BY 1"""
    )
    assert [row["silent"] for row in rows] == [False, True]
    assert rows[1]["coverage"] < 0.6 * rows[0]["coverage"]


def test_purchases_follow_answers_that_resolved_the_ticket(built: Built) -> None:
    planted = built.truth.facts["outcome"]
    [row] = built.sql(
        """SELECT count(*) FILTER (outcome.mature) AS mature,
             count(*) FILTER (outcome.converted) AS converted, sum(outcome.revenue) AS revenue,
             avg(outcome.converted::INTEGER) FILTER (label = '1') AS resolved,
             avg(outcome.converted::INTEGER) FILTER (label = '0') AS unresolved
           FROM enriched_inferences"""
    )
    assert row == pytest.approx({name: planted[name] for name in row}, rel=1e-9)
    assert row["resolved"] > 2 * row["unresolved"]
    assert planted["recorded_too_late"] > 0
    [young] = built.sql(
        """SELECT count(*) AS n, count(outcome.orders) AS told FROM enriched_inferences
           WHERE NOT outcome.mature"""
    )
    accepted = built.truth.facts["inferences"]["accepted"]
    assert young == {"n": accepted - planted["mature"], "told": 0}


def test_tickets_are_reopened_after_answers_that_did_not_help(built: Built) -> None:
    planted = built.truth.facts["reopened"]
    [row] = built.sql(
        """SELECT count(*) FILTER (reopened.ticket) AS inferences,
             avg(reopened.ticket::INTEGER) FILTER (label = '1') AS resolved,
             avg(reopened.ticket::INTEGER) FILTER (label = '0') AS unresolved
           FROM enriched_inferences"""
    )
    assert row == pytest.approx({name: planted[name] for name in row}, rel=1e-9)
    assert row["unresolved"] > 1.5 * row["resolved"]


def test_the_nearest_article_is_on_the_topic(built: Built) -> None:
    planted = built.truth.facts["handbook"]
    [row] = built.sql(
        """SELECT count(*) FILTER (handbook.documents[1].article = item_id) AS same_article,
             count(*) FILTER (handbook.documents[1].topic = tags[1]) AS same_topic
           FROM enriched_inferences"""
    )
    assert row == {name: planted[name] for name in row}


def test_apologies_are_not_in_the_handbook(built: Built) -> None:
    rows = built.sql(
        """SELECT starts_with(output, 'Sorry') AS apology, avg(handbook.agreement) AS agreement
           FROM enriched_inferences WHERE features.language = 'en' AND handbook IS NOT NULL
           GROUP BY 1 ORDER BY 1"""
    )
    answers, apologies = rows
    assert apologies["apology"]
    assert apologies["agreement"] < 0.8 * answers["agreement"]


def test_claims_are_checked_against_what_was_known(built: Built) -> None:
    planted = built.truth.facts["claims"]
    [row] = built.sql(
        """SELECT count(*) AS claims,
             count(*) FILTER (c.verdict = 'supported') AS supported,
             count(*) FILTER (c.verdict = 'contradicted') AS contradicted,
             count(*) FILTER (c.verdict = 'unknown') AS unknown,
             avg((c.verdict = 'contradicted')::INTEGER)
               FILTER (version = 'v3' AND c.verdict <> 'unknown') AS share,
             avg((c.verdict = 'contradicted')::INTEGER)
               FILTER (version <> 'v3' AND c.verdict <> 'unknown') AS share_elsewhere,
             avg((label = '1')::INTEGER) FILTER (c.verdict = 'contradicted')
               AS resolved_after_wrong,
             avg((label = '1')::INTEGER) FILTER (c.verdict = 'supported') AS resolved_after_right
           FROM (SELECT model_version AS version, label, unnest(policy.claims) AS c
                 FROM enriched_inferences)"""
    )
    assert row == pytest.approx(planted, rel=1e-9)
    assert row["share"] > 3 * row["share_elsewhere"]
    assert row["resolved_after_wrong"] < 0.6 * row["resolved_after_right"]


def test_nothing_is_known_of_a_plan_before_it_was_recorded(built: Built) -> None:
    """The Pro plan came into the graph on the fifth day, the Team plan never did."""
    rows = built.sql(
        """SELECT DISTINCT c.subject AS plan FROM
             (SELECT ts, unnest(policy.claims) AS c FROM enriched_inferences)
           WHERE c.verdict = 'unknown' AND ts >= '2026-03-06T09:00:00Z'"""
    )
    assert [row["plan"] for row in rows] == ["Team plan"]
    [row] = built.sql(
        """SELECT count(*) FILTER (c.verdict <> 'unknown') AS judged, count(*) AS claims FROM
             (SELECT ts, unnest(policy.claims) AS c FROM enriched_inferences)
           WHERE c.subject = 'Pro plan' AND ts < '2026-03-06T09:00:00Z'"""
    )
    assert row["judged"] == 0 < row["claims"]


def test_logged_attributions_add_up_and_miss_the_fault(built: Built) -> None:
    """The model is as sure in the language in which it fails as in any other."""
    planted = built.truth.facts["attributions"]
    [row] = built.sql(
        """WITH added AS (
             SELECT score, attributions[1].base
               + list_sum(list_transform(attributions, lambda a: a.value)) AS log_odds
             FROM enriched_inferences WHERE attributions IS NOT NULL)
           SELECT count(*) AS explained, max(abs(log_odds - ln(score / (1 - score)))) AS apart
           FROM added"""
    )
    assert row["explained"] == planted["explained"]
    assert row["apart"] < 1e-4
    fault = built.truth.facts["overconfident"]
    [row] = built.sql(
        f"""SELECT count(DISTINCT request_id) AS n, avg(a.value) AS effect
            FROM (SELECT *, unnest(attributions) AS a FROM enriched_inferences)
            WHERE a.feature = 'language' AND features.language = '{fault["language"]}'
              AND model_version = '{fault["model_version"]}'"""
    )
    assert row["n"] == planted["fault_explained"] > 0
    assert row["effect"] == pytest.approx(planted["fault_language_effect"], abs=1e-9)
    assert row["effect"] > 0


def test_counterfactuals_say_what_another_language_would_have_changed(built: Built) -> None:
    planted = built.truth.facts["attributions"]
    [row] = built.sql(
        """SELECT count(*) AS tried,
             count(*) FILTER (counterfactuals[1].output <> prediction) AS flipped
           FROM enriched_inferences WHERE counterfactuals IS NOT NULL"""
    )
    assert row == {name: planted[name] for name in row}
    assert 0 < row["flipped"] < row["tried"]
