"""The artefact `raters`, the policy that uses it, and how labels change under each policy."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

import workbench
from tests.ingest.folder import Folder, event, inference, lines
from workbench.agreement import alone, shared
from workbench.configuration import LABEL_POLICIES
from workbench.errors import ConfigError, DataError
from workbench.raters import compared, resolved

CONFIG = """
[inferences]
source = "logs"
[feedback]
source = "events"
[feedback.signals.thumb]
kind = "binary"
[feedback.signals.fix]
kind = "correction"
[labels]
policy = "{policy}"
signals = ["thumb", "fix"]
maturity = "1h"
"""
NUMBER = ["n_events"]
TRUTH = [n % 3 != 0 for n in range(300)]
#: How often each rater is right; two that are wrong together outvote one that is right.
RIGHT = {"good": 0.98, "better": 0.99, "coin": 0.5, "dice": 0.5, "lucky": 0.5}


def said() -> list[dict[str, object]]:
    rng = random.Random(4)
    rows = []
    for n, truth in enumerate(TRUTH):
        for rater in rng.sample(sorted(RIGHT), 3) if n < 250 else ["good"]:
            vote = truth if rng.random() < RIGHT[rater] else not truth
            rows.append(
                event(n, feedback_id=f"{n}-{rater}", rater_id=rater, value=int(vote), ts=None)
                | {"ts": event(n)["ts"] + rng.randrange(100)}
            )
        if n % 10 == 0:
            fixed = "as it was" if truth else "another"
            rows.append(
                event(n, feedback_id=f"{n}-fix", name="fix", value=None, rater_id="good")
                | {"corrected_output": fixed}
            )
    return rows


def make(folder: Path, policy: str) -> Folder:
    made = Folder.make(folder, CONFIG.format(policy=policy), events=0)
    # The last ones are too young to have a label.
    made.write("logs/a.jsonl", lines(inference(60 * n, output="as it was") for n in range(300)))
    events = [{**row, "request_id": f"r{60 * int(str(row['request_id'])[1:])}"} for row in said()]
    events = [
        {**row, "ts": row["ts"] + 59 * int(row["feedback_id"].split("-")[0])} for row in events
    ]
    made.write("events/a.jsonl", lines(events))
    return made


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = make(tmp_path_factory.mktemp("raters") / "p", "majority")
    folder.build()
    workbench.open(folder.path).fit("raters")
    return folder


def test_a_policy_that_is_compared_is_the_one_that_a_build_applies(fitted: Folder) -> None:
    expected = {}
    project = workbench.open(fitted.path)
    for policy in LABEL_POLICIES:
        weights = project.artefacts()[0]["state"] if policy == "rater_weighted" else None
        rows = project.current.execute(resolved(project.current, project.project, policy, weights))
        expected[policy] = sorted(rows.to_pylist(), key=lambda row: row["request_id"])
    told = {row["policy"]: row for row in project.policies()}
    before = dict(fitted.ask("SELECT request_id, label FROM labels"))
    assert 0 < len(before) < 300
    for policy in LABEL_POLICIES:
        fitted.write("workbench.toml", CONFIG.format(policy=policy))
        fitted.build()
        with workbench.open(fitted.path).current as build:
            rows = build.arrow("FROM labels ORDER BY request_id").to_pylist()
        assert rows == expected[policy]
        now = {row["request_id"]: row["label"] for row in rows}
        assert told[policy]["n"] == len(now)
        assert told[policy]["n_labelled"] == sum(label is not None for label in now.values())
        assert told[policy]["n_changed"] == sum(now[id_] != before[id_] for id_ in before)
        assert told[policy]["configured"] == (policy == "majority")
        rewards = [row["reward"] for row in rows if row["reward"] is not None]
        assert told[policy]["reward_mean"] == pytest.approx(sum(rewards) / len(rewards), rel=1e-12)
        ties = sum(row["label_reason"] == "tie" for row in rows)
        assert (told[policy]["n_tie"], told[policy]["share_tie"]) == (ties, ties / len(rows))


@pytest.fixture(scope="module", params=["last", "uniform"])
def credited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Some inferences have one event, some several; some events are shared among inferences."""
    credit = request.param
    rng = random.Random(7)
    config = """
        [inferences]
        source = "logs"
        [feedback]
        source = "events"
        [feedback.signals.thumb]
        kind = "binary"
        [attribution]
        credit = "{credit}"
        """
    folder = Folder.make(
        tmp_path_factory.mktemp("credited") / "p", config.format(credit=credit), events=0
    )
    folder.write("logs/a.jsonl", lines(inference(n, trace_id=f"t{n // 4}") for n in range(200)))
    rows = []
    for n in range(400):
        place = rng.randrange(160)
        row = event(place, feedback_id=f"e{n}", rater_id=f"a{n % 3}", value=rng.randrange(2))
        row["ts"] += 300 + rng.randrange(3)
        if n % 8 == 0:
            row |= {"request_id": None, "trace_id": f"t{place // 4}", "scope": "trace"}
        if n % 50 == 1:
            row |= {"value": None, "retracts": f"e{n - 1}"}
        rows.append(row)
    folder.write("events/a.jsonl", lines(rows))
    folder.build()
    shared = folder.ask("SELECT count(*) FROM credits WHERE weight < 1")[0][0]
    assert (shared > 0) == (credit == "uniform")
    return folder


def test_policies_count_what_compared_lists(credited: Folder) -> None:
    folder = credited
    project = workbench.open(folder.path)
    several = folder.ask("SELECT n_events > 1, count(*) FROM enriched_inferences GROUP BY 1")
    assert all(n > 20 for more, n in several if more is not None)
    for told in project.policies():
        if told["reason"]:
            continue
        listed = compared(project.current, project.project, told["policy"])
        rows = project.current.execute(listed).to_pylist()
        assert told["n"] == len(rows) > 100
        assert told["n_labelled"] == sum(row["other_label"] is not None for row in rows)
        assert told["n_changed"] == sum(row["label"] != row["other_label"] for row in rows)
        assert told["n_tie"] == sum(row["other_reason"] == "tie" for row in rows)
        rewards = [row["other_reward"] for row in rows if row["other_reward"] is not None]
        assert told["reward_mean"] == pytest.approx(sum(rewards) / len(rewards), rel=1e-12)


def test_what_is_alone_is_told_by_the_number_of_events_as_by_counting(credited: Folder) -> None:
    with workbench.open(credited.path).current as build:
        rows = build.query_table("FROM narrow.enriched_feedback")
        counted = rows.drop("n_events")
        for of in (alone, shared):
            found, expected = (
                sorted(build.execute(of(some)).drop_columns(left_out).to_pylist(), key=repr)
                for some, left_out in ((rows, NUMBER if of is shared else []), (counted, []))
            )
            assert found == expected != []


def test_weights_find_who_is_right_and_give_better_labels(fitted: Folder) -> None:
    project = workbench.open(fitted.path)
    (made,) = project.artefacts()
    weights = made["state"]["weights"]
    assert min(weights["good"], weights["better"]) > 2.0
    assert max(weights[name] for name in ("coin", "dice", "lucky")) < 0.7
    assert weights["coin"] < made["state"]["other"] < weights["good"]
    assert made["figures"]["converged"]
    right = dict.fromkeys(("majority", "rater_weighted"), 0)
    for policy in right:
        rows = project.current.execute(compared(project.current, project.project, policy))
        for row in rows.to_pylist():
            truth = TRUTH[int(row["request_id"][1:]) // 60]
            right[policy] += row["other_label"] == str(int(truth))
    assert right["rater_weighted"] > right["majority"] + 15


def test_weights_are_the_log_odds_of_accuracies_drawn_to_the_mean(fitted: Folder) -> None:
    project = workbench.open(fitted.path)
    made = project.fit("raters", params={"prior": 4, "weight": "accuracy"}, pin=False)
    odds = project.fit("raters", params={"prior": 4}, pin=False)
    rows = made["figures"]["raters"]
    n = sum(row["n"] for row in rows)
    everyone = (sum(row["n"] * row["accuracy"] for row in rows) + 1) / (n + 2)
    assert made["state"]["other"] == pytest.approx(everyone, rel=1e-12)
    for row in rows:
        a = (row["n"] * row["accuracy"] + 4 * everyone) / (row["n"] + 4)
        assert made["state"]["weights"][row["rater_id"]] == pytest.approx(a, rel=1e-12)
        log_odds = max(0.0, math.log(a / (1 - a)))
        assert odds["state"]["weights"][row["rater_id"]] == pytest.approx(log_odds, abs=1e-12)


def test_without_weights_it_says_what_to_type(tmp_path: Path) -> None:
    folder = make(tmp_path / "p", "rater_weighted")
    with pytest.raises(ConfigError, match="workbench fit raters"):
        folder.build()
    folder.write("workbench.toml", CONFIG.format(policy="mean"))
    folder.build()
    told = {row["policy"]: row for row in workbench.open(folder.path).policies()}
    assert told["rater_weighted"]["reason"] == "no_weights"
    assert told["rater_weighted"]["n_changed"] is None


def test_raters_who_share_nothing_cannot_be_weighed(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "p", events=0)
    folder.write("logs/a.jsonl", lines(inference(n) for n in range(9)))
    folder.write("events/a.jsonl", lines(event(n, rater_id=f"a{n % 2}") for n in range(9)))
    folder.build()
    with pytest.raises(DataError, match="two raters"):
        workbench.open(folder.path).fit("raters")
