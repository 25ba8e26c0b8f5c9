"""The section ``[cleaning]`` of a project."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.configuration import BUILTINS, load
from workbench.errors import ConfigError
from workbench.project import Cleaning, CleaningPattern, CleaningRule, Project

HEAD = """[inferences]
source = "i.csv"
[feedback]
source = "f.csv"
"""


def read(folder: Path, text: str) -> Project:
    (folder / "workbench.toml").write_text(HEAD + text)
    return load(folder)


def test_rules_and_patterns_are_read_in_order(tmp_path: Path) -> None:
    project = read(
        tmp_path,
        """
        [cleaning.rules.staff]
        where = "user_id LIKE 'staff-%'"
        [cleaning.rules.canary]
        where = "model_version = 'canary'"
        [cleaning.patterns.ticket]
        pattern = 'T-\\d+'
        columns = "prompt"
        [cleaning.patterns.mail]
        builtin = "email"
        replace = ""
        [cleaning.patterns.keys]
        builtin = "api_key"
        """,
    )
    both = ("prompt", "answer")
    assert project.cleaning == Cleaning(
        rules=(
            CleaningRule(name="staff", where="user_id LIKE 'staff-%'"),
            CleaningRule(name="canary", where="model_version = 'canary'"),
        ),
        patterns=(
            CleaningPattern(
                name="ticket",
                pattern=r"T-\d+",
                action="mask",
                replace="[ticket]",
                columns=("prompt",),
            ),
            CleaningPattern(
                name="mail",
                pattern=BUILTINS["email"].pattern,
                action="mask",
                replace="",
                columns=both,
            ),
            CleaningPattern(
                name="keys",
                pattern=BUILTINS["api_key"].pattern,
                action="drop",
                replace="[keys]",
                columns=both,
            ),
        ),
    )


def test_cleaning_makes_no_other_build(tmp_path: Path) -> None:
    plain = read(tmp_path, "")
    cleaned = read(tmp_path, "[cleaning.rules.all]\nwhere = 'true'")
    assert plain.cleaning == Cleaning()
    assert cleaned.config_id == plain.config_id
    assert read(tmp_path, "[labels]\npolicy = 'mean'").config_id != plain.config_id


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(
            tmp_path,
            """
            [cleaning]
            rulez = 1
            [cleaning.rules]
            odd = 3
            [cleaning.rules.empty]
            when = "x"
            [cleaning.patterns.both]
            pattern = "x"
            builtin = "email"
            [cleaning.patterns.none]
            action = "drop"
            [cleaning.patterns.bad]
            pattern = "(?=x"
            [cleaning.patterns.blank]
            pattern = ""
            [cleaning.patterns.name]
            builtin = "emial"
            [cleaning.patterns.act]
            pattern = "x"
            action = "hide"
            replace = 3
            columns = ["prompts"]
            [cleaning.patterns.drop]
            builtin = "api_key"
            replace = "x"
            columns = []
            """,
        )
    said = str(caught.value)
    for part in (
        "unknown key 'rulez' in [cleaning]. Did you mean 'rules'?",
        "[cleaning.rules.odd] must be a table",
        "unknown key 'when' in [cleaning.rules.empty]. Did you mean 'where'?",
        "[cleaning.rules.empty] has no condition",
        "[cleaning.patterns.both] needs either",
        "[cleaning.patterns.none] needs either",
        "cleaning.patterns.bad.pattern is not a regular expression",
        "cleaning.patterns.blank.pattern must be a text",
        "cleaning.patterns.name.builtin = 'emial' is not known. Did you mean 'email'?",
        "cleaning.patterns.act.action = 'hide' is not known",
        "cleaning.patterns.act.replace must be a text",
        "cleaning.patterns.act.columns = 'prompts' is not known. Did you mean 'prompt'?",
        "[cleaning.patterns.drop] drops, so nothing is replaced",
        "cleaning.patterns.drop.columns is empty",
    ):
        assert part in said, said


@pytest.mark.parametrize("section", ["rules", "patterns"])
def test_a_section_that_is_no_table_is_named(tmp_path: Path, section: str) -> None:
    with pytest.raises(ConfigError, match=f"cleaning.{section}"):
        read(tmp_path, f"[cleaning]\n{section} = 'x'")
