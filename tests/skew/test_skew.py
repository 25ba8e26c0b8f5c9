"""Who answers, and metrics as observed and reweighted, through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench
from tests.cli.conftest import run
from tests.ingest.folder import PLAIN, Folder, event, inference, lines
from workbench import skew

N = 4000
#: Free users on mobile are less pleased, and seldom say so.
TRUTH = 0.75 * 0.7 + 0.25 * 0.3


def make(path: Path, *, silent: float) -> Folder:
    """A project in which free users on mobile answer with probability `silent`, others with 0.5."""
    rng = np.random.default_rng(11)
    folder = Folder.make(path, PLAIN + '[inferences.features]\ntier = "VARCHAR"\n', events=0)
    device = rng.choice(["mobile", "desktop"], N)
    tier = rng.choice(["free", "pro"], N)
    quiet = (device == "mobile") & (tier == "free")
    pleased = rng.random(N) < np.where(quiet, 0.3, 0.7)
    answered = rng.random(N) < np.where(quiet, silent, 0.5)
    folder.write(
        "logs/a.jsonl",
        lines(
            inference(
                n, device=device[n], tier=tier[n], position=int(rng.integers(3)),
                model_version="v2" if n >= N - 60 else "v1",
            )
            for n in range(N)
        ),
    )  # fmt: skip
    folder.write(
        "events/a.jsonl",
        lines(event(n, value=int(pleased[n])) for n in np.flatnonzero(answered).tolist()),
    )
    folder.build()
    return folder


def metrics(folder: Folder, *options: str) -> list[dict[str, Any]]:
    done = run("metrics", "--project", folder.path, *options, "--json")
    assert done.code == 0, done.err
    rows: list[dict[str, Any]] = json.loads(done.out)
    return rows


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return make(tmp_path_factory.mktemp("skew") / "plain", silent=0.08)


@pytest.fixture(scope="module")
def weighted(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = make(tmp_path_factory.mktemp("skew") / "weighted", silent=0.08)
    assert run("fit", "propensity", "--project", folder.path).code == 0
    folder.build()
    return folder


def test_rates_are_those_of_a_count_strongest_column_first(plain: Folder) -> None:
    rows = metrics(plain, "--skew")
    assert list(rows[0]) == [
        "metric", "by", "value", "low", "high", "n", "n_labelled", "reason",
    ]  # fmt: skip
    expected = {
        f"{device}, {tier}": (n, answered)
        for device, tier, n, answered in plain.ask(
            "SELECT device, features.tier, count(*), count(*) FILTER (n_events > 0) "
            "FROM enriched_inferences GROUP BY ALL"
        )
    }
    crossed = [row for row in rows if list(row["by"]) == ["device x features.tier"]]
    assert rows[: len(crossed)] == crossed
    assert crossed[0]["by"] == {"device x features.tier": "mobile, free"}
    for row in crossed:
        n, answered = expected[next(iter(row["by"].values()))]
        assert (row["n"], row["value"]) == (n, answered / n)
        assert row["low"] < row["value"] < row["high"]
    assert sum(row["n"] for row in crossed) == N
    columns = list(dict.fromkeys(next(iter(row["by"])) for row in rows))
    assert set(columns[1:3]) == {"device", "features.tier"}
    # Chance alone separates the others, and their pairs say nothing.
    assert set(columns[3:]) == {"hour(ts)", "position", "model_version"}


@pytest.mark.parametrize("where", [None, "tier = 'free'", "device = 'nowhere'"])
def test_rates_do_not_depend_on_what_is_counted_at_once(
    plain: Folder, monkeypatch: pytest.MonkeyPatch, where: str | None
) -> None:
    where = where and where.replace("tier", "features.tier")
    with workbench.open(plain.path).current as build:
        together = skew.rates(build, where=where)
        monkeypatch.setattr(skew, "_MOST_CELLS", 0)
        apart = skew.rates(build, where=where)
    assert apart == together
    assert bool(together) == (where is None or "nowhere" not in where)
    crossed = {row["column_name"] for row in together if " x " in row["column_name"]}
    assert crossed == ({"device x features.tier"} if where is None else set())


def test_rates_of_named_columns(plain: Folder) -> None:
    rows = metrics(plain, "--skew", "--by", "hour(ts)", "--where", "device = 'mobile'")
    assert {tuple(row["by"]) for row in rows} == {("hour(ts)",)}
    assert sum(row["n"] for row in rows) == plain.ask(
        "SELECT count(*) FROM enriched_inferences WHERE device = 'mobile'"
    )[0][0]  # fmt: skip
    done = run("metrics", "--project", plain.path, "--skew", "--by", "devise")
    assert done.code == 1
    assert "Did you mean 'device'" in done.err


def test_metrics_are_reweighted_to_the_truth(weighted: Folder) -> None:
    [observed] = metrics(weighted, "--only", "reward_mean")
    [found] = metrics(weighted, "--only", "reward_mean", "--weighted")
    assert list(found) == list(observed)
    assert observed["low"] > TRUTH
    assert found["low"] <= TRUTH <= found["high"]
    by_hand = weighted.ask(
        "SELECT sum(sample_weight * reward) / sum(sample_weight), sum(sample_weight) ** 2 / "
        "sum(sample_weight ** 2), max(sample_weight) FROM enriched_inferences"
    )[0]
    import workbench

    [row] = workbench.open(weighted.path).skew(["reward_mean"])
    assert row["observed"]["value"] == observed["value"]
    assert (row["value"], row["n_effective"], row["largest_weight"]) == pytest.approx(by_hand)
    assert row["n_effective"] < 0.6 * row["n"]


def test_what_few_weighted_rows_carry_is_refused(weighted: Folder) -> None:
    rows = metrics(weighted, "--only", "reward_mean", "--weighted", "--by", "model_version")
    assert [(row["by"]["model_version"], row["reason"]) for row in rows] == [
        ("v1", None), ("v2", "few_effective"),
    ]  # fmt: skip
    assert (rows[1]["value"], rows[1]["low"], rows[1]["n"]) == (None, None, 0)
    # The same rows without weights are no reason to refuse.
    assert metrics(weighted, "--only", "reward_mean", "--by", "model_version")[1]["value"]


def test_a_condition_that_nothing_meets_is_an_empty_value(weighted: Folder) -> None:
    [row] = metrics(weighted, "--only", "reward_mean", "--weighted", "--where", "device = 'tv'")
    assert (row["value"], row["reason"], row["n_labelled"]) == (None, "empty", 0)


def test_what_is_about_all_inferences_needs_no_weight(weighted: Folder) -> None:
    options = ("--only", "label_coverage,response_rate")
    assert metrics(weighted, *options, "--weighted") == metrics(weighted, *options)


def test_without_weights_it_says_how_to_make_them(plain: Folder) -> None:
    done = run("metrics", "--project", plain.path, "--weighted")
    assert done.code == 1
    assert "workbench fit propensity" in done.err
    done = run("metrics", "--project", plain.path, "--weighted", "--skew")
    assert done.code == 2
