"""Recalibration of the demo through the command line."""

from __future__ import annotations

from typing import Any

from tests.demo.conftest import Built


def _judged(built: Built, *arguments: str) -> tuple[dict[str, Any], dict[str, Any]]:
    made = built.run("fit", "recalibration", "--no-pin", "--json", *arguments)
    return made, {row["metric"]: row for row in made["figures"]["held_out"]}


def test_the_overconfident_group_is_recalibrated_by_its_earlier_questions(built: Built) -> None:
    fault = built.truth.facts["overconfident"]
    version, language = fault["model_version"], fault["language"]
    group = f"model_version = '{version}' AND features.language = '{language}'"
    made, figures = _judged(built, "--where", group)
    assert made["n"] + figures["ece"]["after"]["n"] == fault["labelled"]
    for metric in ("ece", "brier_score"):
        assert figures[metric]["after"]["high"] < figures[metric]["before"]["low"]
    assert figures["ece"]["after"]["low"] == 0.0


def test_one_correction_for_all_does_not_mend_one_group(built: Built) -> None:
    _, figures = _judged(built)
    for side in ("before", "after"):
        assert figures["ece"][side]["n"] > 4_000
    assert figures["ece"]["after"]["high"] > figures["ece"]["before"]["low"]
