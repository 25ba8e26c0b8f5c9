"""Logged decisions of two policies (Open Bandit, men's items), through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import run

pytestmark = [pytest.mark.published, pytest.mark.real_data]

CONFIG = """
[project]
name = "open-bandit"
[inferences]
source = "{raw}/*_men.csv.gz"
sql = '''
SELECT *, regexp_extract(source_file, '([a-z]+)_men', 1) AS policy,
  policy || '-' || source_row AS id, list_transform(range(34), lambda i: i::VARCHAR) AS items
FROM source
'''
[inferences.columns]
request_id = "id"
ts = "timestamp"
model_version = "policy"
position = "position"
propensity = "propensity_score"
choices = "items"
[feedback]
source = "{raw}/*_men.csv.gz"
sql = '''
SELECT *, regexp_extract(source_file, '([a-z]+)_men', 1) || '-' || source_row AS id FROM source
'''
columns = {{ request_id = "id", ts = "timestamp", name = "'click'", value = "click" }}
[feedback.signals.click]
kind = "binary"
"""


@pytest.fixture(scope="module")
def bandit(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bandit")
    raw = (real_data / "obd").as_posix()
    (folder / "workbench.toml").write_text(CONFIG.format(raw=raw), encoding="utf-8")
    done = run("build", "--project", folder, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["ledger"]["attributed"] == 20_000
    return folder


def measured(folder: Path, only: str, *options: str) -> list[dict[str, Any]]:
    done = run("metrics", "--project", folder, "--only", only, *options, "--json")
    assert done.code == 0, done.err
    rows: list[dict[str, Any]] = json.loads(done.out)
    return rows


def test_click_rates(bandit: Path) -> None:
    by_policy = measured(bandit, "reward_mean", "--by", "model_version")
    assert {row["by"]["model_version"]: row["value"] for row in by_policy} == {
        "random": pytest.approx(0.0046, abs=1e-12),
        "bts": pytest.approx(0.0069, abs=1e-12),
    }
    by_position = measured(
        bandit, "reward_mean", "--by", "position", "--where", "model_version = 'bts'"
    )
    assert [round(row["value"], 4) for row in by_position] == [0.0090, 0.0064, 0.0053]


def test_value_of_the_random_policy_from_the_log_of_the_other(bandit: Path) -> None:
    names = ("ips_value", "snips_value", "effective_sample_size", "max_importance_weight")
    of_bts = ("--where", "model_version = 'bts'")
    [run_for_real] = measured(bandit, "reward_mean", "--where", "model_version = 'random'")
    for only in (",".join(names), ",".join(f"{name}(target='1 / 34')" for name in names)):
        ips, snips, size, largest = measured(bandit, only, *of_bts)
        assert round(ips["value"], 7) == 0.0030086
        assert round(snips["value"], 7) == 0.0031894
        assert round(size["value"], 1) == 655.7
        assert round(largest["value"], 1) == 178.3
        assert {row["n"] for row in (ips, snips, size, largest)} == {10_000}
        for row in (ips, snips):
            assert row["low"] < run_for_real["high"]
            assert row["high"] > run_for_real["low"]


def test_a_value_that_few_decisions_carry_is_refused(bandit: Path) -> None:
    hours = measured(
        bandit, "ips_value,effective_sample_size", "--by", "hour(ts)",
        "--where", "model_version = 'bts'",
    )  # fmt: skip
    values = [row for row in hours if row["metric"] == "ips_value"]
    sizes = [row["value"] for row in hours if row["metric"] == "effective_sample_size"]
    assert min(sizes) < 100
    for row, size in zip(values, sizes, strict=True):
        assert (row["value"] is None) == (size < 100)
        assert row["reason"] == ("few_effective" if size < 100 else None)


def test_everyone_answers_so_nothing_has_to_be_reweighted(bandit: Path) -> None:
    done = run("metrics", "--project", bandit, "--skew", "--json")
    rows = json.loads(done.out)
    assert {row["value"] for row in rows} == {1.0}
    done = run("fit", "propensity", "--project", bandit)
    assert done.code != 0
    assert "20,000 of 20,000 inferences have a label" in done.err
