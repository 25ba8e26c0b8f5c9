"""The six lines of ``workbench metrics``: what is wrong, for whom, how sure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import workbench as wb
from tests.cli.conftest import run
from tests.demo.conftest import build_demo
from workbench.summary import findings, in_words

DEMO = [
    "20,914 of 21,738 feedback events found their inference; not used: 136 invalid, 146 duplicate, "
    "300 spam, 160 orphan, 82 ambiguous.",
    "11,971 of 20,000 inferences (59.9%) have no label; fewest where device = mobile and "
    "user.tier = free: 2.7% against 52.3% elsewhere, 48.6% to 50.4% apart (n = 4,891).",
    "accuracy is 0.682 [0.671, 0.692] (n = 8,029); worst where health.error_rate >= 0.3493: 0.351 "
    "against 0.685 elsewhere, 0.219 to 0.433 apart (n = 74), then where model_version = v3 and "
    "features.language = pt-BR: 0.567 against 0.688 elsewhere, 0.072 to 0.170 apart (n = 409).",
    "ece is 0.023 [0.011, 0.029] (n = 8,029), where chance alone would show 0.012; probability "
    "minus outcome is furthest off where incident.name = deploy of v3: +0.516 against +0.013 "
    "elsewhere, 0.430 to 0.576 apart (n = 98), then where model_version = v3 and "
    "features.language = pt-BR: +0.257 against +0.007 elsewhere, 0.206 to 0.294 apart (n = 409).",
    "1 rater looks like a bot; agent-11 (thumb): 599 of 599 gaps between events are 97 s, give or "
    "take 2%; all 600 values are '1', as are 50.4% of the others'; agrees with others 43.1% of the "
    "time over 96 inferences, where chance gives 43.1% (kappa 0.00; the others' 0.62).",
]
EMPLOYMENT = [
    "All 208,892 feedback events found their inference.",
    "All 208,892 inferences have a label or a reward.",
    "accuracy is 0.828 [0.826, 0.829] (n = 208,892); worst where features.SCHL = 22 and "
    "features.RELP = 17: 0.463 against 0.828 elsewhere, 0.298 to 0.431 apart (n = 214), then where "
    "features.SCHL = 19 and features.RELP = 17: 0.565 against 0.833 elsewhere, 0.253 to 0.283 "
    "apart (n = 4,449).",
    "ece is 0.011 [0.010, 0.012] (n = 208,892), where chance alone would show 0.002; probability "
    "minus outcome is furthest off where features.SCHL = 15 and features.RELP = 17: +0.282 against "
    "-0.011 elsewhere, 0.263 to 0.323 apart (n = 62), then where features.DIS = 2 and "
    "features.MIL = 1: +0.247 against -0.011 elsewhere, 0.234 to 0.281 apart (n = 149).",
]


@pytest.fixture(scope="module")
def demo(made_once: Callable[..., Path]) -> wb.Workbench:
    return wb.open(made_once("demo", build_demo))


def test_the_demo_in_six_lines(demo: wb.Workbench) -> None:
    assert in_words(demo.current, demo.status()) == DEMO


def test_a_page_gets_what_is_wrong_and_not_the_rest(demo: wb.Workbench) -> None:
    *lines, bot = findings(demo.current)
    assert bot == DEMO[-1]
    assert [line.split(" where ")[0] for line in lines] == [
        "Fewest labels", "Accuracy is worst", "Probability minus outcome is furthest off"
    ]  # fmt: skip
    assert all(any(line.split(" where ")[1].rstrip(".") in full for full in DEMO) for line in lines)


def test_a_project_without_labels_says_so(tmp_path: Path) -> None:
    (tmp_path / "i.jsonl").write_text(
        '{"request_id": "a", "ts": "2026-01-01T00:00:00Z", "model_version": "v1"}\n'
    )
    (tmp_path / "f.jsonl").write_text("")
    (tmp_path / "workbench.toml").write_text(
        '[project]\nname = "x"\n[inferences]\nsource = "i.jsonl"\n[feedback]\nsource = "f.jsonl"\n'
    )
    built = wb.open(tmp_path)
    built.build()
    assert in_words(built.current, built.status()) == [
        "No feedback has been received.",
        "1 of 1 inferences (100.0%) have no label.",
    ]


@pytest.mark.real_data
def test_employment_in_six_lines(real_data: Path, tmp_path: Path) -> None:
    raw = (real_data / "nannyml_employment").as_posix()
    folder = tmp_path / "employment"
    done = run(
        "init", folder, "--inferences", f"{raw}/analysis.parquet",
        "--feedback", f"{raw}/analysis_target.parquet",
    )  # fmt: skip
    assert done.code == 0, done.err
    built = wb.open(folder)
    built.build()
    assert in_words(built.current, built.status()) == EMPLOYMENT
